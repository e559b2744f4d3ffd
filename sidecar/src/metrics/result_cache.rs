//! The metrics of the answers that are kept.

use ostler_crds::names::ModelName;
use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

use super::clamp;
use crate::result_cache::{Evictions, Figures};

/// One family for each figure, by model.
pub(super) struct ResultCacheFamilies {
    answers: IntCounterVec,
    evictions: IntCounterVec,
    entries: IntGaugeVec,
    bytes: IntGaugeVec,
}

impl ResultCacheFamilies {
    /// Registers them.
    ///
    /// # Errors
    /// Where a name is taken.
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let family = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(family.clone()))?;
            Ok::<_, prometheus::Error>(family)
        };
        let gauges = |name: &str, help: &str| {
            let family = IntGaugeVec::new(Opts::new(name, help), &["model"])?;
            registry.register(Box::new(family.clone()))?;
            Ok::<_, prometheus::Error>(family)
        };
        Ok(Self {
            answers: counters(
                "ostler_result_cache_answers_total",
                "Answers of models with a resultCache, by whether they were kept or in the making (hit) or were computed (miss).",
                &["model", "outcome"],
            )?,
            evictions: counters(
                "ostler_result_cache_evictions_total",
                "Kept answers that have gone, for want of space, because of their age or because of another plan.",
                &["model", "reason"],
            )?,
            entries: gauges("ostler_result_cache_entries", "Kept answers.")?,
            bytes: gauges("ostler_result_cache_bytes", "Bytes of kept answers.")?,
        })
    }

    /// Counts an answer.
    pub(super) fn observe(&self, model: &ModelName, is_hit: bool) {
        let outcome = if is_hit { "hit" } else { "miss" };
        self.answers.with_label_values(&[model.as_str(), outcome]).inc();
    }

    /// Takes over the figures of every model that keeps answers.
    pub(super) fn show(&self, figures: &[Figures]) {
        self.entries.reset();
        self.bytes.reset();
        for Figures { model, entries, bytes, evictions } in figures {
            self.entries.with_label_values(&[model.as_str()]).set(clamp(*entries as u64));
            self.bytes.with_label_values(&[model.as_str()]).set(clamp(*bytes));
            let Evictions { space, age, plan } = evictions;
            for (reason, count) in [("space", space), ("age", age), ("plan", plan)] {
                self.evictions.with_label_values(&[model.as_str(), reason]).inc_by(*count);
            }
        }
    }
}
