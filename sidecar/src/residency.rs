//! Which versions are on disk and in memory, decided by a pure state machine: events in, effects out, `now` given.
//!
//! What it promises, whatever happens in whatever order:
//! - The bytes reserved never exceed the budget. Working memory is reserved with each lease that may run a job. Bytes
//!   being freed count until they are free. A budget that is lowered under what is reserved lets idle versions go until
//!   it holds.
//! - A load never starts over the limit of its model or its task.
//! - A leased or kept version is never evicted, and none before its minimum residency unless the system itself runs
//!   out of memory.
//! - One load for each pin of a version, however many ask.
//! - Every request is answered: granted, refused, or cancelled by its own caller.
//! - Whatever is wanted ends loaded or failed, once what was set in motion has reported back.
//! - A changed pin is loaded and proved beside the old one where both fit; until then the old one answers.
//! - A version that is loaded before anybody asks for it stays within its own bounds, evicts nothing but what is idle, and
//!   is the first to go until it is used. No request waits for its load but those that share it.
//! - A pin of a version's history answers nobody else than whoever asks for its commit, but for that.

mod admission;
mod anticipate;
mod backoff;
mod budget;
mod entry;
mod event;
mod failures;
mod holding;
mod leaving;
mod lru;
mod machine;
mod planning;
mod pressure;
mod table;
mod waiting;
mod working;

pub use backoff::Backoff;
pub use budget::{Budget, Footprint, Scope, Shortage};
pub use entry::FailureRecord;
pub use event::{
    AheadBounds, Attempt, Effect, EntryId, Event, FailedAttempt, Moment, Refusal, Settings, WaiterId,
};
pub use pressure::RealMemory;

use ostler_crds::names::LoadPolicy;
use ostler_crds::status::{FailureLocation, VersionState};

use crate::target::{Target, VersionFailure, VersionKey};
use entry::{Entry, State};
use machine::Machine;
use table::Waiter;

/// The state machine.
#[derive(Debug, Clone)]
pub struct Residency {
    machine: Machine,
    has_plan: bool,
    is_ready: bool,
}

/// One target of the plan as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct View<'residency> {
    /// The entry of the planned pin.
    pub entry: EntryId,
    /// The target.
    pub target: &'residency Target,
    /// Where it stands.
    pub state: VersionState,
    /// Whether it has been loaded and proved at least once.
    pub is_proven: bool,
    /// The bytes reserved for its weights. Working memory comes from a pool for all.
    pub reserved_bytes: u64,
    /// Its last failure, until it is loaded.
    pub last_failure: Option<&'residency FailureRecord>,
    /// The entry of an older pin that answers until this one is loaded.
    pub predecessor: Option<EntryId>,
}

impl Residency {
    /// Nothing is loaded and nothing wanted.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { machine: Machine::new(settings), has_plan: false, is_ready: false }
    }

    /// Keeps to another budget from the next event on.
    pub fn set_budget(&mut self, budget: Budget) {
        self.machine.settings.budget = budget;
    }

    /// Hears one event and says what is to be done, in this order.
    pub fn handle(&mut self, event: Event, now: Moment) -> Vec<Effect> {
        let mut effects = Vec::new();
        let must_advance = match event {
            Event::Planned { targets } => {
                self.has_plan = true;
                self.machine.plan(targets);
                true
            }
            Event::Wanted { waiter, candidates, planned_pin_only } => {
                self.want(waiter, candidates, planned_pin_only, now, &mut effects)
            }
            Event::Cancelled { waiter } => self.machine.table.waiters.remove(&waiter).is_some(),
            Event::Released { entry } => self.release(entry, now),
            Event::Prepared { entry, attempt, footprint } => self.prepared(entry, attempt, footprint),
            Event::Loaded { entry, attempt } => self.loaded(entry, attempt, now, &mut effects),
            Event::Failed { entry, attempt, failure, jitter } => {
                self.failed(entry, attempt, failure, jitter, now)
            }
            Event::Freed { entry } => self.freed(entry),
            Event::Measured { memory } => self.machine.measured(memory, &mut effects),
            Event::Anticipated { likely, bounds } => {
                self.machine.anticipate(&likely, bounds, now, &mut effects);
                false
            }
            Event::Tick => true,
        };
        if must_advance {
            self.machine.advance(now, &mut effects);
            self.latch_readiness();
        }
        effects
    }

    /// The next moment at which something happens by itself: send [`Event::Tick`] then.
    #[must_use]
    pub fn next_wake(&self, now: Moment) -> Option<Moment> {
        let deadlines = self.machine.table.waiters.values().map(|waiter| waiter.deadline);
        let wanted = self.machine.table.wanted();
        let retries = wanted.iter().filter_map(|id| match self.machine.table.entries.get(id)?.state {
            State::Failed { retry_at } => retry_at,
            _ => None,
        });
        let residencies = self
            .machine
            .table
            .entries
            .values()
            .filter(|entry| self.machine.shortage.is_some() && entry.is_loaded());
        let ends = residencies.map(|entry| entry.stays_until).filter(|end| *end > now);
        let table = &self.machine.table;
        let idle = table.entries.iter().filter_map(|(id, entry)| table.idle_at(*id, entry, now));
        let held_up = table.waiters.values().filter(|waiter| table.held_up_at(waiter).is_some());
        let patience = held_up.map(|waiter| waiter.since + self.machine.settings.patience);
        let patience = patience.filter(|end| *end > now);
        deadlines.chain(retries).chain(ends).chain(idle).chain(patience).min()
    }

    /// Whether the `Preload` versions of the first plan have been loaded and proved. It stays true.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// The bytes reserved of the budget.
    #[must_use]
    pub fn reserved_bytes(&self) -> u64 {
        self.machine.table.reserved_bytes()
    }

    /// How many requests wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.machine.table.waiters.len()
    }

    /// Every target of the plan, in its order.
    #[must_use]
    pub fn views(&self) -> Vec<View<'_>> {
        let planned = self.machine.table.entries.iter().filter(|(_, entry)| entry.in_plan);
        let mut views: Vec<(usize, View<'_>)> = planned
            .map(|(id, entry)| {
                let predecessor = if entry.is_loaded() {
                    None
                } else {
                    self.machine.table.loaded_predecessor(&entry.target.key)
                };
                let view = View {
                    entry: *id,
                    target: &entry.target,
                    state: entry.reported_state(),
                    is_proven: entry.proven,
                    reserved_bytes: entry.holding().fixed,
                    last_failure: entry.last_failure.as_ref(),
                    predecessor,
                };
                (entry.place, view)
            })
            .collect();
        views.sort_by_key(|(place, _)| *place);
        views.into_iter().map(|(_, view)| view).collect()
    }

    fn latch_readiness(&mut self) {
        let is_proven = |entry: &Entry| entry.proven || entry.target.load == LoadPolicy::Lazy;
        self.is_ready |=
            self.has_plan && self.machine.table.entries.values().filter(|it| it.in_plan).all(is_proven);
    }

    fn want(
        &mut self,
        id: WaiterId,
        candidates: Vec<VersionKey>,
        planned_pin_only: bool,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let deadline = now + self.machine.settings.max_wait;
        let waiter =
            Waiter { candidates, planned_pin_only, position: 0, failed: Vec::new(), since: now, deadline };
        self.machine.table.waiters.insert(id, waiter);
        let together = self.machine.together();
        waiting::settle(&mut self.machine.table, &together, id, now, effects);
        if self.machine.table.waiters.len() > self.machine.settings.max_waiters {
            self.machine.refuse_as_busy(id, now, effects);
        }
        // A request that was granted at once changes nothing for anybody else.
        !matches!(effects.as_slice(), [Effect::Grant { instead_of: None, .. }])
    }

    fn release(&mut self, id: EntryId, now: Moment) -> bool {
        let Some(entry) = self.machine.table.entries.get_mut(&id) else { return false };
        entry.give_back(now);
        self.machine.shortage.is_some() || (entry.leases == 0 && !entry.in_plan)
    }

    fn prepared(&mut self, id: EntryId, attempt: Attempt, footprint: Footprint) -> bool {
        match self.machine.table.entries.get_mut(&id) {
            Some(entry) if entry.state == (State::Preparing { attempt }) => {
                entry.footprint = Some(footprint);
                entry.state = State::Cached;
                true
            }
            _ => false,
        }
    }

    fn loaded(&mut self, id: EntryId, attempt: Attempt, now: Moment, effects: &mut Vec<Effect>) -> bool {
        let is_wanted = self.machine.table.wanted().contains(&id) || self.machine.table.is_preferred(id);
        let is_short = self.machine.shortage.is_some();
        let Some(entry) = self.machine.table.entries.get_mut(&id) else { return false };
        let State::Loading { attempt: current, bytes, instances } = entry.state else { return false };
        if current != attempt {
            return false;
        }
        let held = entry.footprint.map_or(bytes, |footprint| footprint.resident_bytes);
        entry.failures = 0;
        entry.has_lost_files = false;
        entry.last_failure = None;
        entry.proven = true;
        entry.called = false;
        entry.stays_until = now + self.machine.settings.residency(now.saturating_sub(entry.load_began_at));
        entry.last_used = now;
        entry.state = State::Loaded { bytes: held, instances };
        // What was loaded ahead makes way at once where somebody waits for memory.
        if is_wanted || (entry.ahead && entry.in_plan && !is_short) {
            self.machine.table.relieve(id);
        } else {
            // Everybody who wanted it has gone while it was being loaded.
            entry.state = State::Freeing { bytes: held };
            effects.push(Effect::Unload { entry: id });
        }
        true
    }

    fn failed(
        &mut self,
        id: EntryId,
        attempt: Attempt,
        failure: VersionFailure,
        jitter: f64,
        now: Moment,
    ) -> bool {
        let is_current = match self.machine.table.entries.get(&id).map(|entry| entry.state) {
            Some(State::Preparing { attempt: current } | State::Loading { attempt: current, .. }) => {
                current == attempt
            }
            _ => false,
        };
        if is_current && !self.fetch_again(id, &failure) {
            self.machine.fail(id, failure, jitter, now);
        }
        is_current
    }

    /// What a load says of its files is that they are not in the cache any more, or damaged there: they are fetched
    /// again at once, and when that happens twice without a load in between, it is a failure like others.
    fn fetch_again(&mut self, id: EntryId, failure: &VersionFailure) -> bool {
        let Some(entry) = self.machine.table.entries.get_mut(&id) else { return false };
        let is_lost = failure.location == FailureLocation::Download
            && failure.retryable
            && matches!(entry.state, State::Loading { .. });
        if !is_lost || entry.has_lost_files {
            entry.has_lost_files = false;
            return false;
        }
        entry.has_lost_files = true;
        entry.footprint = None;
        entry.state = State::Remote;
        true
    }

    fn freed(&mut self, id: EntryId) -> bool {
        match self.machine.table.entries.get_mut(&id) {
            Some(entry) if matches!(entry.state, State::Freeing { .. }) => {
                entry.state = entry.untried();
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
