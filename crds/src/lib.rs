//! The words that the operator and the sidecar share: the Kubernetes kinds, the serving plan, and the names
//! in them, each parsed once into a type that cannot be wrong.
//!
//! No client, no async runtime and no file is touched here.

pub mod names;
pub mod serving_plan;

#[cfg(feature = "kube")]
pub mod checked;
#[cfg(feature = "kube")]
pub mod definitions;
#[cfg(feature = "kube")]
#[expect(unreachable_pub, reason = "the schema derive copies public types into a function")]
pub mod model_deployment;
#[cfg(feature = "kube")]
#[expect(unreachable_pub, reason = "the schema derive copies public types into a function")]
pub mod model_replica;
#[cfg(feature = "kube")]
pub mod quantity;
#[cfg(feature = "kube")]
pub mod status;
