//! The metrics of what is loaded before anybody asks for it.

use std::sync::{Mutex, PoisonError};

use prometheus::{IntCounterVec, IntGauge, Opts, Registry};

use super::clamp;
use crate::prediction::{Kind, Outcomes, PredictedLoads};
use crate::snapshot::Snapshot;

/// Counters by the reason of the prediction, and what is loaded ahead now.
pub(super) struct PredictionFamilies {
    loads: IntCounterVec,
    used: IntCounterVec,
    unused: IntCounterVec,
    bytes: IntGauge,
    /// What the counters have been told of already.
    shown: Mutex<PredictedLoads>,
}

impl PredictionFamilies {
    /// Registers them.
    ///
    /// # Errors
    /// Where a name is taken.
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str| {
            let family = IntCounterVec::new(Opts::new(name, help), &["reason"])?;
            registry.register(Box::new(family.clone()))?;
            Ok::<_, prometheus::Error>(family)
        };
        let bytes = IntGauge::new(
            "ostler_predicted_resident_bytes",
            "Bytes reserved for versions that were loaded ahead and that nobody has used yet.",
        )?;
        registry.register(Box::new(bytes.clone()))?;
        Ok(Self {
            loads: counters(
                "ostler_predicted_loads_total",
                "Versions that were loaded before anybody asked for them, by the reason to expect that somebody would.",
            )?,
            used: counters(
                "ostler_predicted_loads_used_total",
                "Versions that were loaded before anybody asked for them, and then used: the hits.",
            )?,
            unused: counters(
                "ostler_predicted_loads_unused_total",
                "Versions that were loaded before anybody asked for them, and failed or left memory unused.",
            )?,
            bytes,
            shown: Mutex::default(),
        })
    }

    /// Takes over the counts and the bytes of a snapshot.
    pub(super) fn show(&self, snapshot: &Snapshot) {
        let ahead = snapshot.versions.iter().filter(|version| version.loaded_ahead.is_some());
        self.bytes.set(clamp(ahead.map(|version| version.resident_bytes).sum()));
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        for kind in Kind::ALL {
            let Outcomes { loads, used, unused } = snapshot.predicted_loads.of(kind);
            let before = shown.of_mut(kind);
            for (family, now, before) in [
                (&self.loads, loads, &mut before.loads),
                (&self.used, used, &mut before.used),
                (&self.unused, unused, &mut before.unused),
            ] {
                // Of two that look at once, the later one may have the older snapshot.
                family.with_label_values(&[kind.label()]).inc_by(now.saturating_sub(*before));
                *before = now.max(*before);
            }
        }
    }
}
