//! Which versions are on disk and in memory, decided by a pure state machine: events in, effects out, `now` given.
//!
//! What it promises, whatever happens in whatever order:
//! - The bytes reserved never exceed the budget. Bytes being freed count until they are free.
//! - A leased or kept version is never evicted, and none before its minimum residency.
//! - One load for each pin of a version, however many ask.
//! - Every request is answered: granted, refused, or cancelled by its own caller.
//! - Whatever is wanted ends loaded or failed, once what was set in motion has reported back.
//! - A changed pin is loaded and proved beside the old one where both fit; until then the old one answers.

mod backoff;
mod budget;
mod entry;
mod event;
mod lru;
mod table;
mod waiting;

pub use backoff::Backoff;
pub use budget::{Budget, Footprint};
pub use entry::FailureRecord;
pub use event::{Attempt, Effect, EntryId, Event, Moment, Refusal, Settings, WaiterId};

use std::collections::BTreeMap;

use ostler_crds::names::LoadPolicy;
use ostler_crds::status::{FailureLocation, VersionState};

use crate::target::{Target, VersionFailure, VersionKey};
use budget::{Admission, admit};
use entry::{Entry, State};
use table::{Table, Waiter};

/// The state machine.
#[derive(Debug)]
pub struct Residency {
    settings: Settings,
    table: Table,
    has_plan: bool,
    is_ready: bool,
    /// Something waits for memory, so that a lease given back matters.
    is_short_of_memory: bool,
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
    /// The bytes reserved for it.
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
        Self {
            settings,
            table: Table::default(),
            has_plan: false,
            is_ready: false,
            is_short_of_memory: false,
        }
    }

    /// Hears one event and says what is to be done, in this order.
    pub fn handle(&mut self, event: Event, now: Moment) -> Vec<Effect> {
        let mut effects = Vec::new();
        let must_advance = match event {
            Event::Planned { targets } => self.plan(targets),
            Event::Wanted { waiter, candidates, planned_pin_only } => {
                self.want(waiter, candidates, planned_pin_only, now, &mut effects)
            }
            Event::Cancelled { waiter } => self.table.waiters.remove(&waiter).is_some(),
            Event::Released { entry } => self.release(entry, now),
            Event::Prepared { entry, attempt, footprint } => self.prepared(entry, attempt, footprint),
            Event::Loaded { entry, attempt } => self.loaded(entry, attempt, now, &mut effects),
            Event::Failed { entry, attempt, failure, jitter } => {
                self.failed(entry, attempt, failure, jitter, now)
            }
            Event::Freed { entry } => self.freed(entry),
            Event::Tick => true,
        };
        if must_advance {
            self.advance(now, &mut effects);
        }
        effects
    }

    /// The next moment at which something happens by itself: send [`Event::Tick`] then.
    #[must_use]
    pub fn next_wake(&self, now: Moment) -> Option<Moment> {
        let deadlines = self.table.waiters.values().map(|waiter| waiter.deadline);
        let wanted = self.table.wanted();
        let retries = wanted.iter().filter_map(|id| match self.table.entries.get(id)?.state {
            State::Failed { retry_at } => retry_at,
            _ => None,
        });
        let residencies =
            self.table.entries.values().filter(|entry| self.is_short_of_memory && entry.is_loaded());
        let ends = residencies
            .map(|entry| entry.loaded_at + self.settings.minimum_residency)
            .filter(|end| *end > now);
        deadlines.chain(retries).chain(ends).min()
    }

    /// Whether the `Preload` versions of the first plan have been loaded and proved. It stays true.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// The bytes reserved of the budget.
    #[must_use]
    pub fn reserved_bytes(&self) -> u64 {
        self.table.reserved_bytes()
    }

    /// How many requests wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.table.waiters.len()
    }

    /// Every target of the plan, in its order.
    #[must_use]
    pub fn views(&self) -> Vec<View<'_>> {
        let planned = self.table.entries.iter().filter(|(_, entry)| entry.in_plan);
        let mut views: Vec<(usize, View<'_>)> = planned
            .map(|(id, entry)| {
                let predecessor =
                    if entry.is_loaded() { None } else { self.table.loaded_predecessor(&entry.target.key) };
                let view = View {
                    entry: *id,
                    target: &entry.target,
                    state: entry.reported_state(),
                    is_proven: entry.proven,
                    reserved_bytes: entry.reserved_bytes(),
                    last_failure: entry.last_failure.as_ref(),
                    predecessor,
                };
                (entry.place, view)
            })
            .collect();
        views.sort_by_key(|(place, _)| *place);
        views.into_iter().map(|(_, view)| view).collect()
    }

    /// Takes over a plan: pins that it shares with the last one stay as they are.
    fn plan(&mut self, targets: Vec<Target>) -> bool {
        self.has_plan = true;
        let mut pins: BTreeMap<VersionKey, Vec<EntryId>> = BTreeMap::new();
        for (id, entry) in &mut self.table.entries {
            entry.in_plan = false;
            pins.entry(entry.target.key.clone()).or_default().push(*id);
        }
        let mut desired = BTreeMap::new();
        for (place, target) in targets.into_iter().enumerate() {
            let key = target.key.clone();
            let pins: Vec<(EntryId, &Entry)> = pins
                .get(&key)
                .into_iter()
                .flatten()
                .filter_map(|id| Some((*id, self.table.entries.get(id)?)))
                .collect();
            let known = pins.iter().find(|(_, entry)| entry.target.is_same_model(&target)).map(|(id, _)| *id);
            // Whoever replaces what is in memory is loaded without being asked for.
            let replaces = pins.iter().any(|(id, entry)| Some(*id) != known && entry.is_up());
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
        let retired = self.table.entries.iter().filter(|(_, entry)| !entry.in_plan);
        self.table.retired = retired.map(|(id, _)| *id).collect();
        true
    }

    fn want(
        &mut self,
        id: WaiterId,
        candidates: Vec<VersionKey>,
        planned_pin_only: bool,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let deadline = now + self.settings.max_wait;
        let waiter = Waiter { candidates, planned_pin_only, position: 0, first_failure: None, deadline };
        self.table.waiters.insert(id, waiter);
        waiting::settle(&mut self.table, id, now, effects);
        if self.table.waiters.len() > self.settings.max_waiters {
            waiting::refuse_as_busy(&mut self.table, id, effects);
        }
        // A request that was granted at once changes nothing for anybody else.
        !matches!(effects.as_slice(), [Effect::Grant { instead_of: None, .. }])
    }

    fn release(&mut self, id: EntryId, now: Moment) -> bool {
        let Some(entry) = self.table.entries.get_mut(&id) else { return false };
        entry.leases = entry.leases.saturating_sub(1);
        entry.last_used = now;
        entry.leases == 0 && (self.is_short_of_memory || !entry.in_plan)
    }

    fn prepared(&mut self, id: EntryId, attempt: Attempt, footprint: Footprint) -> bool {
        match self.table.entries.get_mut(&id) {
            Some(entry) if entry.state == (State::Preparing { attempt }) => {
                entry.footprint = Some(footprint);
                entry.state = State::Cached;
                true
            }
            _ => false,
        }
    }

    fn loaded(&mut self, id: EntryId, attempt: Attempt, now: Moment, effects: &mut Vec<Effect>) -> bool {
        let is_wanted = self.table.wanted().contains(&id);
        let Some(entry) = self.table.entries.get_mut(&id) else { return false };
        let State::Loading { attempt: current, bytes, instances } = entry.state else { return false };
        if current != attempt {
            return false;
        }
        let held = entry.footprint.map_or(bytes, |footprint| footprint.held(instances));
        entry.failures = 0;
        entry.last_failure = None;
        entry.proven = true;
        entry.called = false;
        entry.loaded_at = now;
        entry.last_used = now;
        entry.state = State::Loaded { bytes: held, instances };
        if !is_wanted {
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
        let is_current = match self.table.entries.get(&id).map(|entry| entry.state) {
            Some(State::Preparing { attempt: current } | State::Loading { attempt: current, .. }) => {
                current == attempt
            }
            _ => false,
        };
        if is_current {
            self.fail(id, failure, jitter, now);
        }
        is_current
    }

    fn freed(&mut self, id: EntryId) -> bool {
        match self.table.entries.get_mut(&id) {
            Some(entry) if matches!(entry.state, State::Freeing { .. }) => {
                entry.state = entry.untried();
                true
            }
            _ => false,
        }
    }

    fn fail(&mut self, id: EntryId, failure: VersionFailure, jitter: f64, now: Moment) {
        let Some(entry) = self.table.entries.get_mut(&id) else { return };
        let key = entry.target.key.clone();
        entry.failures = entry.failures.saturating_add(1);
        let rest = self.settings.backoff.rest(entry.failures, jitter, failure.retry_after);
        let retry_at = failure.retryable.then_some(now + rest);
        if failure.location != FailureLocation::Memory {
            // The next try looks at the files anew.
            entry.footprint = None;
        }
        entry.last_failure = Some(FailureRecord { failure, at: now, retry_at });
        entry.state = State::Failed { retry_at };
        // A lazy version is tried again when somebody asks; what is preloaded or replaces a loaded pin, by itself.
        let insists = entry.target.load == LoadPolicy::Preload;
        if !insists
            && self.table.loaded_predecessor(&key).is_none()
            && let Some(entry) = self.table.entries.get_mut(&id)
        {
            entry.called = false;
        }
    }

    /// Sets everything in motion that can move now.
    fn advance(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        waiting::expire(&mut self.table, now, effects);
        loop {
            self.retry(now);
            waiting::settle_all(&mut self.table, now, effects);
            self.let_go(effects);
            let has_failed = self.fail_unpinned(now);
            self.start_transfers(effects);
            let has_failed = self.start_loads(now, effects) || has_failed;
            if !has_failed {
                break;
            }
        }
        self.resize(effects);
        let is_proven = |entry: &Entry| entry.proven || entry.target.load == LoadPolicy::Lazy;
        self.is_ready |= self.has_plan && self.table.entries.values().filter(|it| it.in_plan).all(is_proven);
    }

    /// Failed versions that are wanted and have rested are tried again.
    fn retry(&mut self, now: Moment) {
        for id in self.table.wanted() {
            if let Some(entry) = self.table.entries.get_mut(&id)
                && let State::Failed { retry_at: Some(retry_at) } = entry.state
                && retry_at <= now
            {
                entry.state = entry.untried();
            }
        }
    }

    /// Transfers that nobody wants any more stop; old pins go once their successor is loaded.
    fn let_go(&mut self, effects: &mut Vec<Effect>) {
        let wanted = self.table.wanted();
        let ids: Vec<EntryId> = self.table.entries.keys().copied().collect();
        for id in ids {
            let Some(entry) = self.table.entries.get(&id) else { continue };
            if matches!(entry.state, State::Preparing { .. }) && !wanted.contains(&id) {
                effects.push(Effect::CancelPrepare { entry: id });
                self.set_state(id, State::Remote);
            }
            let Some(entry) = self.table.entries.get(&id) else { continue };
            if entry.in_plan {
                continue;
            }
            match entry.state {
                State::Loaded { bytes, .. } => {
                    let successor = self.table.desired.get(&entry.target.key);
                    let is_needed = successor
                        .and_then(|successor| self.table.entries.get(successor))
                        .is_some_and(|successor| !successor.is_loaded());
                    if entry.leases == 0 && !is_needed {
                        effects.push(Effect::Unload { entry: id });
                        self.set_state(id, State::Freeing { bytes });
                    }
                }
                State::Remote | State::Cached | State::Failed { .. } => {
                    effects.push(Effect::Forget { entry: id });
                    self.table.entries.remove(&id);
                    self.table.retired.remove(&id);
                }
                State::Preparing { .. } | State::Loading { .. } | State::Freeing { .. } => {}
            }
        }
    }

    /// A source without a commit fails at once, asked for or not, with the reason that the plan gives.
    fn fail_unpinned(&mut self, now: Moment) -> bool {
        let planned =
            self.table.entries.iter().filter(|(_, entry)| entry.in_plan && entry.state == State::Remote);
        let failing = planned.filter_map(|(id, entry)| Some((*id, entry.target.unpinned.clone()?)));
        let failing: Vec<(EntryId, String)> = failing.collect();
        let has_failed = !failing.is_empty();
        for (id, why) in failing {
            self.fail(id, unpinned(why), 0.0, now);
        }
        has_failed
    }

    /// Fetches what is wanted: first what requests wait for, then the rest in the plan's order.
    fn start_transfers(&mut self, effects: &mut Vec<Effect>) {
        let is_preparing = |entry: &&Entry| matches!(entry.state, State::Preparing { .. });
        let mut running = self.table.entries.values().filter(is_preparing).count();
        for (id, is_demanded) in self.queue() {
            let Some(entry) = self.table.entries.get(&id) else { continue };
            if entry.state != State::Remote {
                continue;
            }
            let limit = self.settings.max_transfers * if is_demanded { 2 } else { 1 };
            if running < limit {
                running += 1;
                let target = entry.target.clone();
                let attempt = self.table.next_attempt();
                self.set_state(id, State::Preparing { attempt });
                effects.push(Effect::Prepare { entry: id, attempt, target });
            }
        }
    }

    /// Loads what is wanted and on disk, each with its memory reserved first. Nobody overtakes a version that
    /// waits for memory, so that it is not starved.
    fn start_loads(&mut self, now: Moment, effects: &mut Vec<Effect>) -> bool {
        let mut has_failed = false;
        let mut is_behind_preload = false;
        self.is_short_of_memory = false;
        for (id, is_demanded) in self.queue() {
            let Some(entry) = self.table.entries.get(&id) else { continue };
            let waits_for_its_turn =
                !is_demanded && entry.target.load == LoadPolicy::Preload && !entry.proven;
            if waits_for_its_turn {
                // `Preload` versions load one after the other, in the plan's order; a failed one holds up nobody.
                if is_behind_preload {
                    continue;
                }
                is_behind_preload = !matches!(entry.state, State::Failed { .. });
            }
            let (State::Cached, Some(footprint)) = (entry.state, entry.footprint) else { continue };
            let is_loading = |entry: &&Entry| matches!(entry.state, State::Loading { .. });
            if self.table.entries.values().filter(is_loading).count() >= self.settings.max_loads {
                break;
            }
            let instances = entry.target.instances;
            let peak = footprint.peak(instances);
            let residents = self.table.residents(id, is_demanded, self.settings.minimum_residency, now);
            match admit(&self.settings.budget, peak, &residents) {
                Admission::Start { evict } => {
                    self.evict(&evict, effects);
                    let target = entry_target(&self.table, id);
                    let attempt = self.table.next_attempt();
                    self.set_state(id, State::Loading { attempt, bytes: peak, instances });
                    effects.extend(target.map(|target| Effect::Load { entry: id, attempt, target }));
                }
                Admission::Evict { evict } => {
                    self.evict(&evict, effects);
                    self.is_short_of_memory = true;
                    break;
                }
                Admission::Wait => {
                    self.is_short_of_memory = true;
                    break;
                }
                Admission::TooLarge => {
                    self.fail(id, too_large(peak, self.settings.budget.bytes), 0.0, now);
                    has_failed = true;
                }
                Admission::Full { protected_bytes } => {
                    self.fail(id, full(peak, protected_bytes, self.settings.budget.bytes), 0.0, now);
                    has_failed = true;
                }
            }
        }
        has_failed
    }

    /// What is wanted, in the order of service, with whether requests wait for it.
    fn queue(&self) -> Vec<(EntryId, bool)> {
        let demanded = self.table.demanded();
        let wanted = self.table.wanted();
        let mut queue: Vec<(WaiterId, usize, EntryId, bool)> = Vec::with_capacity(wanted.len());
        for id in wanted {
            if let Some(entry) = self.table.entries.get(&id) {
                let first = demanded.get(&entry.target.key).copied();
                queue.push((first.unwrap_or(WaiterId(u64::MAX)), entry.place, id, first.is_some()));
            }
        }
        queue.sort_unstable();
        queue.into_iter().map(|(_, _, id, is_demanded)| (id, is_demanded)).collect()
    }

    fn evict(&mut self, evicted: &[EntryId], effects: &mut Vec<Effect>) {
        for id in evicted {
            let Some(bytes) = self.table.entries.get(id).map(Entry::reserved_bytes) else { continue };
            effects.push(Effect::Unload { entry: *id });
            self.set_state(*id, State::Freeing { bytes });
        }
    }

    /// Instances follow the plan: fewer at once, more as far as their working memory fits.
    fn resize(&mut self, effects: &mut Vec<Effect>) {
        let mut free = self.settings.budget.bytes.saturating_sub(self.table.reserved_bytes());
        for (id, entry) in &mut self.table.entries {
            let State::Loaded { bytes, instances } = entry.state else { continue };
            let Some(footprint) = entry.footprint else { continue };
            let wanted = entry.target.instances;
            let held = footprint.held(wanted);
            if wanted == instances || held.saturating_sub(bytes) > free {
                continue;
            }
            free = (free + bytes).saturating_sub(held);
            entry.state = State::Loaded { bytes: held, instances: wanted };
            effects.push(Effect::Resize { entry: *id, instances: wanted });
        }
    }

    fn set_state(&mut self, id: EntryId, state: State) {
        if let Some(entry) = self.table.entries.get_mut(&id) {
            entry.state = state;
        }
    }
}

fn entry_target(table: &Table, id: EntryId) -> Option<Target> {
    table.entries.get(&id).map(|entry| entry.target.clone())
}

fn unpinned(why: String) -> VersionFailure {
    VersionFailure {
        location: FailureLocation::Download,
        reason: "Unpinned".to_owned(),
        message: why,
        retryable: false,
        retry_after: None,
    }
}

fn too_large(peak: u64, budget: u64) -> VersionFailure {
    VersionFailure {
        location: FailureLocation::Memory,
        reason: "TooLarge".to_owned(),
        message: format!(
            "loading takes {peak} bytes, more than the whole of memory.host, {budget} bytes: raise memory.host or \
             lower instances"
        ),
        retryable: false,
        retry_after: None,
    }
}

fn full(peak: u64, protected: u64, budget: u64) -> VersionFailure {
    VersionFailure {
        location: FailureLocation::Memory,
        reason: "BudgetFull".to_owned(),
        message: format!(
            "loading takes {peak} bytes, but versions that may not be evicted hold {protected} of the {budget} bytes \
             of memory.host: raise memory.host, or set keep: false or load: Lazy on another model"
        ),
        retryable: true,
        retry_after: None,
    }
}

#[cfg(test)]
mod tests;
