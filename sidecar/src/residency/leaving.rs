//! What leaves memory though no load needs its place: what nobody uses, what a lowered limit no longer allows, and what
//! must go because the system itself runs out of memory.

use super::entry::{Entry, State};
use super::event::{Effect, EntryId, Moment};
use super::holding::Holding;
use super::machine::Machine;
use super::pressure::RealMemory;
use super::table::Table;

impl Machine {
    /// Takes over what the system says, and evicts early where it runs out. Says whether a load may start now.
    ///
    /// What models may really take is known only while none is on its way in or out, because nobody can tell how much
    /// of it is in memory then; until it is measured again, the last figure stands.
    pub(super) fn measured(&mut self, memory: RealMemory, effects: &mut Vec<Effect>) -> bool {
        let entries = self.table.entries.values();
        let is_loading = entries.clone().any(|entry| matches!(entry.state, State::Loading { .. }));
        let is_leaving = |entry: &&Entry| matches!(entry.state, State::Freeing { .. });
        let leaving_bytes: u64 = entries.clone().filter(is_leaving).map(Entry::reserved_bytes).sum();
        if !is_loading && leaving_bytes == 0 {
            self.real = Some(memory.bound(entries.map(Entry::reserved_bytes).sum()));
        }
        let mut to_free = memory.to_free(!is_loading, leaving_bytes);
        for (_, id) in self.candidates() {
            if to_free == 0 {
                break;
            }
            to_free = to_free.saturating_sub(self.table.entries.get(&id).map_or(0, Entry::reserved_bytes));
            self.evict(&[id], effects);
        }
        self.shortage.is_some()
    }

    /// Idle versions that are not kept, least recently used first.
    fn candidates(&self) -> Vec<(Moment, EntryId)> {
        let is_candidate = |id: EntryId, entry: &Entry| {
            let is_kept = self.table.policy(id, entry).keep && !entry.is_ahead();
            entry.is_loaded() && entry.leases == 0 && !is_kept
        };
        let idle = self.table.entries.iter().filter(|(id, entry)| is_candidate(**id, entry));
        let mut idle: Vec<(Moment, EntryId)> = idle.map(|(id, entry)| (entry.recency(), *id)).collect();
        idle.sort_unstable();
        idle
    }

    /// Unloads what nobody has used for the time that its model's spec allows.
    pub(super) fn unload_idle(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let is_over = |id: EntryId, entry: &Entry| {
            entry.leases == 0 && self.table.idle_at(id, entry, now).is_some_and(|end| end <= now)
        };
        let idle = self.table.entries.iter().filter(|(id, entry)| is_over(**id, entry));
        let idle: Vec<EntryId> = idle.map(|(id, _)| *id).collect();
        self.evict(&idle, effects);
    }

    /// A limit that was lowered under what is loaded: idle versions go, least recently used first, until it holds.
    pub(super) fn trim(&mut self, effects: &mut Vec<Effect>) {
        for (_, id) in self.candidates() {
            if self.is_over_limit(id) {
                self.evict(&[id], effects);
            }
        }
    }

    /// Whether what is not leaving takes more than a limit that the entry is under.
    fn is_over_limit(&self, id: EntryId) -> bool {
        let Some(entry) = self.table.entries.get(&id) else { return false };
        Table::limits(entry).into_iter().chain([self.settings.budget.bound()]).any(|bound| {
            let stays = |other: &&Entry| {
                Table::shared(entry, other) <= bound.scope && !matches!(other.state, State::Freeing { .. })
            };
            let staying: Holding = self.table.entries.values().filter(stays).map(Entry::holding).sum();
            staying.bytes() > bound.bytes
        })
    }
}
