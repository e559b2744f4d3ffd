//! The sidecar, whole and real: a manifest or a plan, a hub on loopback, the shipped models, requests over HTTP.

#![expect(clippy::unwrap_used, reason = "what goes wrong here must fail the test that it goes wrong in")]

mod history;
mod manifest;
mod packed_loads;
mod served;
mod usage;
