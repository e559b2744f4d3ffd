//! Prometheus metrics.

use prometheus::{Encoder, Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

/// The operator's metrics.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    /// Reconciles by result: `done`, `failed`.
    pub reconciles: IntCounterVec,
    /// How long one reconcile takes, in seconds.
    pub reconcile_seconds: Histogram,
    /// Questions to the Hub by outcome: `Resolved`, else the reason.
    pub resolutions: IntCounterVec,
    /// Requests that write, by kind of object.
    pub writes: IntCounterVec,
    /// Failures of watches, by kind of object.
    pub watch_failures: IntCounterVec,
    /// 1 while this replica is the leader.
    pub leader: IntGauge,
}

impl Metrics {
    /// Registers all metrics in a registry of their own.
    ///
    /// # Errors
    /// When two metrics have one name.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, label: &str| -> Result<IntCounterVec, prometheus::Error> {
            let counters = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(counters.clone()))?;
            Ok(counters)
        };
        let reconciles = counters("ostler_operator_reconciles_total", "Reconciles by result.", "result")?;
        let resolutions =
            counters("ostler_operator_hub_resolutions_total", "Questions to the Hub by outcome.", "outcome")?;
        let writes = counters("ostler_operator_writes_total", "Writing requests by kind of object.", "kind")?;
        let watch_failures = counters(
            "ostler_operator_watch_failures_total",
            "Failures of watches by kind of object.",
            "kind",
        )?;
        let buckets = vec![0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0];
        let options = HistogramOpts::new("ostler_operator_reconcile_seconds", "How long a reconcile takes.");
        let reconcile_seconds = Histogram::with_opts(options.buckets(buckets))?;
        registry.register(Box::new(reconcile_seconds.clone()))?;
        let leader = IntGauge::new("ostler_operator_leader", "1 while this replica is the leader.")?;
        registry.register(Box::new(leader.clone()))?;
        Ok(Self { registry, reconciles, reconcile_seconds, resolutions, writes, watch_failures, leader })
    }

    /// All metrics in Prometheus' text format.
    ///
    /// # Errors
    /// When they cannot be encoded.
    pub fn text(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}
