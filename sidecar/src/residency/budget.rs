//! Exact reservations against the memory budget and the limits within it: decided before any weight is read.

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
    /// It, as what a load must fit into.
    pub(super) fn bound(&self) -> Bound {
        Bound {
            scope: Scope::Budget,
            bytes: self.bytes,
            limit_bytes: self.bytes,
            evict_above: self.percent(self.evict_above_percent),
            evict_to: self.percent(self.evict_to_percent),
        }
    }

    fn percent(&self, percent: u8) -> u64 {
        let bytes = u128::from(self.bytes) * u128::from(percent.min(100)) / 100;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

/// What a bound holds together, each within the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// All versions of one model: its `memoryLimit`.
    Model,
    /// All models of one task: its entry in `memory.limits`.
    Task,
    /// Everything: `memory.host`.
    Budget,
    /// Everything, as far as memory is really there.
    Real,
}

/// Something that a load must fit into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bound {
    /// What it holds together.
    pub(super) scope: Scope,
    /// The most that its members may take.
    pub(super) bytes: u64,
    /// The limit that this comes from, for messages.
    pub(super) limit_bytes: u64,
    /// Above this, idle members are evicted for a new one.
    pub(super) evict_above: u64,
    /// Eviction goes on until this.
    pub(super) evict_to: u64,
}

impl Bound {
    /// A limit without marks: members are evicted only as far as a new one needs it.
    pub(super) fn limit(scope: Scope, bytes: u64) -> Self {
        Self { scope, bytes, limit_bytes: bytes, evict_above: bytes, evict_to: bytes }
    }
}

/// Why there is no room for a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortage {
    /// The bound that it does not fit into.
    pub scope: Scope,
    /// What must be free for it.
    pub needed_bytes: u64,
    /// What is free, or could be made free now.
    pub free_bytes: u64,
    /// All that the bound allows.
    pub limit_bytes: u64,
}

/// What to do with a version that wants to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Admission {
    /// It fits now. The evictions only make headroom.
    Start { evict: Vec<EntryId> },
    /// It fits once these, and whatever is being freed already, are gone.
    Evict { evict: Vec<EntryId> },
    /// It may fit later: when leases are given back, or a minimum residency is over.
    Wait(Shortage),
    /// It is larger than a whole bound, or than what could be had at most.
    TooLarge(Shortage),
    /// What may never be evicted leaves no room for it.
    Full(Shortage),
}

/// Decides over `peak` bytes, with `residents` everything that has bytes reserved, for each of `bounds`, the narrowest
/// first.
///
/// 1. More than a bound is never admitted.
/// 2. Below the upper mark it starts.
/// 3. Else idle members go, least recently used first, until the lower mark; then it starts or waits for their bytes.
///    A version's own predecessor goes only where nothing else makes room.
/// 4. Where even that does not make room, nobody is evicted in vain: it waits, or it fails if only protected versions
///    are in the way.
pub(super) fn admit(bounds: &[Bound], peak: u64, residents: &[Resident]) -> Admission {
    let shortage = |bound: &Bound, taken: u64| Shortage {
        scope: bound.scope,
        needed_bytes: peak,
        free_bytes: bound.bytes.saturating_sub(taken),
        limit_bytes: bound.limit_bytes,
    };
    if let Some(bound) = bounds.iter().find(|bound| peak > bound.bytes) {
        return Admission::TooLarge(shortage(bound, 0));
    }
    let mut evict: Vec<EntryId> = Vec::new();
    for bound in bounds {
        let is_left = |it: &&Resident| it.shares <= bound.scope && !evict.contains(&it.entry);
        let left: Vec<&Resident> = residents.iter().filter(is_left).collect();
        let staying = left.iter().filter(|it| it.stay != Stay::Leaving);
        let mut rest: u64 = staying.map(|it| it.bytes).sum();
        if rest.saturating_add(peak) > bound.evict_above {
            for (stay, mark) in [(Stay::Idle, bound.evict_to), (Stay::IdlePredecessor, bound.bytes)] {
                for candidate in by_last_use(&left, stay) {
                    if rest.saturating_add(peak) <= mark {
                        break;
                    }
                    rest -= candidate.bytes;
                    evict.push(candidate.entry);
                }
            }
        }
        if rest.saturating_add(peak) > bound.bytes {
            let protected = left.iter().filter(|it| it.stay == Stay::Protected);
            let protected_bytes: u64 = protected.map(|it| it.bytes).sum();
            if protected_bytes.saturating_add(peak) > bound.bytes {
                return Admission::Full(shortage(bound, protected_bytes));
            }
            return Admission::Wait(shortage(bound, rest));
        }
    }
    let fits_now = |bound: &Bound| {
        let members = residents.iter().filter(|it| it.shares <= bound.scope);
        members.map(|it| it.bytes).sum::<u64>().saturating_add(peak) <= bound.bytes
    };
    if bounds.iter().all(fits_now) { Admission::Start { evict } } else { Admission::Evict { evict } }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const BUDGET: Budget = Budget { bytes: 100, evict_above_percent: 80, evict_to_percent: 70 };

    fn resident(entry: u64, bytes: u64, stay: Stay) -> Resident {
        let (shares, last_used) = (Scope::Budget, Duration::from_secs(entry));
        Resident { entry: EntryId(entry), bytes, shares, last_used, stay }
    }

    fn shortage(scope: Scope, needed_bytes: u64, free_bytes: u64, limit_bytes: u64) -> Shortage {
        Shortage { scope, needed_bytes, free_bytes, limit_bytes }
    }

    #[test]
    fn decisions_follow_the_table() {
        use Admission::{Evict, Full, Start, TooLarge, Wait};
        let none = Vec::new;
        let idle = |entry, bytes| resident(entry, bytes, Stay::Idle);
        let table: Vec<(&str, u64, Vec<Resident>, Admission)> = vec![
            ("larger than the budget", 101, vec![], TooLarge(shortage(Scope::Budget, 101, 100, 100))),
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
            (
                "leases are waited for",
                60,
                vec![resident(1, 50, Stay::Busy)],
                Wait(shortage(Scope::Budget, 60, 50, 100)),
            ),
            (
                "nobody goes in vain",
                60,
                vec![resident(1, 50, Stay::Busy), idle(2, 30)],
                Wait(shortage(Scope::Budget, 60, 50, 100)),
            ),
            (
                "of those used at the same moment the largest goes first",
                30,
                vec![idle(1, 20), Resident { last_used: Duration::from_secs(1), ..idle(2, 40) }],
                Start { evict: vec![EntryId(2)] },
            ),
            (
                "protected versions alone are a failure",
                60,
                vec![resident(1, 50, Stay::Protected), idle(2, 30)],
                Full(shortage(Scope::Budget, 60, 50, 100)),
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
            assert_eq!(admit(&[BUDGET.bound()], peak, &residents), expected, "{name}");
        }
    }

    #[test]
    fn limits_within_the_budget_follow_the_table() {
        use Admission::{Evict, Full, Start, TooLarge, Wait};
        let bounds = [Bound::limit(Scope::Model, 40), Bound::limit(Scope::Task, 60), BUDGET.bound()];
        let shared = |shares, resident: Resident| Resident { shares, ..resident };
        let idle = |entry, bytes, shares| shared(shares, resident(entry, bytes, Stay::Idle));
        let table: Vec<(&str, u64, Vec<Resident>, Admission)> = vec![
            ("larger than its model's limit", 41, vec![], TooLarge(shortage(Scope::Model, 41, 40, 40))),
            (
                "an idle version of the same model goes, though others were used longer ago",
                30,
                vec![idle(1, 20, Scope::Task), idle(2, 20, Scope::Model)],
                Evict { evict: vec![EntryId(2)] },
            ),
            (
                "an idle version of the same task goes, though others were used longer ago",
                30,
                vec![idle(1, 10, Scope::Budget), idle(2, 40, Scope::Task)],
                Evict { evict: vec![EntryId(2)] },
            ),
            (
                "who leaves for the model's sake leaves for the budget's too",
                30,
                vec![idle(1, 30, Scope::Model), idle(2, 40, Scope::Budget)],
                Evict { evict: vec![EntryId(1)] },
            ),
            (
                "others do not count",
                30,
                vec![shared(Scope::Budget, resident(1, 50, Stay::Protected))],
                Start { evict: vec![] },
            ),
            (
                "a version in use of the same model is waited for, and nobody goes in vain",
                30,
                vec![shared(Scope::Model, resident(1, 20, Stay::Busy)), idle(2, 60, Scope::Budget)],
                Wait(shortage(Scope::Model, 30, 20, 40)),
            ),
            (
                "what is kept fills the task's limit",
                30,
                vec![shared(Scope::Task, resident(1, 40, Stay::Protected))],
                Full(shortage(Scope::Task, 30, 20, 60)),
            ),
        ];
        for (name, peak, residents, expected) in table {
            assert_eq!(admit(&bounds, peak, &residents), expected, "{name}");
        }
    }

    #[test]
    fn a_load_reserves_scratch_for_every_instance_and_the_transient_on_top() {
        let footprint = Footprint { resident_bytes: 100, transient_bytes: 50, scratch_bytes: 10 };
        assert_eq!((footprint.held(3), footprint.peak(3)), (130, 180));
    }
}
