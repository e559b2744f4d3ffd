//! Exact reservations against the memory budget and the limits within it: decided before any weight is read.

use super::budget::{Bound, Shortage};
use super::event::EntryId;
use super::holding::Holding;
use super::lru::{Resident, Stay, by_last_use};

/// What to do with a version that wants to load, or to work on one job more.
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

/// Decides over what a version claims, with `residents` everything else that has bytes reserved, for each of `bounds`,
/// the narrowest first.
///
/// 1. More than a bound is never admitted.
/// 2. Below the upper mark it starts.
/// 3. Else idle members go, least recently used first, until the lower mark; then it starts or waits for their bytes.
///    A version's own predecessor goes only where nothing else makes room.
/// 4. Where even that does not make room, nobody is evicted in vain: it waits, or it fails if only protected versions
///    are in the way.
pub(super) fn admit(bounds: &[Bound], claim: Holding, residents: &[Resident]) -> Admission {
    let shortage = |bound: &Bound, taken: u64| Shortage {
        scope: bound.scope,
        needed_bytes: claim.bytes(),
        free_bytes: bound.bytes.saturating_sub(taken),
        limit_bytes: bound.limit_bytes,
    };
    if let Some(bound) = bounds.iter().find(|bound| claim.bytes() > bound.bytes) {
        return Admission::TooLarge(shortage(bound, 0));
    }
    let mut evict: Vec<EntryId> = Vec::new();
    for bound in bounds {
        let is_left = |it: &&Resident| it.shares <= bound.scope && !evict.contains(&it.entry);
        let left: Vec<&Resident> = residents.iter().filter(is_left).collect();
        let taken = |evict: &[EntryId]| -> Holding {
            let stays = |it: &&&Resident| it.stay != Stay::Leaving && !evict.contains(&it.entry);
            left.iter().filter(stays).map(|it| it.holding).sum()
        };
        let with_claim = |taken: Holding| [taken, claim].into_iter().sum::<Holding>().bytes();
        if with_claim(taken(&evict)) > bound.evict_above {
            for (stay, mark) in [(Stay::Idle, bound.evict_to), (Stay::IdlePredecessor, bound.bytes)] {
                for candidate in by_last_use(&left, stay) {
                    if with_claim(taken(&evict)) <= mark {
                        break;
                    }
                    evict.push(candidate.entry);
                }
            }
        }
        if with_claim(taken(&evict)) > bound.bytes {
            let protected = left.iter().filter(|it| it.stay == Stay::Protected);
            // Their jobs end.
            let protected: Holding = protected.map(|it| Holding { working: 0, ..it.holding }).sum();
            if with_claim(protected) > bound.bytes {
                return Admission::Full(shortage(bound, protected.bytes()));
            }
            return Admission::Wait(shortage(bound, taken(&evict).bytes()));
        }
    }
    let fits_now = |bound: &Bound| {
        let members = residents.iter().filter(|it| it.shares <= bound.scope);
        members.map(|it| it.holding).chain([claim]).sum::<Holding>().bytes() <= bound.bytes
    };
    if bounds.iter().all(fits_now) { Admission::Start { evict } } else { Admission::Evict { evict } }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::budget::{Budget, Scope};
    use super::*;

    const BUDGET: Budget = Budget { bytes: 100, evict_above_percent: 80, evict_to_percent: 70 };

    fn resident(entry: u64, bytes: u64, stay: Stay) -> Resident {
        let (shares, last_used) = (Scope::Budget, Duration::from_secs(entry));
        let holding = Holding { fixed: bytes, ..Holding::default() };
        Resident { entry: EntryId(entry), holding, shares, last_used, stay }
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
            let claim = Holding { fixed: peak, ..Holding::default() };
            assert_eq!(admit(&[BUDGET.bound()], claim, &residents), expected, "{name}");
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
            let claim = Holding { fixed: peak, ..Holding::default() };
            assert_eq!(admit(&bounds, claim, &residents), expected, "{name}");
        }
    }

    #[test]
    fn working_memory_is_shared_and_jobs_that_end_make_room() {
        use Admission::{Evict, Full, Start, TooLarge, Wait};
        let claim = |fixed, job| Holding { fixed, working: 0, job };
        let holding = |holding, resident: Resident| Resident { holding, ..resident };
        let idle = |entry, fixed, job| holding(claim(fixed, job), resident(entry, 0, Stay::Idle));
        let busy =
            |entry, fixed, job| holding(claim(fixed, job).with_work(job), resident(entry, 0, Stay::Busy));
        let kept = |entry, fixed, job| {
            holding(claim(fixed, job).with_work(job), resident(entry, 0, Stay::Protected))
        };
        let table: Vec<(&str, Holding, Vec<Resident>, Admission)> = vec![
            ("weights and a job", claim(90, 20), vec![], TooLarge(shortage(Scope::Budget, 110, 100, 100))),
            (
                "one job's room is enough for all that are idle",
                claim(30, 20),
                vec![idle(1, 30, 20)],
                Start { evict: vec![] },
            ),
            (
                "whose jobs take most may have to go for others' weights",
                claim(30, 5),
                vec![idle(1, 20, 55)],
                Evict { evict: vec![EntryId(1)] },
            ),
            (
                "a running job is waited for",
                claim(20, 0).with_work(30),
                vec![busy(1, 20, 40)],
                Wait(shortage(Scope::Budget, 50, 40, 100)),
            ),
            (
                "even where its version may never leave",
                claim(30, 20),
                vec![kept(1, 20, 40)],
                Start { evict: vec![] },
            ),
            (
                "the weights of what is kept leave no room",
                claim(30, 20),
                vec![kept(1, 55, 10)],
                Full(shortage(Scope::Budget, 50, 35, 100)),
            ),
        ];
        for (name, claim, residents, expected) in table {
            assert_eq!(admit(&[BUDGET.bound()], claim, &residents), expected, "{name}");
        }
    }
}
