//! What moves by itself after each event: failures that have rested are tried again, waiters are settled, transfers
//! and loads start, and what has no place any more goes.

use ostler_crds::names::LoadPolicy;
use ostler_crds::status::FailureLocation;

use super::admission::{Admission, admit};
use super::budget::{Bound, Scope, Shortage};
use super::entry::{Entry, FailureRecord, State};
use super::event::{Effect, EntryId, Moment, Settings, WaiterId};
use super::table::{Table, Together};
use super::{failures, waiting};
use crate::target::VersionFailure;

/// The entries, and the bounds that they are kept in.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    pub(super) settings: Settings,
    pub(super) table: Table,
    /// What the first load that waits for memory lacks, so that a lease given back matters.
    pub(super) shortage: Option<Shortage>,
    /// What the system has for models, as far as it was measured.
    pub(super) real: Option<Bound>,
}

impl Machine {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, table: Table::default(), shortage: None, real: None }
    }

    pub(super) fn fail(&mut self, id: EntryId, failure: VersionFailure, jitter: f64, now: Moment) {
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
    pub(super) fn advance(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        self.expire(now, effects);
        self.unload_idle(now, effects);
        self.resize(effects);
        let together = self.together();
        loop {
            self.retry(now);
            waiting::settle_all(&mut self.table, &together, now, effects);
            self.let_go(effects);
            let has_failed = self.fail_unpinned(now);
            self.start_transfers(effects);
            self.shortage = None;
            self.make_room_to_work(now, effects);
            let has_failed = self.start_loads(now, effects) || has_failed;
            if !has_failed {
                break;
            }
        }
        self.trim(effects);
    }

    /// What everything must fit into together.
    pub(super) fn together(&self) -> Together {
        Together { budget: self.settings.budget, real: self.real }
    }

    /// Sends away whoever has waited too long. The load goes on, so that whoever comes back finds it done.
    fn expire(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let late = self.table.waiters.iter().filter(|(_, waiter)| waiter.deadline <= now);
        let late: Vec<WaiterId> = late.map(|(id, _)| *id).collect();
        for id in late {
            waiting::call(&mut self.table, id);
            self.refuse_as_busy(id, now, effects);
        }
    }

    /// Sends a waiter away because it cannot wait, or not longer.
    pub(super) fn refuse_as_busy(&mut self, id: WaiterId, now: Moment, effects: &mut Vec<Effect>) {
        let ends = self.table.entries.values().filter(|entry| entry.is_loaded() && entry.stays_until > now);
        // Where memory is short, it is there at the end of somebody's minimum residency at the earliest.
        let next_end = ends.map(|entry| entry.stays_until - now).min().filter(|_| self.shortage.is_some());
        waiting::refuse_as_busy(&mut self.table, id, self.shortage.as_ref(), next_end, effects);
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
                    if entry.leases == 0 && !self.table.retired.contains(&id) {
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
            self.fail(id, failures::unpinned(why), 0.0, now);
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
        let mut behind: Vec<(Scope, EntryId)> = Vec::new();
        for (id, is_demanded) in self.queue() {
            let Some(entry) = self.table.entries.get(&id) else { continue };
            let waits_for_its_turn =
                !is_demanded && entry.target.load == LoadPolicy::Preload && !entry.proven;
            if waits_for_its_turn {
                // `Preload` versions begin to load in the plan's order: none before those ahead of it have their memory.
                // A failed one holds up nobody.
                if is_behind_preload {
                    continue;
                }
                is_behind_preload = !matches!(entry.state, State::Failed { .. } | State::Loading { .. });
            }
            let (State::Cached, Some(footprint)) = (entry.state, entry.footprint) else { continue };
            if behind.iter().any(|(scope, first)| self.is_within(*scope, *first, entry)) {
                continue;
            }
            // A load that nobody asked for keeps nobody from loading.
            let is_loading =
                |entry: &&Entry| matches!(entry.state, State::Loading { .. }) && !entry.is_ahead();
            if self.table.entries.values().filter(is_loading).count() >= self.settings.max_loads {
                break;
            }
            let (task, instances) = (entry.target.task, entry.target.instances);
            let claim = footprint.to_load();
            let residents = self.table.residents(id, is_demanded, now);
            match admit(&Table::bounds(entry, &self.together()), claim, &residents) {
                Admission::Start { evict } => {
                    self.evict(&evict, effects);
                    self.begin_load(id, claim.fixed, instances, now, effects);
                    is_behind_preload &= !waits_for_its_turn;
                }
                Admission::Evict { evict } => {
                    self.evict(&evict, effects);
                    let free_bytes = self.settings.budget.bytes.saturating_sub(self.table.reserved_bytes());
                    self.shortage.get_or_insert(Shortage {
                        scope: Scope::Budget,
                        needed_bytes: claim.bytes(),
                        free_bytes,
                        limit_bytes: self.settings.budget.bytes,
                    });
                    break;
                }
                Admission::Wait(shortage) => {
                    self.shortage.get_or_insert(shortage);
                    behind.push((shortage.scope, id));
                }
                // It may fit once one that is being loaded takes no more than it holds.
                Admission::Full(_) if waits_for_its_turn && self.is_preloading() => {}
                Admission::TooLarge(shortage) | Admission::Full(shortage)
                    if shortage.scope == Scope::Real =>
                {
                    self.fail(id, failures::not_free(&shortage), 0.0, now);
                    has_failed = true;
                }
                Admission::TooLarge(shortage) => {
                    self.fail(id, failures::too_large(&shortage, task), 0.0, now);
                    has_failed = true;
                }
                Admission::Full(shortage) => {
                    self.fail(id, failures::full(&shortage, task), 0.0, now);
                    has_failed = true;
                }
            }
        }
        has_failed
    }

    fn is_preloading(&self) -> bool {
        let is_preloading = |entry: &Entry| {
            matches!(entry.state, State::Loading { .. }) && entry.target.load == LoadPolicy::Preload
        };
        self.table.entries.values().any(is_preloading)
    }

    /// Loads an entry, with its memory reserved.
    pub(super) fn begin_load(
        &mut self,
        id: EntryId,
        peak: u64,
        instances: u32,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let attempt = self.table.next_attempt();
        let Some(entry) = self.table.entries.get_mut(&id) else { return };
        entry.state = State::Loading { attempt, bytes: peak, instances };
        entry.load_began_at = now;
        entry.ahead = false;
        effects.push(Effect::Load { entry: id, attempt, target: entry.target.clone() });
    }

    /// Whether an entry is under the same bound as another one.
    fn is_within(&self, scope: Scope, other: EntryId, entry: &Entry) -> bool {
        self.table.entries.get(&other).is_some_and(|other| Table::shared(other, entry) <= scope)
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

    pub(super) fn evict(&mut self, evicted: &[EntryId], effects: &mut Vec<Effect>) {
        for id in evicted {
            let Some(bytes) = self.table.entries.get(id).map(|entry| entry.holding().fixed) else { continue };
            effects.push(Effect::Unload { entry: *id });
            self.set_state(*id, State::Freeing { bytes });
        }
    }

    /// Instances follow the plan. The working memory of more of them is reserved when they are used.
    fn resize(&mut self, effects: &mut Vec<Effect>) {
        for (id, entry) in &mut self.table.entries {
            let wanted = entry.target.instances;
            if let State::Loaded { instances, .. } = &mut entry.state
                && *instances != wanted
            {
                *instances = wanted;
                effects.push(Effect::Resize { entry: *id, instances: wanted });
            }
        }
    }

    fn set_state(&mut self, id: EntryId, state: State) {
        if let Some(entry) = self.table.entries.get_mut(&id) {
            entry.state = state;
        }
    }
}
