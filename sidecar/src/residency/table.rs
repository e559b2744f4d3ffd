//! Everything the state machine knows, with the questions that its steps ask of it.

use std::collections::{BTreeMap, BTreeSet};

use ostler_crds::names::LoadPolicy;

use super::budget::{Bound, Budget, Scope};
use super::entry::{Entry, FailureRecord, State};
use super::event::{Attempt, EntryId, Moment, WaiterId};
use super::holding::Holding;
use super::lru::{Resident, Stay};
use crate::target::{Target, VersionKey};

/// A request that waits.
#[derive(Debug, Clone)]
pub(super) struct Waiter {
    /// The chosen version, then its fallbacks.
    pub(super) candidates: Vec<VersionKey>,
    /// An older pin of the version will not do.
    pub(super) planned_pin_only: bool,
    /// Which of them it waits for.
    pub(super) position: usize,
    /// Those that were passed over, each with its failure: the chosen one first.
    pub(super) failed: Vec<(VersionKey, FailureRecord)>,
    /// When it came.
    pub(super) since: Moment,
    /// When it gives up.
    pub(super) deadline: Moment,
}

/// What everything must fit into together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Together {
    pub(super) budget: Budget,
    /// What the system has for models, as far as it was measured.
    pub(super) real: Option<Bound>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    pub(super) entries: BTreeMap<EntryId, Entry>,
    /// The entry of each key that the plan holds.
    pub(super) desired: BTreeMap<VersionKey, EntryId>,
    /// Older pins that are loaded and answer until their successor is. The plan may hold them no longer, or in its history.
    pub(super) retired: BTreeSet<EntryId>,
    pub(super) waiters: BTreeMap<WaiterId, Waiter>,
    last_entry: u64,
    last_attempt: u64,
}

impl Table {
    pub(super) fn next_attempt(&mut self) -> Attempt {
        self.last_attempt += 1;
        Attempt(self.last_attempt)
    }

    pub(super) fn insert(&mut self, entry: Entry) -> EntryId {
        self.last_entry += 1;
        let id = EntryId(self.last_entry);
        self.entries.insert(id, entry);
        id
    }

    /// For each key that requests wait for, the one that has waited longest.
    pub(super) fn demanded(&self) -> BTreeMap<VersionKey, WaiterId> {
        let mut demanded = BTreeMap::new();
        for (id, waiter) in &self.waiters {
            if let Some(key) = waiter.candidates.get(waiter.position) {
                demanded.entry(key.clone()).or_insert(*id);
            }
        }
        demanded
    }

    /// Entries that ought to be loaded and are not.
    pub(super) fn wanted(&self) -> BTreeSet<EntryId> {
        let demanded = self.demanded();
        let is_wanted = |entry: &Entry| {
            entry.in_plan && !entry.is_loaded() && (entry.called || demanded.contains_key(&entry.target.key))
        };
        self.entries.iter().filter(|(_, entry)| is_wanted(entry)).map(|(id, _)| *id).collect()
    }

    /// Whether a request that waits for a fallback would rather have this entry.
    pub(super) fn is_preferred(&self, id: EntryId) -> bool {
        let Some(entry) = self.entries.get(&id).filter(|entry| entry.in_plan) else { return false };
        let prefers = |waiter: &Waiter| {
            waiter.candidates.iter().take(waiter.position).any(|key| *key == entry.target.key)
        };
        self.waiters.values().any(prefers)
    }

    /// An older pin of the same version that is loaded. Whoever asks for a pin of the history wants no other.
    pub(super) fn loaded_predecessor(&self, key: &VersionKey) -> Option<EntryId> {
        if key.retired.is_some() {
            return None;
        }
        let is_predecessor = |entry: &Entry| entry.is_loaded() && entry.target.key.is_same_version(key);
        let mut retired = self.retired.iter().rev();
        retired.find(|id| self.entries.get(id).is_some_and(is_predecessor)).copied()
    }

    /// An entry has been loaded: what answered for it does so no longer, and neither does it for another one.
    pub(super) fn relieve(&mut self, loaded: EntryId) {
        let Some(key) = self.entries.get(&loaded).map(|entry| &entry.target.key) else { return };
        let is_over = |id: &EntryId| {
            let of_version = self.entries.get(id).is_some_and(|it| it.target.key.is_same_version(key));
            *id == loaded || (key.retired.is_none() && of_version)
        };
        let stays: BTreeSet<EntryId> = self.retired.iter().copied().filter(|id| !is_over(id)).collect();
        self.retired = stays;
    }

    /// What answers requests for a key now.
    pub(super) fn serving(&self, key: &VersionKey, planned_pin_only: bool) -> Option<EntryId> {
        let desired = *self.desired.get(key)?;
        match self.entries.get(&desired) {
            Some(entry) if entry.is_loaded() => Some(desired),
            _ if planned_pin_only => None,
            _ => self.loaded_predecessor(key),
        }
    }

    /// The target whose `keep` and `load` hold for an entry: an older pin is as its successor while it answers for it.
    pub(super) fn policy<'table>(&'table self, id: EntryId, entry: &'table Entry) -> &'table Target {
        let stands_in = self.retired.contains(&id);
        let successor = stands_in.then(|| self.desired.get(&entry.target.key.present())).flatten();
        successor.and_then(|successor| self.entries.get(successor)).map_or(&entry.target, |it| &it.target)
    }

    /// When an entry is unloaded because nobody uses it, or, while somebody does, when to look again. An older pin stays
    /// for its successor.
    pub(super) fn idle_at(&self, id: EntryId, entry: &Entry, now: Moment) -> Option<Moment> {
        let used_at = if entry.leases > 0 { now } else { entry.last_used };
        let ends = entry.in_plan && entry.is_loaded() && !self.retired.contains(&id);
        entry.target.idle_time.filter(|_| ends).map(|time| used_at + time)
    }

    pub(super) fn reserved_bytes(&self) -> u64 {
        self.entries.values().map(Entry::holding).sum::<Holding>().bytes()
    }

    /// What everything takes that is under the same bound as an entry, the entry included.
    pub(super) fn holding(&self, entry: &Entry, scope: Scope) -> Holding {
        let members = self.entries.values().filter(|other| Self::shared(entry, other) <= scope);
        members.map(Entry::holding).sum()
    }

    /// Everything that an entry must fit into, the narrowest first.
    pub(super) fn bounds(entry: &Entry, together: &Together) -> Vec<Bound> {
        let limits = Self::limits(entry).into_iter();
        limits.chain([together.budget.bound()]).chain(together.real).collect()
    }

    /// The limits within the budget that an entry is under, the narrowest first.
    pub(super) fn limits(entry: &Entry) -> Vec<Bound> {
        let target = &entry.target;
        let model = target.model_limit_bytes.map(|bytes| Bound::limit(Scope::Model, bytes));
        let task = target.task_limit_bytes.map(|bytes| Bound::limit(Scope::Task, bytes));
        [model, task].into_iter().flatten().collect()
    }

    /// The narrowest bound that two entries share.
    pub(super) fn shared(one: &Entry, other: &Entry) -> Scope {
        if one.target.key.model == other.target.key.model {
            Scope::Model
        } else if one.target.task == other.target.task {
            Scope::Task
        } else {
            Scope::Budget
        }
    }

    /// Everything else that holds memory, as it looks to `claiming`, which wants to load, or to work on one job more.
    pub(super) fn residents(&self, claiming: EntryId, is_demanded: bool, now: Moment) -> Vec<Resident> {
        let Some(claimer) = self.entries.get(&claiming) else { return Vec::new() };
        let wanted = self.wanted();
        let held_up: BTreeSet<EntryId> =
            self.waiters.values().filter_map(|waiter| self.held_up_at(waiter)).collect();
        let stay = |id: &EntryId, entry: &Entry| {
            // Versions that are preloaded never push each other out: only a request may.
            let policy = self.policy(*id, entry);
            let is_planned = entry.in_plan || self.retired.contains(id);
            let is_protected = is_planned
                && !entry.is_ahead()
                && (policy.keep || (!is_demanded && policy.load == LoadPolicy::Preload));
            let is_predecessor = self.retired.contains(id)
                && claimer.target.key.retired.is_none()
                && entry.target.key.is_same_version(&claimer.target.key);
            match entry.state {
                State::Freeing { .. } => Stay::Leaving,
                State::Loading { .. } if !wanted.contains(id) => Stay::Leaving,
                State::Loaded { .. } if is_predecessor => {
                    if entry.leases == 0 && !held_up.contains(id) {
                        Stay::IdlePredecessor
                    } else {
                        Stay::Busy
                    }
                }
                _ if is_protected => Stay::Protected,
                // Whoever waits for working memory would have to wait for its weights too.
                State::Loaded { .. }
                    if entry.leases == 0 && !held_up.contains(id) && !entry.is_young(now) =>
                {
                    Stay::Idle
                }
                _ => Stay::Busy,
            }
        };
        let holders =
            self.entries.iter().filter(|(id, entry)| **id != claiming && entry.reserved_bytes() > 0);
        holders
            .map(|(id, entry)| Resident {
                entry: *id,
                holding: entry.holding(),
                shares: Self::shared(claimer, entry),
                last_used: entry.recency(),
                stay: stay(id, entry),
            })
            .collect()
    }
}
