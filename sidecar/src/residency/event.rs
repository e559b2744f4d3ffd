//! What the residency state machine hears, and what it wants done.

use std::time::Duration;

use super::backoff::Backoff;
use super::budget::{Budget, Footprint};
use super::pressure::RealMemory;
use crate::target::{Target, VersionFailure, VersionKey};

/// Time since the process started: the state machine has no clock of its own.
pub type Moment = Duration;

/// One pin of one target. A changed pin is another entry, so that both can be in memory at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(pub u64);

/// One waiting request; later requests have higher numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaiterId(pub u64);

/// One try to prepare or load an entry: answers to older tries are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt(pub u64);

/// The bounds that the state machine keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The memory for models.
    pub budget: Budget,
    /// A version is not evicted for others before it was loaded for so long, against thrash.
    pub minimum_residency: Duration,
    /// Nor before it was loaded for so many times as long as its load took, so that a version that is slow to load is
    /// not pushed out and loaded again all the time.
    pub residency_per_load: u32,
    /// But after so long it may be evicted in any case.
    pub maximum_residency: Duration,
    /// Requests that may wait for loads at once.
    pub max_waiters: usize,
    /// The longest that a request waits for a load.
    pub max_wait: Duration,
    /// How long a request waits for the working memory of others' jobs before idle versions are evicted for it.
    pub patience: Duration,
    /// Transfers at once for versions that nobody waits for. Waited-for ones may double it.
    pub max_transfers: usize,
    /// Loads at once.
    pub max_loads: usize,
    /// The rest after failures.
    pub backoff: Backoff,
    /// A version that nobody has used for so long may go for one that nobody has asked for yet.
    pub idle_time: Duration,
}

/// The bounds of what is loaded before anybody asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AheadBounds {
    /// The most versions at once that are loaded so, or being loaded, and that nobody has used yet.
    pub max_versions: usize,
    /// The most bytes that they take together.
    pub max_bytes: u64,
}

impl Settings {
    /// How long a version stays at least whose load took so long.
    #[must_use]
    pub fn residency(&self, load_time: Duration) -> Duration {
        let by_load = load_time.saturating_mul(self.residency_per_load);
        by_load.min(self.maximum_residency).max(self.minimum_residency)
    }

    /// The usual bounds for a budget.
    #[must_use]
    pub fn with_budget(budget: Budget) -> Self {
        Self {
            budget,
            minimum_residency: Duration::from_secs(1),
            residency_per_load: 10,
            maximum_residency: Duration::from_secs(60),
            max_waiters: 256,
            max_wait: Duration::from_secs(120),
            patience: Duration::from_secs(1),
            max_transfers: 4,
            max_loads: 2,
            backoff: Backoff::default(),
            idle_time: Duration::from_secs(600),
        }
    }
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// There is a plan, or another one.
    Planned {
        /// Its targets in its order.
        targets: Vec<Target>,
    },
    /// A request wants the first of these that can serve.
    Wanted {
        /// The request.
        waiter: WaiterId,
        /// The chosen version, then its fallbacks. Never empty.
        candidates: Vec<VersionKey>,
        /// An older pin of the version will not do.
        planned_pin_only: bool,
    },
    /// A request no longer waits.
    Cancelled {
        /// The request.
        waiter: WaiterId,
    },
    /// A lease was given back.
    Released {
        /// Of this entry.
        entry: EntryId,
    },
    /// Files are on disk, verified and sized.
    Prepared {
        /// Whose.
        entry: EntryId,
        /// The try that this answers.
        attempt: Attempt,
        /// What they need in memory.
        footprint: Footprint,
    },
    /// An engine is in memory and proved.
    Loaded {
        /// Whose.
        entry: EntryId,
        /// The try that this answers.
        attempt: Attempt,
    },
    /// Preparing or loading failed, and all its memory is free again.
    Failed {
        /// Whose.
        entry: EntryId,
        /// The try that this answers.
        attempt: Attempt,
        /// Why.
        failure: VersionFailure,
        /// A random number from 0 to 1 for the backoff.
        jitter: f64,
    },
    /// An unloaded engine's memory is free.
    Freed {
        /// Whose.
        entry: EntryId,
    },
    /// The memory of the process and of what bounds it was measured.
    Measured {
        /// What there is.
        memory: RealMemory,
    },
    /// These will probably be asked for soon.
    Anticipated {
        /// The versions, in memory or not, the most probable first.
        likely: Vec<VersionKey>,
        /// How much may be loaded for it.
        bounds: AheadBounds,
    },
    /// The moment of [`super::Residency::next_wake`] has come.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Fetch, verify and size the files of a target.
    Prepare {
        /// For this entry.
        entry: EntryId,
        /// To be named in the answer.
        attempt: Attempt,
        /// What to fetch.
        target: Target,
    },
    /// Stop preparing. No answer is needed.
    CancelPrepare {
        /// For this entry.
        entry: EntryId,
    },
    /// Load a prepared entry and prove it.
    Load {
        /// For this entry.
        entry: EntryId,
        /// To be named in the answer.
        attempt: Attempt,
        /// The target as the plan now has it.
        target: Target,
    },
    /// Change the number of instances of a loaded entry.
    Resize {
        /// The entry.
        entry: EntryId,
        /// The new number.
        instances: u32,
    },
    /// Drop a loaded entry's engine, and answer [`Event::Freed`] once its memory is free.
    Unload {
        /// The entry.
        entry: EntryId,
    },
    /// The entry is gone and its number will not come back.
    Forget {
        /// The entry.
        entry: EntryId,
    },
    /// Give a request its lease.
    Grant {
        /// The request.
        waiter: WaiterId,
        /// What serves it.
        entry: EntryId,
        /// The version first chosen and its failure, where a fallback serves.
        instead_of: Option<(VersionKey, VersionFailure)>,
    },
    /// Send a request away.
    Refuse {
        /// The request.
        waiter: WaiterId,
        /// Why.
        refusal: Refusal,
    },
}

/// A version that could not serve a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedAttempt {
    /// The version.
    pub key: VersionKey,
    /// Why it could not.
    pub failure: VersionFailure,
}

/// Why a request is sent away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The chosen version failed, and so did every fallback.
    Failed {
        /// The chosen version.
        key: VersionKey,
        /// The chosen version and its fallbacks, in the order of trying.
        attempts: Vec<FailedAttempt>,
        /// When the first of them is tried again; `None` where only another plan can help.
        retry_after: Option<Duration>,
    },
    /// Too many wait, or it waited too long.
    Busy {
        /// The chosen version.
        key: VersionKey,
        /// Those that failed, and last the one that was waited for.
        attempts: Vec<FailedAttempt>,
        /// When to try again.
        retry_after: Duration,
    },
    /// The plan has no such version any more.
    Removed {
        /// The version.
        key: VersionKey,
    },
}
