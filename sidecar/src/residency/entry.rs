//! One pin of one model version, and where it stands.

use ostler_crds::names::LoadPolicy;
use ostler_crds::status::VersionState;

use super::budget::Footprint;
use super::event::{Attempt, Moment};
use super::holding::Holding;
use crate::target::{Target, VersionFailure};

/// Where an entry stands. What holds memory says how much is reserved for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Remote,
    Preparing { attempt: Attempt },
    Cached,
    Loading { attempt: Attempt, bytes: u64, instances: u32 },
    Loaded { bytes: u64, instances: u32 },
    Freeing { bytes: u64 },
    Failed { retry_at: Option<Moment> },
}

/// A failure and its moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureRecord {
    /// What went wrong.
    pub failure: VersionFailure,
    /// When.
    pub at: Moment,
    /// When it is tried again; `None` where only another plan can help.
    pub retry_at: Option<Moment>,
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) target: Target,
    /// Its place in the plan: the order of preloading.
    pub(super) place: usize,
    /// Whether the plan holds this very pin. An older pin may serve on until its successor is loaded.
    pub(super) in_plan: bool,
    pub(super) state: State,
    /// Known once its files are on disk.
    pub(super) footprint: Option<Footprint>,
    /// It is to be loaded though nobody waits for it: it is preloaded, or replaces a loaded pin.
    pub(super) called: bool,
    /// It has been loaded and proved at least once.
    pub(super) proven: bool,
    pub(super) leases: u32,
    /// The jobs that may be running: as many as there are leases, at most as many as instances when they began.
    pub(super) jobs: u32,
    pub(super) last_used: Moment,
    /// When the load began that it stems from.
    pub(super) load_began_at: Moment,
    /// Until then it is not evicted for others, so that memory is not spent on loading alone.
    pub(super) stays_until: Moment,
    /// Its files were lost when it was to be loaded, and it has not been loaded since.
    pub(super) has_lost_files: bool,
    /// It was loaded though nobody asked for it, or is being, and nobody has used it since.
    pub(super) ahead: bool,
    /// Failures in a row.
    pub(super) failures: u32,
    /// Kept until it is loaded.
    pub(super) last_failure: Option<FailureRecord>,
}

impl Entry {
    pub(super) fn new(target: Target, place: usize) -> Self {
        let called = target.load == LoadPolicy::Preload;
        Self {
            target,
            place,
            in_plan: true,
            state: State::Remote,
            footprint: None,
            called,
            proven: false,
            leases: 0,
            jobs: 0,
            last_used: Moment::ZERO,
            load_began_at: Moment::ZERO,
            stays_until: Moment::ZERO,
            has_lost_files: false,
            ahead: false,
            failures: 0,
            last_failure: None,
        }
    }

    pub(super) fn is_loaded(&self) -> bool {
        matches!(self.state, State::Loaded { .. })
    }

    /// Whether it is in memory, or on its way there.
    pub(super) fn is_up(&self) -> bool {
        matches!(self.state, State::Loaded { .. } | State::Loading { .. })
    }

    /// Whether it is in memory, or on its way there, and nobody has asked for it yet.
    pub(super) fn is_ahead(&self) -> bool {
        self.ahead && self.is_up()
    }

    /// Whether it may not be evicted for others yet. Nobody needs what was loaded ahead, until somebody has used it.
    pub(super) fn is_young(&self, now: Moment) -> bool {
        now < self.stays_until && !self.is_ahead()
    }

    /// When it was last of use to anybody: never, where it was loaded ahead and is unused.
    pub(super) fn recency(&self) -> Moment {
        if self.is_ahead() { Moment::ZERO } else { self.last_used }
    }

    /// What it takes of the memory.
    pub(super) fn holding(&self) -> Holding {
        let job = self.footprint.map_or(0, |footprint| footprint.scratch_bytes);
        match self.state {
            // It is proved by a job.
            State::Loading { bytes, .. } => Holding { fixed: bytes, working: job, job },
            State::Loaded { bytes, .. } => {
                Holding { fixed: bytes, working: job.saturating_mul(u64::from(self.jobs)), job }
            }
            State::Freeing { bytes } => Holding { fixed: bytes, working: 0, job: 0 },
            State::Remote | State::Preparing { .. } | State::Cached | State::Failed { .. } => {
                Holding::default()
            }
        }
    }

    /// The bytes reserved for it alone: its weights, and the working memory of its jobs.
    pub(super) fn reserved_bytes(&self) -> u64 {
        let Holding { fixed, working, .. } = self.holding();
        fixed.saturating_add(working)
    }

    /// The working memory of the job that another lease would start; 0 where it would wait for an instance, or there is
    /// nothing to lease.
    pub(super) fn next_job_bytes(&self) -> u64 {
        match self.state {
            State::Loaded { instances, .. } if self.jobs < instances => self.holding().job,
            _ => 0,
        }
    }

    /// A request begins to use it.
    pub(super) fn lease(&mut self, now: Moment) {
        self.leases += 1;
        if let State::Loaded { instances, .. } = self.state
            && self.jobs < instances
        {
            self.jobs += 1;
        }
        self.last_used = now;
        self.ahead = false;
    }

    /// A request no longer uses it. Where instances became fewer meanwhile, jobs of before may still be running on it,
    /// as many as there are leases.
    pub(super) fn give_back(&mut self, now: Moment) {
        self.leases = self.leases.saturating_sub(1);
        self.jobs = self.jobs.min(self.leases);
        self.last_used = now;
    }

    /// The state after a failure has rested, or before the first try.
    pub(super) fn untried(&self) -> State {
        if self.footprint.is_some() { State::Cached } else { State::Remote }
    }

    /// The state in the words of the report.
    pub(super) fn reported_state(&self) -> VersionState {
        match self.state {
            State::Remote => VersionState::Remote,
            State::Preparing { .. } => VersionState::Downloading,
            State::Cached | State::Freeing { .. } => VersionState::Cached,
            State::Loading { .. } => VersionState::Loading,
            State::Loaded { .. } => VersionState::Loaded,
            State::Failed { .. } => VersionState::FailedToLoad,
        }
    }
}
