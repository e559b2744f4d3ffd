//! Which versions will probably be asked for soon, from what was asked for before. Pure: the moment is given.
//!
//! There are three reasons, each a number that a person can check: how often a version was used lately, on how many days
//! it was used at this hour, and how often it followed what is being used now. A version is likely where the highest of
//! them is at least [`LIKELY`]. Everything that is remembered is bounded, weighs less the older it is, and is gone with the
//! process.

mod habits;
mod outcomes;
mod reason;
mod sequences;
mod time;

pub use outcomes::{Outcomes, PredictedLoads};
pub use reason::{Cue, Kind, Reason};
pub use sequences::Asker;
pub use time::{SOON, WallTime};

use std::collections::BTreeMap;
use std::hash::Hasher;
use std::time::Duration;

use ostler_crds::names::Task;
use siphasher::sip::SipHasher24;

use crate::target::{Target, VersionKey};
use habits::Habits;
use sequences::Sequences;

/// From this probability on a version is likely: whatever followed two times of two, or on two days of two, is.
pub const LIKELY: f64 = 0.6;

/// The most versions whose uses are remembered; the one that was used longest ago goes for another one.
const MOST_VERSIONS: usize = 256;

impl Asker {
    /// Whoever has this name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let mut hasher = SipHasher24::new();
        hasher.write(name.as_bytes());
        Self(hasher.finish())
    }
}

/// A version that will probably be asked for soon.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// The version.
    pub key: VersionKey,
    /// How probable it is, from [`LIKELY`] to 1.
    pub probability: f64,
    /// What it follows from.
    pub reason: Reason,
}

/// What the plan says of a version.
#[derive(Debug, Clone, Copy)]
struct Planned {
    task: Task,
    /// It is unloaded when nobody has used it for so long.
    idle_time: Option<Duration>,
}

/// What was asked for, as far as it is remembered.
#[derive(Debug, Clone)]
pub struct Predictor {
    since: WallTime,
    planned: BTreeMap<VersionKey, Planned>,
    habits: BTreeMap<VersionKey, Habits>,
    sequences: Sequences,
}

impl Predictor {
    /// Remembers nothing yet.
    #[must_use]
    pub fn new(now: WallTime) -> Self {
        let (planned, habits) = (BTreeMap::new(), BTreeMap::new());
        Self { since: now, planned, habits, sequences: Sequences::default() }
    }

    /// Keeps to the present pins of a plan: versions that it does not have are forgotten.
    pub fn obey(&mut self, targets: &[Target]) {
        let present = targets.iter().filter(|target| target.key.retired.is_none());
        let planned = |target: &Target| Planned { task: target.task, idle_time: target.idle_time };
        self.planned = present.map(|target| (target.key.clone(), planned(target))).collect();
        let planned = &self.planned;
        self.habits.retain(|key, _| planned.contains_key(key));
        self.sequences.retain(|key| planned.contains_key(key));
    }

    /// A request uses a version. Says whether something may follow that was not to be expected before.
    pub fn used(&mut self, key: &VersionKey, asker: Option<Asker>, now: WallTime) -> bool {
        let Some(planned) = self.planned.get(key) else { return false };
        let is_speech = planned.task == Task::AutomaticSpeechRecognition;
        if self.habits.len() >= MOST_VERSIONS && !self.habits.contains_key(key) {
            let oldest = self.habits.iter().min_by_key(|(_, habits)| habits.last_used());
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.habits.remove(&oldest);
            }
        }
        self.habits.entry(key.clone()).or_default().used(now);
        self.sequences.follow(key, asker, now);
        // What follows speech depends on its language, which is heard only later.
        !is_speech && self.sequences.begin(Cue { after: key.clone(), language: None }, asker, now)
    }

    /// The speech that a version works on is in a language, as it was heard just now, or again while it goes on. Says
    /// whether something may follow that was not to be expected before.
    pub fn heard(&mut self, cue: Cue, asker: Option<Asker>, is_first: bool, now: WallTime) -> bool {
        if !self.planned.contains_key(&cue.after) {
            return false;
        }
        if is_first {
            return self.sequences.begin(cue, asker, now);
        }
        self.sequences.go_on(cue, asker, now);
        false
    }

    /// A version was loaded ahead, and left memory, or failed, before anybody used it.
    pub fn in_vain(&mut self, key: &VersionKey, now: WallTime) {
        if let Some(habits) = self.habits.get_mut(key) {
            habits.in_vain(now);
        }
        self.sequences.in_vain(key);
    }

    /// What will probably be asked for soon, loaded or not, the most probable first.
    pub fn likely(&mut self, now: WallTime) -> Vec<Prediction> {
        let mut best: BTreeMap<VersionKey, (f64, Reason)> = BTreeMap::new();
        let mut consider = |key: &VersionKey, probability: f64, reason: Reason| {
            if probability >= LIKELY && best.get(key).is_none_or(|(other, _)| probability > *other) {
                best.insert(key.clone(), (probability, reason));
            }
        };
        for (key, probability, reason) in self.sequences.expected(now) {
            consider(&key, probability, reason);
        }
        for (key, habits) in self.habits.iter().filter(|(_, habits)| !habits.is_in_vain(now)) {
            let idle_time = self.planned.get(key).and_then(|planned| planned.idle_time);
            let reasons = [habits.lately(now, idle_time), habits.at_this_hour(now, self.since)];
            for (probability, reason) in reasons.into_iter().flatten() {
                consider(key, probability, reason);
            }
        }
        let predicted =
            best.into_iter().map(|(key, (probability, reason))| Prediction { key, probability, reason });
        let mut predicted: Vec<Prediction> = predicted.collect();
        predicted.sort_by(|left, right| right.probability.total_cmp(&left.probability));
        predicted
    }
}

#[cfg(test)]
mod tests;
