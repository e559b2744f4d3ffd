//! The operator and its definitions on a real control plane: one module for each behaviour.
#![expect(clippy::unwrap_used, reason = "functions that only tests call may fail like the tests")]

mod access;
mod admission_policy;
mod definitions;
mod leadership;
mod ownership;
mod pins;
mod sidecar;
mod status;
mod writes;
