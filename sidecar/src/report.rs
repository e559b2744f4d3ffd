//! Tells the outside what is loaded: the pod's ModelReplica in a cluster, progress bars or log lines without one.

mod cluster;
mod status;
mod terminal;
mod throttle;

pub use cluster::{ClusterReporter, ReportError};
pub use terminal::{log_transitions, show_bars};
