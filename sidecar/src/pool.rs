//! The instances of a loaded model: slots over one copy of its weights. A job holds a slot and a blocking thread
//! until its computation has really stopped, also when its caller has gone away.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ostler_inference::engine::{Control, Engine, EngineError, Job, Output};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many jobs may wait for one slot: more only make everybody late.
const QUEUE_PER_INSTANCE: usize = 16;

/// Why a job gave no output.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The engine refused or failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Too many jobs wait for this version's instances already.
    #[error(
        "{waiting} requests already wait for this version's instances; try again later or raise `instances`"
    )]
    Busy {
        /// How many wait.
        waiting: usize,
        /// When to try again.
        retry_after: Duration,
    },
    /// The engine broke down on this job. It stays usable for others.
    #[error("the computation broke down: {0}")]
    Panicked(String),
}

/// The slots of one loaded model.
#[derive(Debug)]
pub struct Slots {
    semaphore: Arc<Semaphore>,
    waiting: AtomicUsize,
    instances: AtomicUsize,
}

impl Slots {
    /// So many jobs at once.
    #[must_use]
    pub fn new(instances: u32) -> Self {
        let instances = instances.max(1) as usize;
        Self {
            semaphore: Arc::new(Semaphore::new(instances)),
            waiting: AtomicUsize::new(0),
            instances: AtomicUsize::new(instances),
        }
    }

    /// Changes their number. Slots that are to go do so as soon as their jobs are done.
    pub fn resize(&self, instances: u32) {
        let instances = instances.max(1) as usize;
        let before = self.instances.swap(instances, Ordering::AcqRel);
        if instances > before {
            self.semaphore.add_permits(instances - before);
        } else if instances < before {
            let semaphore = Arc::clone(&self.semaphore);
            let surplus = u32::try_from(before - instances).unwrap_or(u32::MAX);
            tokio::spawn(async move {
                if let Ok(permits) = semaphore.acquire_many(surplus).await {
                    permits.forget();
                }
            });
        }
    }

    /// Waits for a slot, in the order of asking.
    async fn enter(&self) -> Result<OwnedSemaphorePermit, RunError> {
        if let Ok(permit) = Arc::clone(&self.semaphore).try_acquire_owned() {
            return Ok(permit);
        }
        let limit = self.instances.load(Ordering::Acquire).saturating_mul(QUEUE_PER_INSTANCE);
        let place = Place::take(&self.waiting);
        if place.ahead >= limit {
            return Err(RunError::Busy { waiting: place.ahead, retry_after: Duration::from_secs(2) });
        }
        // The semaphore is never closed; a closed one would mean that the version is gone.
        Arc::clone(&self.semaphore)
            .acquire_owned()
            .await
            .map_err(|_| RunError::Engine(EngineError::Cancelled))
    }

    /// Runs a job in a slot. `guard` is held until the computation has stopped. When the caller drops the
    /// future, the job is cancelled; slot, thread and guard are returned once the engine has noticed.
    ///
    /// # Errors
    /// See [`RunError`].
    pub async fn run<Guard: AsRef<dyn Engine> + Send + 'static>(
        &self,
        guard: Guard,
        job: Job,
        control: Control,
    ) -> Result<Output, RunError> {
        let permit = self.enter().await?;
        let mut cancel_on_drop = CancelOnDrop(Some(control.clone()));
        let worker = tokio::task::spawn_blocking(move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| guard.as_ref().run(&job, &control)));
            drop(guard);
            drop(permit);
            outcome
        });
        let joined = worker.await;
        // A control may serve several jobs of one request, so a job that is done does not cancel it.
        cancel_on_drop.0 = None;
        match joined {
            Ok(Ok(outcome)) => Ok(outcome?),
            Ok(Err(panic)) => Err(RunError::Panicked(panic_message(panic.as_ref()))),
            Err(join) => Err(RunError::Panicked(join.to_string())),
        }
    }
}

/// The text of a panic.
#[must_use]
pub fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}

/// A place in the queue, given back however the wait ends.
struct Place<'slots> {
    waiting: &'slots AtomicUsize,
    ahead: usize,
}

impl<'slots> Place<'slots> {
    fn take(waiting: &'slots AtomicUsize) -> Self {
        let ahead = waiting.fetch_add(1, Ordering::AcqRel);
        Self { waiting, ahead }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Cancels the job when its caller goes away.
struct CancelOnDrop(Option<Control>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(control) = &self.0 {
            control.cancel();
        }
    }
}
