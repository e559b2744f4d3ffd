//! The Ostler sidecar: fetches, verifies, loads, evicts and serves the models of one pod.
//!
//! [`residency`], [`routing`] and [`prediction`] decide, as pure functions over values; [`manager::Manager`] is the handle on the
//! task that carries the decisions out; [`http`] answers requests with it; [`run`] puts the parts together.

pub mod args;
mod causes;
pub mod command;
pub mod config;
mod housekeeping;
pub mod http;
pub mod lease;
pub mod loader;
pub mod manager;
pub mod memory_watch;
pub mod metrics;
pub mod model_loader;
pub mod plan;
pub mod pool;
pub mod prediction;
mod progress;
pub mod report;
pub mod residency;
mod residency_task;
pub mod result_cache;
pub mod routing;
pub mod run;
pub mod single_flight;
pub mod snapshot;
pub mod state;
pub mod target;
pub mod telemetry;
