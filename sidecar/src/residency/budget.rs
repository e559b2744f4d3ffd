//! Exact reservations against the memory budget: decided before any weight is read.

use super::event::EntryId;
use super::lru::{Resident, Stay, by_last_use};

/// The bytes that one engine takes, known from file headers alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Weights and tables, for as long as it is loaded.
    pub resident_bytes: u64,
    /// More on top of that while it is being loaded.
    pub transient_bytes: u64,
    /// Working memory of one running job.
    pub scratch_bytes: u64,
}

impl Footprint {
    /// What stays reserved while it is loaded, with every instance at work.
    #[must_use]
    pub fn held(&self, instances: u32) -> u64 {
        self.resident_bytes.saturating_add(self.scratch_bytes.saturating_mul(u64::from(instances)))
    }

    /// What must be free to load it.
    #[must_use]
    pub fn peak(&self, instances: u32) -> u64 {
        self.held(instances).saturating_add(self.transient_bytes)
    }
}

/// The memory that models may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// All of it.
    pub bytes: u64,
    /// Above this percentage idle versions are evicted for a new one.
    pub evict_above_percent: u8,
    /// Eviction goes on until this percentage.
    pub evict_to_percent: u8,
}

impl Budget {
    fn percent(&self, percent: u8) -> u64 {
        let bytes = u128::from(self.bytes) * u128::from(percent.min(100)) / 100;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

/// What to do with a version that wants to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Admission {
    /// It fits now. The evictions only make headroom.
    Start { evict: Vec<EntryId> },
    /// It fits once these, and whatever is being freed already, are gone.
    Evict { evict: Vec<EntryId> },
    /// It may fit later: when leases are given back, or a minimum residency is over.
    Wait,
    /// It is larger than the whole budget.
    TooLarge,
    /// What may never be evicted leaves no room for it.
    Full { protected_bytes: u64 },
}

/// Decides over `peak` bytes, with `residents` everything that has bytes reserved.
///
/// 1. More than the budget is never admitted.
/// 2. Below the upper mark it starts.
/// 3. Else idle versions go, least recently used first, until the lower mark; then it starts or waits for their
///    bytes. A version's own predecessor goes only where nothing else makes room.
/// 4. Where even that does not make room, nobody is evicted in vain: it waits, or it fails if only protected
///    versions are in the way.
pub(super) fn admit(budget: &Budget, peak: u64, residents: &[Resident]) -> Admission {
    if peak > budget.bytes {
        return Admission::TooLarge;
    }
    let reserved: u64 = residents.iter().map(|resident| resident.bytes).sum();
    let staying: u64 = residents.iter().filter(|it| it.stay != Stay::Leaving).map(|it| it.bytes).sum();
    if reserved.saturating_add(peak) <= budget.percent(budget.evict_above_percent) {
        return Admission::Start { evict: Vec::new() };
    }
    let mut rest = staying;
    let mut evict = Vec::new();
    if rest.saturating_add(peak) > budget.percent(budget.evict_above_percent) {
        let lower_mark = budget.percent(budget.evict_to_percent);
        for candidate in by_last_use(residents, Stay::Idle) {
            if rest.saturating_add(peak) <= lower_mark {
                break;
            }
            rest -= candidate.bytes;
            evict.push(candidate.entry);
        }
        for candidate in by_last_use(residents, Stay::IdlePredecessor) {
            if rest.saturating_add(peak) <= budget.bytes {
                break;
            }
            rest -= candidate.bytes;
            evict.push(candidate.entry);
        }
    }
    if rest.saturating_add(peak) <= budget.bytes {
        if reserved.saturating_add(peak) <= budget.bytes {
            return Admission::Start { evict };
        }
        return Admission::Evict { evict };
    }
    let protected = residents.iter().filter(|it| it.stay == Stay::Protected);
    let protected_bytes: u64 = protected.map(|it| it.bytes).sum();
    if protected_bytes.saturating_add(peak) > budget.bytes {
        return Admission::Full { protected_bytes };
    }
    Admission::Wait
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const BUDGET: Budget = Budget { bytes: 100, evict_above_percent: 80, evict_to_percent: 70 };

    fn resident(entry: u64, bytes: u64, stay: Stay) -> Resident {
        Resident { entry: EntryId(entry), bytes, last_used: Duration::from_secs(entry), stay }
    }

    #[test]
    fn decisions_follow_the_table() {
        use Admission::{Evict, Full, Start, TooLarge, Wait};
        let none = Vec::new;
        let idle = |entry, bytes| resident(entry, bytes, Stay::Idle);
        let table: Vec<(&str, u64, Vec<Resident>, Admission)> = vec![
            ("larger than the budget", 101, vec![], TooLarge),
            ("the first one up to the whole budget", 100, vec![], Start { evict: none() }),
            ("below the upper mark nobody goes", 30, vec![idle(1, 50)], Start { evict: none() }),
            (
                "above the upper mark the least recently used go until the lower mark",
                30,
                vec![idle(2, 20), idle(1, 20), idle(3, 20)],
                Start { evict: vec![EntryId(1)] },
            ),
            (
                "over the budget it waits for their bytes",
                60,
                vec![idle(1, 50), idle(2, 10)],
                Evict { evict: vec![EntryId(1)] },
            ),
            (
                "bytes being freed count, and are not freed twice",
                60,
                vec![resident(1, 50, Stay::Leaving), idle(2, 10)],
                Evict { evict: none() },
            ),
            ("leases are waited for", 60, vec![resident(1, 50, Stay::Busy)], Wait),
            ("nobody goes in vain", 60, vec![resident(1, 50, Stay::Busy), idle(2, 30)], Wait),
            (
                "protected versions alone are a failure",
                60,
                vec![resident(1, 50, Stay::Protected), idle(2, 30)],
                Full { protected_bytes: 50 },
            ),
            (
                "the predecessor stays where both fit",
                50,
                vec![resident(1, 50, Stay::IdlePredecessor)],
                Start { evict: none() },
            ),
            (
                "the predecessor goes where they do not",
                60,
                vec![resident(1, 50, Stay::IdlePredecessor)],
                Evict { evict: vec![EntryId(1)] },
            ),
        ];
        for (name, peak, residents, expected) in table {
            assert_eq!(admit(&BUDGET, peak, &residents), expected, "{name}");
        }
    }

    #[test]
    fn a_load_reserves_scratch_for_every_instance_and_the_transient_on_top() {
        let footprint = Footprint { resident_bytes: 100, transient_bytes: 50, scratch_bytes: 10 };
        assert_eq!((footprint.held(3), footprint.peak(3)), (130, 180));
    }
}
