//! What versions take of the memory together: weights each for itself, working memory from one pool.
//!
//! A job's working memory is needed only while it runs, so it is reserved with the lease and not with the load. So that
//! whatever is loaded can work, the pool has always room for one job of the version whose jobs take most: alone, every
//! version's first job finds its working memory without asking.

use std::iter::Sum;

/// What some versions take together, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Holding {
    /// Weights, and while they are being loaded what that takes on top.
    pub(super) fixed: u64,
    /// The working memory of jobs that may be running.
    pub(super) working: u64,
    /// The most that one job takes.
    pub(super) job: u64,
}

impl Holding {
    /// All that is reserved for them.
    pub(super) fn bytes(self) -> u64 {
        self.fixed.saturating_add(self.working.max(self.job))
    }

    /// The same with more jobs at work.
    pub(super) fn with_work(self, bytes: u64) -> Self {
        Self { working: self.working.saturating_add(bytes), ..self }
    }
}

impl Sum for Holding {
    fn sum<I: Iterator<Item = Self>>(holdings: I) -> Self {
        holdings.fold(Self::default(), |sum, next| Self {
            fixed: sum.fixed.saturating_add(next.fixed),
            working: sum.working.saturating_add(next.working),
            job: sum.job.max(next.job),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_holds_the_largest_job_or_all_that_run() {
        let idle = |fixed, job| Holding { fixed, working: 0, job };
        let table = [
            ("nobody", vec![], 0),
            ("one that is idle can work", vec![idle(40, 10)], 50),
            ("of several idle ones, one at a time", vec![idle(40, 10), idle(20, 30)], 90),
            (
                "who works in the room of the largest job takes no more",
                vec![idle(20, 30), idle(40, 10).with_work(10)],
                90,
            ),
            (
                "two at work take what they take",
                vec![idle(20, 30).with_work(30), idle(40, 10).with_work(10)],
                100,
            ),
            ("and so do two jobs of one", vec![idle(20, 30).with_work(60)], 80),
        ];
        for (name, holdings, bytes) in table {
            assert_eq!(holdings.into_iter().sum::<Holding>().bytes(), bytes, "{name}");
        }
    }
}
