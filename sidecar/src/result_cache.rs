//! Answers that are kept, so that an equal request is answered without its model.
//!
//! An answer's key is a hash of what was asked ([`Question`]) and of the weights that answered ([`Pin`]), so that no other
//! version, commit or number format is ever answered for. What is kept is what an engine gave, before any protocol's
//! shape. Each model whose spec says so has answers of its own, within its own bounds; they go when the plan no longer has
//! what made them.

mod question;
mod size;
mod store;

pub use question::{AnswerKey, Pin, Question};
pub use store::Evictions;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ostler_crds::names::{Dtype, ModelName};
use ostler_crds::serving_plan::{PlannedModel, PlannedResultCache, ServingPlan};
use ostler_inference::engine::Output;

use crate::lease::Provenance;
use crate::target::VersionKey;
use store::{Bounds, Store};

/// What an engine gave, and what produced it.
#[derive(Debug, Clone)]
pub struct Answer {
    /// What the engine gave.
    pub output: Output,
    /// What produced it, as a version that answers for itself.
    pub provenance: Provenance,
}

/// What the plan says about the weights of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedPin {
    /// The version.
    pub key: VersionKey,
    /// The commit; `None` for a folder, whose digest is known once it was read.
    pub commit: Option<String>,
    /// The number format that is computed in, `auto` resolved.
    pub dtype: Dtype,
}

/// What the answers of a model are like at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    /// The model.
    pub model: ModelName,
    /// How many answers are kept.
    pub entries: usize,
    /// The bytes that they take.
    pub bytes: u64,
    /// How many have gone since the figures were taken last.
    pub evictions: Evictions,
}

/// The answers of all models. Cloning is cheap, and every clone is the same.
#[derive(Clone)]
pub struct ResultCache(Arc<Shared>);

struct Shared {
    started: Instant,
    state: Mutex<State>,
}

type Pins = HashMap<VersionKey, Vec<PlannedPin>>;

#[derive(Default)]
struct State {
    /// The present and the retired pins of every version of the models that keep answers, by the present one's key.
    pins: Pins,
    models: HashMap<ModelName, Store<AnswerKey, Arc<Answer>>>,
}

impl Default for ResultCache {
    fn default() -> Self {
        Self(Arc::new(Shared { started: Instant::now(), state: Mutex::default() }))
    }
}

impl ResultCache {
    /// Keeps to a plan: other bounds hold at once, and answers of what it does not have go. `pins` are those of all its
    /// versions.
    pub fn obey(&self, plan: &ServingPlan, pins: impl Iterator<Item = PlannedPin>) {
        let now = self.now();
        let mut state = self.state();
        let State { pins: planned, models } = &mut *state;
        let bounds: HashMap<&ModelName, Bounds> = plan.models.iter().filter_map(bounds).collect();
        models.retain(|model, _| bounds.contains_key(model));
        planned.clear();
        for pin in pins.filter(|pin| bounds.contains_key(&pin.key.model)) {
            planned.entry(pin.key.present()).or_default().push(pin);
        }
        for (model, bounds) in bounds {
            let store = models.entry(model.clone()).or_insert_with(|| Store::new(bounds));
            store.rebound(bounds, now);
            store.retain(|answer| is_planned(planned, &answer.provenance));
        }
    }

    /// Whether answers of a model are kept.
    #[must_use]
    pub fn is_on(&self, model: &ModelName) -> bool {
        self.state().models.contains_key(model)
    }

    /// What the plan says about the weights of a version whose answers are kept.
    #[must_use]
    pub fn pin(&self, key: &VersionKey) -> Option<PlannedPin> {
        self.state().pins.get(&key.present())?.iter().find(|pin| pin.key == *key).cloned()
    }

    /// The answer that a pin gave to a question, if it is kept.
    #[must_use]
    pub fn get(&self, pin: &Pin, question: Question) -> Option<Arc<Answer>> {
        let now = self.now();
        let mut state = self.state();
        let found = state.models.get_mut(&pin.key.model)?.get(&question.to(pin), now)?;
        pin.has_made(&found.provenance).then(|| Arc::clone(found))
    }

    /// Keeps the answer to a question under the weights that gave it, if the plan has them.
    pub fn put(&self, question: Question, answer: Arc<Answer>) {
        let (now, bytes) = (self.now(), size::kept_bytes(&answer.output));
        let mut state = self.state();
        let State { pins, models } = &mut *state;
        if !is_planned(pins, &answer.provenance) {
            return;
        }
        if let Some(store) = models.get_mut(&answer.provenance.model) {
            store.put(question.to(&Pin::of(&answer.provenance)), answer, bytes, now);
        }
    }

    /// The figures of every model that keeps answers; those that are too old go now.
    #[must_use]
    pub fn figures(&self) -> Vec<Figures> {
        let now = self.now();
        let mut state = self.state();
        let figures = state.models.iter_mut().map(|(model, store)| {
            store.expire(now);
            Figures {
                model: model.clone(),
                entries: store.len(),
                bytes: store.bytes(),
                evictions: store.take_evictions(),
            }
        });
        figures.collect()
    }

    fn now(&self) -> Duration {
        self.0.started.elapsed()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bytes that the answers of all models of a plan may take.
#[must_use]
pub fn planned_bytes(plan: &ServingPlan) -> u64 {
    let bytes = plan.models.iter().filter_map(|model| model.result_cache).map(|bounds| bounds.max_bytes);
    bytes.fold(0, u64::saturating_add)
}

fn bounds(model: &PlannedModel) -> Option<(&ModelName, Bounds)> {
    let PlannedResultCache { max_entries, max_bytes, time_to_live_seconds } = model.result_cache?;
    let bounds = Bounds {
        max_entries: max_entries as usize,
        max_bytes,
        time_to_live: Duration::from_secs(time_to_live_seconds.into()),
    };
    Some((&model.name, bounds))
}

/// Whether the plan has what made an answer.
fn is_planned(pins: &Pins, provenance: &Provenance) -> bool {
    let pin = Pin::of(provenance);
    let has_made = |planned: &PlannedPin| {
        planned.dtype == pin.dtype && planned.commit.as_ref().is_none_or(|commit| *commit == pin.revision)
    };
    pins.get(&pin.key).is_some_and(|planned| planned.iter().any(has_made))
}

#[cfg(test)]
mod tests;
