//! One number for all states that have the same future: entries, requests and attempts by their order instead of their
//! numbers, moments by their distance from now.

use std::hash::{DefaultHasher, Hash, Hasher};

use ostler_crds::names::LoadPolicy;

use super::super::entry::{Entry, State};
use super::super::{EntryId, Moment};
use super::world::World;

/// What is written into the number.
struct Canonical<'world> {
    world: &'world World,
    hasher: DefaultHasher,
}

/// The number of a world's state, with what else belongs to it.
pub(super) fn canonical(world: &World, beside: impl Hash) -> u64 {
    let mut canonical = Canonical { world, hasher: DefaultHasher::new() };
    canonical.put(beside);
    canonical.world();
    canonical.hasher.finish()
}

impl Canonical<'_> {
    fn put(&mut self, value: impl Hash) {
        value.hash(&mut self.hasher);
    }

    /// How far away a moment is; all that are over are one.
    fn put_moment(&mut self, moment: Option<Moment>) {
        self.put(moment.map(|moment| moment.saturating_sub(self.world.now)));
    }

    fn world(&mut self) {
        let world = self.world;
        let machine = &world.residency.machine;
        self.put((world.residency.has_plan, world.residency.is_ready, machine.shortage.is_some()));
        for (id, entry) in &machine.table.entries {
            self.entry(*id, entry);
        }
        for (id, waiter) in &machine.table.waiters {
            self.put((&waiter.candidates, waiter.position, waiter.planned_pin_only));
            self.put(waiter.failed.iter().map(|(key, _)| key).collect::<Vec<_>>());
            self.put_moment(Some(waiter.deadline));
            let is_held_up = machine.table.held_up_at(waiter).is_some();
            self.put_moment(is_held_up.then_some(waiter.since + machine.settings.patience));
            self.put(world.waiting.contains_key(id));
        }
        for target in &world.plan {
            self.put((&target.key, &target.commit));
        }
        self.put((world.machine_bytes, world.known_bytes, machine.real.map(|bound| bound.bytes)));
        self.put(world.late.map(|(id, _)| self.rank(id)));
        let leases: Vec<usize> = world.leases.iter().map(|id| self.rank(*id)).collect();
        self.put(leases);
    }

    fn entry(&mut self, id: EntryId, entry: &Entry) {
        let world = self.world;
        let target = &entry.target;
        self.put((&target.key, &target.commit, target.unpinned.is_some()));
        self.put((target.load == LoadPolicy::Preload, target.keep, target.instances, entry.place));
        self.put((target.model_limit_bytes, target.task_limit_bytes));
        let stands_in = world.residency.machine.table.retired.contains(&id);
        self.put((stands_in, world.answering.contains(&id)));
        self.put((
            entry.in_plan,
            entry.called,
            entry.proven,
            entry.leases,
            entry.jobs,
            entry.footprint.is_some(),
        ));
        self.put(entry.has_lost_files);
        self.put((entry.is_ahead(), world.ahead.contains(&id)));
        match entry.state {
            State::Remote => self.put(0),
            State::Preparing { attempt } => self.put((1, world.preparing.get(&id) == Some(&attempt))),
            State::Cached => self.put(2),
            State::Loading { attempt, bytes, instances } => {
                let is_current = world.loading.get(&id).is_some_and(|(current, _)| *current == attempt);
                self.put((3, is_current, bytes, instances));
            }
            State::Loaded { bytes, instances } => {
                let order = world.residency.machine.table.entries.values();
                let older =
                    order.filter(|other| other.is_loaded() && other.last_used < entry.last_used).count();
                self.put((4, bytes, instances, older));
                self.put_moment(Some(entry.stays_until));
                if world.has_predictions {
                    self.put_moment(Some(entry.last_used + world.settings.idle_time));
                }
                self.put_moment(world.residency.machine.table.idle_at(id, entry, world.now));
            }
            State::Freeing { bytes } => self.put((5, bytes)),
            State::Failed { retry_at } => {
                self.put(6);
                self.put_moment(retry_at);
            }
        }
        let failure = entry.last_failure.as_ref();
        self.put(failure.map(|record| (record.failure.retryable, record.retry_at.is_some())));
        self.put(world.rests.contains_key(&id));
    }

    /// The place of an entry among all.
    fn rank(&self, id: EntryId) -> usize {
        self.world.residency.machine.table.entries.range(..id).count()
    }
}
