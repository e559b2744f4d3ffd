//! Loads ahead by usage: what requests use is told to the predictor, what it expects is told to the residency state
//! machine, and what became of it is counted. Nothing here decides.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use ostler_crds::serving_plan::PlannedPreloadByUsage;

use super::Task;
use crate::prediction::{Asker, Cue, PredictedLoads, Prediction, Predictor, WallTime};
use crate::residency::{AheadBounds, Effect, EntryId, Event};
use crate::target::{Target, VersionKey};

/// How often the predictor is asked while nothing happens.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// What is loaded ahead, by which predictions, and what became of it.
#[derive(Default)]
pub(super) struct Foresight {
    /// Present while the plan asks for it.
    on: Option<(Predictor, PlannedPreloadByUsage)>,
    /// What the predictor expects, as it said last.
    expected: Vec<Prediction>,
    /// What was loaded ahead, or is being, and nobody has used yet.
    ahead: HashMap<EntryId, Prediction>,
    loads: PredictedLoads,
    /// Whether the predictor is to be asked before the next interval.
    is_due: bool,
}

impl Foresight {
    pub(super) fn is_on(&self) -> bool {
        self.on.is_some()
    }

    /// What was loaded ahead and is unused yet, with the reason.
    pub(super) fn ahead(&self) -> &HashMap<EntryId, Prediction> {
        &self.ahead
    }

    /// What became of all loads ahead.
    pub(super) fn loads(&self) -> &PredictedLoads {
        &self.loads
    }

    /// Keeps to a plan. What is remembered is kept as long as plans ask for it.
    pub(super) fn obey(&mut self, planned: Option<PlannedPreloadByUsage>, targets: &[Target], now: WallTime) {
        let before = self.on.take().map(|(predictor, _)| predictor);
        self.on = planned.map(|planned| {
            let mut predictor = before.unwrap_or_else(|| Predictor::new(now));
            predictor.obey(targets);
            (predictor, planned)
        });
    }

    /// A request uses a version.
    pub(super) fn used(&mut self, key: &VersionKey, asker: Option<Asker>, now: WallTime) {
        if let Some((predictor, _)) = self.on.as_mut().filter(|_| key.retired.is_none()) {
            self.is_due |= predictor.used(key, asker, now);
        }
    }

    /// A language is spoken in what a version works on.
    pub(super) fn heard(&mut self, cue: Cue, asker: Option<Asker>, is_first: bool, now: WallTime) {
        if let Some((predictor, _)) = &mut self.on {
            self.is_due |= predictor.heard(cue, asker, is_first, now);
        }
    }

    /// There may be room that there was not before.
    pub(super) fn look_again(&mut self) {
        self.is_due |= self.is_on();
    }

    fn begin(&mut self, entry: EntryId, key: &VersionKey) {
        let Some(prediction) = self.expected.iter().find(|prediction| prediction.key == *key) else { return };
        let Prediction { probability, reason, .. } = prediction;
        tracing::info!(version = %key, probability, because = %reason, "loading ahead");
        self.loads.of_mut(reason.kind()).loads += 1;
        self.ahead.insert(entry, prediction.clone());
    }

    /// Somebody uses what was loaded ahead, or it is gone before. Says whether it was loaded ahead.
    fn end(&mut self, entry: EntryId, is_used: bool, now: WallTime) -> bool {
        let Some(Prediction { key, reason, .. }) = self.ahead.remove(&entry) else { return false };
        let outcomes = self.loads.of_mut(reason.kind());
        if is_used {
            outcomes.used += 1;
        } else {
            outcomes.unused += 1;
            tracing::info!(version = %key, because = %reason, "loaded ahead in vain");
            if let Some((predictor, _)) = &mut self.on {
                predictor.in_vain(&key, now);
            }
        }
        true
    }
}

impl Task {
    /// The wall clock at the start, and what has passed since: it never goes backwards.
    pub(super) fn wall_time(&self) -> WallTime {
        let started_at = self.started_at.duration_since(Timestamp::UNIX_EPOCH);
        Duration::try_from(started_at).unwrap_or_default() + self.now()
    }

    /// Asks the predictor where something has happened that it may draw conclusions from.
    pub(super) fn foresee_if_due(&mut self) -> bool {
        std::mem::take(&mut self.foresight.is_due) && self.foresee()
    }

    /// Tells the residency what will probably be asked for. Says whether anything changed by it.
    pub(super) fn foresee(&mut self) -> bool {
        let now = self.wall_time();
        let Some((predictor, planned)) = &mut self.foresight.on else { return false };
        self.foresight.expected = predictor.likely(now);
        let bounds = AheadBounds {
            max_versions: planned.max_versions as usize,
            max_bytes: self.budget.bytes / 100 * u64::from(planned.max_memory_percent),
        };
        let likely = self.foresight.expected.iter().map(|prediction| prediction.key.clone()).collect();
        self.feed(Event::Anticipated { likely, bounds })
    }

    /// Counts what became of loads ahead by what is done next. `failed` is an entry whose load has failed. Says whether
    /// anything was counted.
    pub(super) fn count_ahead(
        &mut self,
        is_anticipated: bool,
        failed: Option<EntryId>,
        effects: &[Effect],
    ) -> bool {
        if !is_anticipated && self.foresight.ahead.is_empty() {
            return false;
        }
        let now = self.wall_time();
        let foresight = &mut self.foresight;
        let mut has_counted = failed.is_some_and(|entry| foresight.end(entry, false, now));
        for effect in effects {
            has_counted |= match effect {
                Effect::Load { entry, target, .. } if is_anticipated => {
                    foresight.begin(*entry, &target.key);
                    true
                }
                Effect::Grant { entry, .. } => foresight.end(*entry, true, now),
                Effect::Unload { entry } => foresight.end(*entry, false, now),
                _ => false,
            };
        }
        has_counted
    }
}
