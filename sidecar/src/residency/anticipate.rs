//! Loads that nobody has asked for yet: what will probably be asked for is loaded where that takes nothing from anybody.
//!
//! Such a load starts at once or not at all, from files that are on disk already, and only while nothing else is loaded or
//! waits to be. Until somebody uses it, a version that was loaded so is the first to go when memory is needed: it has no
//! minimum residency, and neither `keep` nor `load: Preload` holds for it.

use ostler_crds::names::LoadPolicy;

use super::admission::{Admission, admit};
use super::budget::{Bound, Footprint};
use super::entry::{Entry, State};
use super::event::{AheadBounds, Effect, EntryId, Moment};
use super::holding::Holding;
use super::lru::{Resident, Stay};
use super::machine::Machine;
use super::table::Table;
use crate::target::VersionKey;

impl Machine {
    /// Loads the first of `likely` that may be loaded ahead, and lets those go that were and are not likely any more.
    /// Where memory must become free first, the load is left to the next time.
    pub(super) fn anticipate(
        &mut self,
        likely: &[VersionKey],
        bounds: AheadBounds,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        self.let_unused_go(likely, now, effects);
        if !self.is_at_rest() {
            return;
        }
        for key in likely {
            let Some((id, loading, footprint)) = self.loadable(key) else { continue };
            let instances = loading.target.instances;
            let claim = footprint.to_load();
            if !self.is_within_bounds(claim, bounds) {
                continue;
            }
            match self.admit_ahead(loading, claim, likely, now) {
                Admission::Start { evict } => {
                    self.evict(&evict, effects);
                    self.begin_load(id, claim.fixed, instances, now, effects);
                    if let Some(entry) = self.table.entries.get_mut(&id) {
                        entry.ahead = true;
                    }
                    return;
                }
                Admission::Evict { evict } => return self.evict(&evict, effects),
                // A smaller one may fit.
                Admission::Wait(_) | Admission::TooLarge(_) | Admission::Full(_) => {}
            }
        }
    }

    /// What was loaded ahead, and nobody has used for so long that it was a mistake.
    fn let_unused_go(&mut self, likely: &[VersionKey], now: Moment, effects: &mut Vec<Effect>) {
        let is_mistake =
            |id: EntryId, entry: &Entry| entry.is_ahead() && self.may_go_ahead_of(id, entry, likely, now);
        let mistakes = self.table.entries.iter().filter(|(id, entry)| is_mistake(**id, entry));
        let mistakes: Vec<EntryId> = mistakes.map(|(id, _)| *id).collect();
        self.evict(&mistakes, effects);
    }

    /// Whether nothing is being loaded, and nothing that is wanted could be loaded or fetched.
    fn is_at_rest(&self) -> bool {
        let is_loading = |entry: &Entry| matches!(entry.state, State::Loading { .. });
        let is_open = |id: &EntryId| {
            let entry = self.table.entries.get(id);
            entry.is_some_and(|entry| !matches!(entry.state, State::Failed { .. }))
        };
        self.shortage.is_none()
            && !self.table.entries.values().any(is_loading)
            && !self.table.wanted().iter().any(is_open)
    }

    /// The present pin of a version, where it is on disk, not in memory, and no failure is known of it.
    fn loadable(&self, key: &VersionKey) -> Option<(EntryId, &Entry, Footprint)> {
        let id = *self.table.desired.get(key)?;
        let entry = self.table.entries.get(&id)?;
        let is_fit = entry.state == State::Cached
            && entry.last_failure.is_none()
            && key.retired.is_none()
            && self.table.loaded_predecessor(key).is_none();
        is_fit.then_some((id, entry, entry.footprint?))
    }

    /// Whether so much more may be loaded ahead.
    fn is_within_bounds(&self, claim: Holding, bounds: AheadBounds) -> bool {
        let ahead = self.table.entries.values().filter(|entry| entry.is_ahead());
        let together: Holding = ahead.clone().map(Entry::holding).chain([claim]).sum();
        ahead.count() < bounds.max_versions && together.bytes() <= bounds.max_bytes
    }

    /// Decides over a load ahead: it must fit below the mark above which a request would evict, and only idle versions
    /// that are not likely themselves may go for it.
    fn admit_ahead(&self, loading: &Entry, claim: Holding, likely: &[VersionKey], now: Moment) -> Admission {
        let below_mark =
            |bound: Bound| Bound { bytes: bound.evict_above, evict_to: bound.evict_above, ..bound };
        let bounds: Vec<Bound> =
            Table::bounds(loading, &self.together()).into_iter().map(below_mark).collect();
        let stay = |other: EntryId, entry: &Entry| match entry.state {
            State::Freeing { .. } => Stay::Leaving,
            _ if self.may_go_ahead_of(other, entry, likely, now) => Stay::Idle,
            _ => Stay::Busy,
        };
        let holders = self.table.entries.iter().filter(|(_, entry)| entry.reserved_bytes() > 0);
        let residents: Vec<Resident> = holders
            .map(|(other, entry)| Resident {
                entry: *other,
                holding: entry.holding(),
                shares: Table::shared(loading, entry),
                last_used: entry.recency(),
                stay: stay(*other, entry),
            })
            .collect();
        admit(&bounds, claim, &residents)
    }

    /// Whether a version may go for one that nobody has asked for yet.
    fn may_go_ahead_of(&self, id: EntryId, entry: &Entry, likely: &[VersionKey], now: Moment) -> bool {
        let policy = self.table.policy(id, entry);
        let is_held = !entry.is_ahead() && (policy.keep || policy.load == LoadPolicy::Preload);
        entry.is_loaded()
            && entry.leases == 0
            && !is_held
            && !self.table.retired.contains(&id)
            && !entry.is_young(now)
            && self.is_idle(entry, now)
            && !likely.contains(&entry.target.key)
    }

    fn is_idle(&self, entry: &Entry, now: Moment) -> bool {
        entry.last_used + self.settings.idle_time <= now
    }
}
