//! The instances of a loaded model: slots over one copy of its weights. A job holds a slot and a blocking thread
//! until its computation has really stopped, also when its caller has gone away.
//!
//! Jobs of texts that wait for a slot are done together by whoever gets one. A job that finds a slot free begins at
//! once, unless jobs were done together just now: then it waits a little for those who will be back.

mod batch;
mod queue;
mod work;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ostler_inference::engine::{Control, Engine, EngineError, Job, Output};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use self::queue::Queue;
pub use self::work::panic_message;
use self::work::work;
use crate::target::Batching;

/// How many jobs may wait for one slot: more only make everybody late.
const QUEUE_PER_INSTANCE: usize = 16;

/// How long after jobs were done together their callers are expected back.
const COMPANY: Duration = Duration::from_secs(1);

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
pub struct Slots {
    semaphore: Arc<Semaphore>,
    waiting: AtomicUsize,
    instances: AtomicUsize,
    batching: Mutex<Batching>,
    queue: Queue,
    /// When a job was last done together with others; `None` since one was done alone.
    shared_at: Arc<Mutex<Option<Instant>>>,
}

impl Slots {
    /// So many jobs at once.
    #[must_use]
    pub fn new(instances: u32, batching: Batching) -> Self {
        let instances = instances.max(1) as usize;
        Self {
            semaphore: Arc::new(Semaphore::new(instances)),
            waiting: AtomicUsize::new(0),
            instances: AtomicUsize::new(instances),
            batching: Mutex::new(batching),
            queue: Queue::default(),
            shared_at: Arc::default(),
        }
    }

    /// Changes how jobs are put together.
    pub fn set_batching(&self, batching: Batching) {
        *lock(&self.batching) = batching;
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

    /// Runs a job in a slot, together with others of its kind where some wait. `guard` is held until the computation
    /// has stopped. When the caller drops the future, the job is cancelled; slot, thread and guard are returned once
    /// the engine has noticed.
    ///
    /// # Errors
    /// See [`RunError`].
    pub async fn run<Guard: AsRef<dyn Engine> + Send + 'static>(
        &self,
        guard: Guard,
        job: Job,
        control: Control,
    ) -> Result<Output, RunError> {
        let mut cancel_on_drop = CancelOnDrop(Some(control.clone()));
        let (ticket, mut answer) = self.queue.push(job, control);
        let answered = tokio::select! {
            biased;
            answered = &mut answer => answered,
            permit = self.enter() => {
                let permit = permit?;
                let Batching { most_texts, most_delay } = *lock(&self.batching);
                if !most_delay.is_zero() && self.has_company() {
                    // A deadline that has passed means that whoever is there has come.
                    let _ = timeout(most_delay, ticket.is_full(most_texts)).await;
                }
                match ticket.take(most_texts) {
                    Some(jobs) => {
                        let shared_at = Arc::clone(&self.shared_at);
                        *lock(&shared_at) = None;
                        tokio::task::spawn_blocking(move || {
                            let is_shared = jobs.len() > 1;
                            let answers = work(guard.as_ref(), jobs);
                            drop(guard);
                            if is_shared {
                                *lock(&shared_at) = Some(Instant::now());
                            }
                            drop(permit);
                            // Whoever does not listen any more has gone away.
                            answers.into_iter().for_each(|(reply, answer)| drop(reply.send(answer)));
                        });
                    }
                    // Somebody else has taken the job along, and its answer is on its way.
                    None => drop(permit),
                }
                answer.await
            }
        };
        // A control may serve several jobs of one request, so a job that is done does not cancel it.
        cancel_on_drop.0 = None;
        answered.unwrap_or_else(|_| Err(RunError::Panicked("its thread ended".to_owned())))
    }

    /// Whether jobs were done together just now, so that their callers may be about to ask again.
    fn has_company(&self) -> bool {
        lock(&self.shared_at).is_some_and(|at| at.elapsed() < COMPANY)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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

#[cfg(test)]
mod tests;
