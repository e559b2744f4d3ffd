//! What the control plane tests stand on: a real etcd, kube-apiserver and kube-controller-manager on loopback,
//! and objects to put into them.
//!
//! No kubelet and no scheduler runs, so that a pod stays as it was written and a test can play its kubelet.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a broken test environment must fail the test that stands on it"
)]

pub mod audit;
pub mod control_plane;
pub mod fixtures;
pub mod guard;
pub mod machine;
pub mod operator;
pub mod percentile;
pub mod real_models;
pub mod sidecar;
pub mod stage;
pub mod wait;
