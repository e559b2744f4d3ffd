//! The handle that everything else holds: acquire a version, change the plan, see what is loaded. Cloning is cheap.

mod usage;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ostler_crds::names::Commit;
use ostler_crds::serving_plan::ServingPlan;
use tokio::sync::{mpsc, oneshot, watch};

use crate::lease::Lease;
use crate::loader::Loader;
use crate::memory_watch::MemoryWatch;
use crate::prediction::Asker;
use crate::residency::{FailedAttempt, RealMemory, Refusal, Settings, WaiterId};
use crate::residency_task::{self, Channels, Command};
use crate::result_cache::{Pin, PlannedPin, ResultCache};
use crate::routing::{self, Request, RouteError, VersionChoice};
use crate::snapshot::Snapshot;
use crate::target::{VersionKey, targets};
use usage::asker;

/// How often a request is routed anew when the plan changes under it.
const ROUTING_ATTEMPTS: usize = 3;

/// Why no version could be acquired.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AcquireError {
    /// The request fits no version of the plan: the client must change it.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// The version, and every fallback, failed to load.
    #[error("{key} cannot answer{}", first(attempts))]
    Unavailable {
        /// The chosen version.
        key: VersionKey,
        /// The chosen version and its fallbacks, each with its failure, in the order of trying.
        attempts: Vec<FailedAttempt>,
        /// When the first of them is tried again; `None` where only a change of the plan can help.
        retry_after: Option<Duration>,
    },
    /// Too many requests wait for versions to load, or this one waited too long.
    #[error("{key} is not loaded yet, and this request cannot wait longer")]
    Busy {
        /// The chosen version.
        key: VersionKey,
        /// Those that failed, and last the one that was waited for.
        attempts: Vec<FailedAttempt>,
        /// When to try again.
        retry_after: Duration,
    },
    /// The plan changed under the request again and again, or the version was just removed.
    #[error("{key} was removed from the plan")]
    Removed {
        /// The version that is gone.
        key: VersionKey,
    },
    /// The process is about to end.
    #[error("the sidecar is shutting down")]
    ShuttingDown,
}

/// What became of the chosen version.
fn first(attempts: &[FailedAttempt]) -> String {
    attempts.first().map(|attempt| format!(": {}", attempt.failure)).unwrap_or_default()
}

/// A handle on the residency task. When the last clone is dropped, the task ends.
#[derive(Clone)]
pub struct Manager {
    shared: Arc<Shared>,
}

struct Shared {
    commands: mpsc::UnboundedSender<Command>,
    plan: watch::Sender<Arc<ServingPlan>>,
    loader: Arc<dyn Loader>,
    results: ResultCache,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    memory: watch::Receiver<Option<RealMemory>>,
    next_waiter: AtomicU64,
    is_draining: AtomicBool,
}

impl Manager {
    /// Starts the residency task for a plan. It needs a tokio runtime.
    #[must_use]
    pub fn start(loader: Arc<dyn Loader>, settings: Settings, plan: ServingPlan) -> Self {
        Self::start_watching(loader, settings, plan, None)
    }

    /// The same; with a `memory_watch`, the memory that is really there counts beside the budget.
    #[must_use]
    pub fn start_watching(
        loader: Arc<dyn Loader>,
        settings: Settings,
        plan: ServingPlan,
        memory_watch: Option<MemoryWatch>,
    ) -> Self {
        let plan = Arc::new(plan);
        let Channels { commands, snapshots, memory } =
            residency_task::start(Arc::clone(&loader), settings, Arc::clone(&plan), memory_watch);
        let results = ResultCache::default();
        results.obey(&plan, pins(&plan, loader.as_ref()));
        let shared = Shared {
            commands,
            plan: watch::Sender::new(plan),
            loader,
            results,
            snapshots,
            memory,
            next_waiter: AtomicU64::new(0),
            is_draining: AtomicBool::new(false),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The plan that is obeyed.
    #[must_use]
    pub fn plan(&self) -> Arc<ServingPlan> {
        Arc::clone(&self.shared.plan.borrow())
    }

    /// Obeys another plan from now on. The same plan again changes nothing.
    pub fn apply(&self, plan: ServingPlan) {
        let plan = Arc::new(plan);
        self.shared.plan.send_if_modified(|current| {
            if *current == plan {
                return false;
            }
            // The task hears of the plan before any request is routed by it.
            let _ = self.shared.commands.send(Command::Plan(Arc::clone(&plan)));
            self.shared.results.obey(&plan, pins(&plan, self.shared.loader.as_ref()));
            *current = plan;
            true
        });
    }

    /// The answers that are kept.
    #[must_use]
    pub fn results(&self) -> &ResultCache {
        &self.shared.results
    }

    /// The weights that the chosen version of a request answers with, whether or not they are loaded; `None` where its
    /// model keeps no answers, or its weights are not known before they are fetched.
    ///
    /// # Errors
    /// Those of routing.
    pub fn pin(&self, request: &Request) -> Result<Option<Pin>, RouteError> {
        let candidates = routing::candidates(&self.plan(), request)?;
        let Some(planned) = candidates.first().and_then(|key| self.shared.results.pin(key)) else {
            return Ok(None);
        };
        let PlannedPin { key, commit, dtype } = planned;
        let revision = commit.or_else(|| {
            let snapshot = self.snapshot();
            let version = snapshot.versions.iter().find(|version| version.key == key)?;
            Some(version.revision.clone()).filter(|revision| !revision.is_empty())
        });
        // The plan may have changed since the request was routed.
        let asked = request.version.as_ref().and_then(VersionChoice::commit);
        let is_asked = |revision: &String| asked.is_none_or(|commit| commit.as_str() == revision);
        Ok(revision.filter(is_asked).map(|revision| Pin { key: key.present(), revision, dtype }))
    }

    /// What is loaded now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.shared.snapshots.borrow())
    }

    /// The memory of the process and of what bounds it, as it was measured last.
    #[must_use]
    pub fn memory(&self) -> Option<RealMemory> {
        *self.shared.memory.borrow()
    }

    /// Hears of every change of what is loaded; transfers are told of twice a second.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.shared.snapshots.clone()
    }

    /// Whether new requests should come here: the first plan's `Preload` versions are up and the process is not
    /// about to end.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.shared.snapshots.borrow().ready && !self.is_draining()
    }

    /// Whether the process is about to end.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.shared.is_draining.load(Ordering::Acquire)
    }

    /// Makes [`Manager::is_ready`] false for good. Requests are still answered.
    pub fn drain(&self) {
        self.shared.is_draining.store(true, Ordering::Release);
    }

    /// Acquires a version for a request, loading it first where needed. Dropping the future gives up the wait.
    ///
    /// # Errors
    /// See [`AcquireError`].
    pub async fn acquire(&self, request: Request) -> Result<Lease, AcquireError> {
        let mut attempt = 1;
        loop {
            let candidates = routing::candidates(&self.plan(), &request)?;
            let commit = request.version.as_ref().and_then(VersionChoice::commit).map(Commit::as_str);
            // When the plan changes between routing and the task's answer, the new plan decides.
            let is_last = attempt == ROUTING_ATTEMPTS;
            let asker = asker(&request.subject);
            match self.acquire_first_of(candidates, commit.is_some(), asker).await {
                Err(AcquireError::Removed { .. }) if !is_last => {}
                Ok(lease)
                    if commit.is_some_and(|commit| commit != lease.provenance().revision) && !is_last => {}
                outcome => return outcome,
            }
            attempt += 1;
        }
    }

    async fn acquire_first_of(
        &self,
        candidates: Vec<VersionKey>,
        planned_pin_only: bool,
        asker: Option<Asker>,
    ) -> Result<Lease, AcquireError> {
        let waiter = WaiterId(self.shared.next_waiter.fetch_add(1, Ordering::Relaxed));
        let (reply, answer) = oneshot::channel();
        let commands = &self.shared.commands;
        commands
            .send(Command::Acquire { waiter, candidates, planned_pin_only, asker, reply })
            .map_err(|_| AcquireError::ShuttingDown)?;
        let mut cancel = CancelOnDrop { commands, waiter, is_armed: true };
        let answer = answer.await;
        cancel.is_armed = false;
        match answer {
            Ok(Ok(lease)) => Ok(lease),
            Ok(Err(refusal)) => Err(refusal.into()),
            Err(_) => Err(AcquireError::ShuttingDown),
        }
    }
}

/// What the plan says about the weights of its versions.
fn pins(plan: &ServingPlan, loader: &dyn Loader) -> impl Iterator<Item = PlannedPin> {
    targets(plan).into_iter().filter(|target| target.unpinned.is_none()).map(|target| PlannedPin {
        dtype: loader.dtype(&target),
        commit: target.commit.map(|commit| commit.to_string()),
        key: target.key,
    })
}

impl From<Refusal> for AcquireError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Failed { key, attempts, retry_after } => {
                Self::Unavailable { key, attempts, retry_after }
            }
            Refusal::Busy { key, attempts, retry_after } => Self::Busy { key, attempts, retry_after },
            Refusal::Removed { key } => Self::Removed { key },
        }
    }
}

/// Tells the task that nobody waits any more. A lease that is already on its way returns itself.
struct CancelOnDrop<'manager> {
    commands: &'manager mpsc::UnboundedSender<Command>,
    waiter: WaiterId,
    is_armed: bool,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        if self.is_armed {
            let _ = self.commands.send(Command::Cancel(self.waiter));
        }
    }
}
