//! What a new plan changes: which pins are there, which of them are present ones, and which go.

use std::collections::{BTreeMap, BTreeSet};

use ostler_crds::names::{LoadPolicy, ModelName, Task};

use super::entry::{Entry, State};
use super::event::EntryId;
use super::machine::Machine;
use crate::target::{Target, VersionKey};

impl Machine {
    /// Takes over a plan: pins that it shares with the last one stay as they are, present ones or retired.
    pub(super) fn plan(&mut self, targets: Vec<Target>) {
        let limits = Limits::of(&targets);
        // Those that have answered whoever asked for no commit.
        let mut answering = self.table.retired.clone();
        let mut pins: BTreeMap<VersionKey, Vec<EntryId>> = BTreeMap::new();
        for (id, entry) in &mut self.table.entries {
            if entry.in_plan && entry.target.key.retired.is_none() {
                answering.insert(*id);
            }
            entry.in_plan = false;
            pins.entry(entry.target.key.present()).or_default().push(*id);
        }
        let mut desired = BTreeMap::new();
        for (place, target) in targets.into_iter().enumerate() {
            let key = target.key.clone();
            let pins: Vec<(EntryId, &Entry)> = pins
                .get(&key.present())
                .into_iter()
                .flatten()
                .filter_map(|id| Some((*id, self.table.entries.get(id)?)))
                .collect();
            let known = pins.iter().find(|(_, entry)| entry.target.is_same_model(&target)).map(|(id, _)| *id);
            // Whoever replaces what is in memory is loaded without being asked for.
            let is_replaced = |(id, entry): &(EntryId, &Entry)| {
                Some(*id) != known && entry.is_up() && answering.contains(id)
            };
            let replaces = key.retired.is_none() && pins.iter().any(is_replaced);
            let id = known.unwrap_or_else(|| self.table.insert(Entry::new(target.clone(), place)));
            if let Some(entry) = self.table.entries.get_mut(&id) {
                let is_preloaded = target.load == LoadPolicy::Preload && !entry.proven;
                entry.called = !entry.is_loaded() && (is_preloaded || replaces);
                entry.target = target;
                entry.place = place;
                entry.in_plan = true;
                // Only a changed plan can help what failed for good, and here is one.
                if entry.state == (State::Failed { retry_at: None }) && entry.target.unpinned.is_none() {
                    entry.state = entry.untried();
                }
            }
            desired.insert(key, id);
        }
        self.table.desired = desired;
        // Whatever a request has tried in vain may be another one now.
        for waiter in self.table.waiters.values_mut() {
            waiter.position = 0;
            waiter.failed.clear();
        }
        for entry in self.table.entries.values_mut().filter(|entry| !entry.in_plan) {
            limits.put_on(&mut entry.target);
        }
        self.retire(&answering);
    }

    /// Notes the older pins that answer until their successor is loaded.
    fn retire(&mut self, answering: &BTreeSet<EntryId>) {
        let table = &mut self.table;
        let answers = |id: &&EntryId| {
            let Some(entry) = table.entries.get(id).filter(|entry| entry.is_loaded()) else { return false };
            let successor =
                table.desired.get(&entry.target.key.present()).filter(|successor| successor != id);
            successor.and_then(|id| table.entries.get(id)).is_some_and(|successor| !successor.is_loaded())
        };
        table.retired = answering.iter().filter(answers).copied().collect();
    }
}

/// The limits of a plan, which hold for the pins that it no longer has too.
struct Limits {
    models: BTreeMap<ModelName, Option<u64>>,
    tasks: BTreeMap<Task, Option<u64>>,
}

impl Limits {
    fn of(targets: &[Target]) -> Self {
        let models = targets.iter().map(|target| (target.key.model.clone(), target.model_limit_bytes));
        let tasks = targets.iter().map(|target| (target.task, target.task_limit_bytes));
        Self { models: models.collect(), tasks: tasks.collect() }
    }

    fn put_on(&self, target: &mut Target) {
        target.model_limit_bytes = self.models.get(&target.key.model).copied().flatten();
        target.task_limit_bytes = self.tasks.get(&target.task).copied().flatten();
    }
}
