//! Counters, gauges and histograms in the Prometheus text format.

mod cache;
mod predictions;
mod result_cache;

use std::sync::Arc;
use std::time::Duration;

use ostler_artifacts::CacheEvent;
use ostler_crds::names::ModelName;
use ostler_crds::status::VersionState;
use ostler_inference::load::PackedEvent;
use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::lease::Provenance;
use crate::residency::RealMemory;
use crate::result_cache::Figures;
use crate::snapshot::Snapshot;
use crate::target::VersionKey;
use cache::CacheCounters;
use predictions::PredictionFamilies;
use result_cache::ResultCacheFamilies;

/// Latencies from a short translation to an hour of speech, in seconds.
const SECONDS: [f64; 12] = [0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0, 600.0];

/// Why the metrics could not be set up or written.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// Two metrics have one name, or a name is not allowed.
    #[error("a metric could not be registered")]
    Register(#[source] prometheus::Error),
    /// The text could not be written.
    #[error("the metrics could not be written as text")]
    Encode(#[source] prometheus::Error),
}

/// The process's metrics. Cloning is cheap.
#[derive(Clone)]
pub struct Metrics(Arc<Families>);

struct Families {
    registry: Registry,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    served: IntCounterVec,
    packed_weights: IntCounterVec,
    cache: CacheCounters,
    version_state: IntGaugeVec,
    version_failure: IntGaugeVec,
    resident_bytes: IntGaugeVec,
    retired_resident_bytes: IntGaugeVec,
    version_percent: IntGaugeVec,
    budget_bytes: IntGauge,
    reserved_bytes: IntGauge,
    waiting_requests: IntGauge,
    ready: IntGauge,
    plan_generation: IntGauge,
    memory: MemoryGauges,
    results: ResultCacheFamilies,
    predictions: PredictionFamilies,
}

/// What the system says of memory, beside what is accounted for.
struct MemoryGauges {
    process_bytes: IntGauge,
    free_bytes: IntGauge,
    limit_bytes: IntGauge,
    stalled_percent: IntGauge,
    drift_bytes: IntGauge,
}

impl MemoryGauges {
    fn show(&self, memory: RealMemory, reserved_bytes: u64) {
        self.process_bytes.set(clamp(memory.process_bytes));
        self.free_bytes.set(clamp(memory.free_bytes));
        self.limit_bytes.set(clamp(memory.limit_bytes));
        self.stalled_percent.set(i64::from(memory.stalled_percent));
        self.drift_bytes.set(clamp(memory.process_bytes).saturating_sub(clamp(reserved_bytes)));
    }
}

fn clamp(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

impl Metrics {
    /// Registers every metric.
    ///
    /// # Errors
    /// [`MetricsError::Register`].
    pub fn new() -> Result<Self, MetricsError> {
        let families = Families::new().map_err(MetricsError::Register)?;
        Ok(Self(Arc::new(families)))
    }

    /// Counts an answered request. `endpoint` is the route's pattern, never the raw path.
    pub fn observe_request(&self, endpoint: &str, status: u16, elapsed: Duration) {
        self.0.requests.with_label_values(&[endpoint, &status.to_string()]).inc();
        self.0.request_seconds.with_label_values(&[endpoint]).observe(elapsed.as_secs_f64());
    }

    /// Counts an answer by the version that gave it.
    pub fn observe_served(&self, provenance: &Provenance) {
        let is_fallback = if provenance.fallback.is_some() { "true" } else { "false" };
        let labels = [provenance.model.as_str(), provenance.version.as_str(), is_fallback];
        self.0.served.with_label_values(&labels).inc();
    }

    /// Counts what became of packed weights in one load.
    pub fn observe_packed_weights(&self, event: &PackedEvent) {
        let outcome = match event {
            PackedEvent::Read => "read",
            PackedEvent::Written => "written",
            PackedEvent::Failed(_) => "failed",
        };
        self.0.packed_weights.with_label_values(&[outcome]).inc();
    }

    /// Counts what happened in the cache.
    pub fn observe_cache(&self, event: &CacheEvent) {
        self.0.cache.observe(event);
    }

    /// Counts an answer of a model that keeps its answers.
    pub fn observe_result(&self, model: &ModelName, is_hit: bool) {
        self.0.results.observe(model, is_hit);
    }

    /// Takes over what the kept answers are like.
    pub fn show_results(&self, figures: &[Figures]) {
        self.0.results.show(figures);
    }

    /// Everything as text, with the gauges set from a snapshot and from the last measurement of memory.
    ///
    /// # Errors
    /// [`MetricsError::Encode`].
    pub fn text(&self, snapshot: &Snapshot, memory: Option<RealMemory>) -> Result<String, MetricsError> {
        self.0.show(snapshot);
        if let Some(memory) = memory {
            self.0.memory.show(memory, snapshot.reserved_bytes);
        }
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.0.registry.gather(), &mut text).map_err(MetricsError::Encode)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

impl Families {
    fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counters =
            |name: &str, help: &str, labels: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
                let family = IntCounterVec::new(Opts::new(name, help), labels)?;
                registry.register(Box::new(family.clone()))?;
                Ok(family)
            };
        let gauges = |name: &str, help: &str, labels: &[&str]| -> Result<IntGaugeVec, prometheus::Error> {
            let family = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(family.clone()))?;
            Ok(family)
        };
        let gauge = |name: &str, help: &str| -> Result<IntGauge, prometheus::Error> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let histogram = HistogramOpts::new("ostler_request_seconds", "Time from a request to its answer.");
        let request_seconds = HistogramVec::new(histogram.buckets(SECONDS.to_vec()), &["endpoint"])?;
        registry.register(Box::new(request_seconds.clone()))?;
        let version = ["model", "version", "language_pair"];
        let results = ResultCacheFamilies::register(&registry)?;
        Ok(Self {
            results,
            predictions: PredictionFamilies::register(&registry)?,
            requests: counters("ostler_requests_total", "Answered requests.", &["endpoint", "status"])?,
            request_seconds,
            served: counters(
                "ostler_served_total",
                "Answers by the version that gave them.",
                &["model", "version", "fallback"],
            )?,
            packed_weights: counters(
                "ostler_packed_weights_total",
                "Loads by what became of packed weights in the cache.",
                &["outcome"],
            )?,
            cache: CacheCounters::new(&registry)?,
            version_state: gauges(
                "ostler_version_state",
                "1 for the state that a model version is in.",
                &["model", "version", "language_pair", "state"],
            )?,
            version_failure: gauges(
                "ostler_version_failure",
                "1 for the reason of a version's last failure, until it is loaded.",
                &["model", "version", "language_pair", "reason"],
            )?,
            resident_bytes: gauges(
                "ostler_version_resident_bytes",
                "Bytes reserved for a version.",
                &version,
            )?,
            retired_resident_bytes: gauges(
                "ostler_version_retired_resident_bytes",
                "Bytes reserved for the earlier pins of a version that were asked for by commit.",
                &version,
            )?,
            version_percent: gauges(
                "ostler_version_progress_percent",
                "How far a version is on its way into memory; 100 once it is there.",
                &version,
            )?,
            budget_bytes: gauge("ostler_memory_budget_bytes", "The memory that models may use.")?,
            reserved_bytes: gauge("ostler_memory_reserved_bytes", "Bytes reserved of the budget.")?,
            waiting_requests: gauge("ostler_waiting_requests", "Requests that wait for a version to load.")?,
            ready: gauge("ostler_ready", "1 once the Preload versions have been loaded.")?,
            plan_generation: gauge("ostler_plan_generation", "The generation of the plan that is obeyed.")?,
            memory: MemoryGauges {
                process_bytes: gauge("ostler_process_resident_bytes", "Bytes of the process in memory.")?,
                free_bytes: gauge(
                    "ostler_memory_free_bytes",
                    "Bytes that can be had yet, under the cgroup's limit or from the machine.",
                )?,
                limit_bytes: gauge(
                    "ostler_memory_limit_bytes",
                    "The cgroup's limit, or the machine's memory.",
                )?,
                stalled_percent: gauge(
                    "ostler_memory_stalled_percent",
                    "The part of the last ten seconds in which nobody could run for want of memory.",
                )?,
                drift_bytes: gauge(
                    "ostler_memory_drift_bytes",
                    "Bytes of the process beyond what is reserved for models; below 0 while reserved ones are unused.",
                )?,
            },
            registry,
        })
    }

    fn show(&self, snapshot: &Snapshot) {
        self.version_state.reset();
        self.version_failure.reset();
        self.resident_bytes.reset();
        self.retired_resident_bytes.reset();
        self.version_percent.reset();
        for retired in &snapshot.retired {
            let bytes = self.retired_resident_bytes.with_label_values(&labels(&retired.key));
            bytes.add(clamp(retired.resident_bytes));
        }
        for version in &snapshot.versions {
            let labels = labels(&version.key);
            let [model, name, pair] = labels;
            self.version_percent.with_label_values(&labels).set(i64::from(version.percent));
            self.resident_bytes.with_label_values(&labels).set(clamp(version.resident_bytes));
            self.version_state.with_label_values(&[model, name, pair, state_label(version.state)]).set(1);
            if let Some(failure) = &version.last_failure {
                self.version_failure.with_label_values(&[model, name, pair, failure.reason.as_str()]).set(1);
            }
        }
        self.budget_bytes.set(clamp(snapshot.budget_bytes));
        self.reserved_bytes.set(clamp(snapshot.reserved_bytes));
        self.waiting_requests.set(i64::try_from(snapshot.waiting_requests).unwrap_or(i64::MAX));
        self.ready.set(i64::from(snapshot.ready));
        self.plan_generation.set(snapshot.plan_generation);
        self.predictions.show(snapshot);
    }
}

/// The model, the version and the language pair.
fn labels(key: &VersionKey) -> [&str; 3] {
    [key.model.as_str(), key.version.as_str(), key.language_pair.as_ref().map_or("", |pair| pair.as_str())]
}

fn state_label(state: VersionState) -> &'static str {
    match state {
        VersionState::Remote => "Remote",
        VersionState::Downloading => "Downloading",
        VersionState::Cached => "Cached",
        VersionState::Loading => "Loading",
        VersionState::Loaded => "Loaded",
        VersionState::FailedToLoad => "FailedToLoad",
    }
}
