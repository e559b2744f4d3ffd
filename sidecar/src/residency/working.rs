//! Working memory for requests whose version is loaded. It is reserved with the lease, so that versions that nobody
//! uses hold their weights alone. Mostly it is there: see [`super::holding`].
//!
//! Where it is not, running jobs are waited for first, because most end soon, and weights that go for a job have to be
//! read again later. After some patience idle versions make room, so that nobody waits for a long job of others.

use super::admission::{Admission, admit};
use super::budget::{Bound, Shortage};
use super::event::{Effect, EntryId, Moment};
use super::holding::Holding;
use super::machine::Machine;
use super::table::{Table, Together, Waiter};

impl Table {
    /// Whether the working memory of one job more on an entry fits. What is reserved already needs no room.
    pub(super) fn can_work(&self, id: EntryId, together: &Together) -> bool {
        let Some(entry) = self.entries.get(&id) else { return false };
        let more = entry.next_job_bytes();
        more == 0
            || Self::bounds(entry, together).iter().all(|bound| {
                let held = self.holding(entry, bound.scope);
                let needed = held.with_work(more).bytes();
                needed <= held.bytes().max(bound.bytes)
            })
    }

    /// The loaded version that a request waits for, for want of working memory.
    pub(super) fn held_up_at(&self, waiter: &Waiter) -> Option<EntryId> {
        self.serving(waiter.candidates.get(waiter.position)?, waiter.planned_pin_only)
    }
}

impl Machine {
    /// Evicts for requests that have waited long enough for working memory, the oldest first, as far as each needs.
    pub(super) fn make_room_to_work(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let held_up = |waiter: &Waiter| Some((self.table.held_up_at(waiter)?, waiter.since));
        let held_up: Vec<(EntryId, Moment)> = self.table.waiters.values().filter_map(held_up).collect();
        for (id, since) in held_up {
            let Some(entry) = self.table.entries.get(&id) else { continue };
            let claim = entry.holding().with_work(entry.next_job_bytes());
            let bounds: Vec<Bound> =
                Table::bounds(entry, &self.together()).into_iter().map(Bound::without_marks).collect();
            let residents = self.table.residents(id, true, now);
            let shortage = match admit(&bounds, claim, &residents) {
                Admission::Start { evict } | Admission::Evict { evict } => {
                    if now >= since + self.settings.patience && !evict.is_empty() {
                        self.evict(&evict, effects);
                        // Whoever comes next is looked at when it is known what this has made free.
                        self.lack_room_to_work(claim);
                        return;
                    }
                    self.lack_room_to_work(claim);
                    continue;
                }
                Admission::Wait(shortage) | Admission::TooLarge(shortage) | Admission::Full(shortage) => {
                    shortage
                }
            };
            self.shortage.get_or_insert(shortage);
        }
    }

    fn lack_room_to_work(&mut self, claim: Holding) {
        let budget = self.settings.budget.bound();
        self.shortage.get_or_insert(Shortage {
            scope: budget.scope,
            needed_bytes: claim.bytes(),
            free_bytes: budget.bytes.saturating_sub(self.table.reserved_bytes()),
            limit_bytes: budget.bytes,
        });
    }
}
