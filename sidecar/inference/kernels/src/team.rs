//! The threads that work on one model at a time, and how they share work.
//!
//! A decoder step is some fifty short pieces of work of a few microseconds each. Waking a sleeping thread costs as
//! much as one of them, so a worker that has just been useful spins for a bounded while before it sleeps. It does
//! so only where it has a processor to itself: with more jobs running than there are threads to help, every job
//! keeps to the thread that it was called on, and nobody spins.
//!
//! **Nobody waits for a thread that has not begun.** Threads take pieces of the work as they come to it, and the caller
//! takes back what it gave to a worker that is still asleep, or that the system runs something else in the place of.
//!
//! **Whoever begins gets a share at once.** When another job begins, threads beyond a job's share leave it after the
//! piece that they are at, and are free from then on, however long the job goes on. Work behind jobs, such as a load, has
//! a share only while no job runs; several pieces of such work share evenly then.

mod rank;
mod worker;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

pub use self::rank::stay_behind_jobs;
use self::rank::stays_behind_jobs;
use self::worker::{Dispatch, Worker};

/// Into how many pieces for each thread work is split.
const PIECES: usize = 4;

/// A team of threads. The thread that calls is one of them.
pub struct Team {
    workers: Arc<[Worker]>,
    running: AtomicUsize,
    /// Work behind jobs that was begun and is not over.
    behind: AtomicUsize,
    handles: Vec<JoinHandle<()>>,
}

/// A running job's hold on a team: it decides how many of the threads may help.
pub struct Lanes<'a> {
    team: &'a Team,
    is_behind: bool,
}

impl Team {
    /// A team of `threads` threads, the caller's included; at least one.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        let workers: Arc<[Worker]> = (1..threads.max(1)).map(|_| Worker::new()).collect();
        let handles = (0..workers.len())
            .filter_map(|index| {
                let workers = Arc::clone(&workers);
                // Where the system gives no more threads, the work stays with those that there are.
                let spawned = thread::Builder::new()
                    .name(format!("ostler-team-{}", index + 1))
                    .spawn(move || workers[index].serve());
                spawned.ok()
            })
            .collect::<Vec<_>>();
        for (worker, handle) in workers.iter().zip(&handles) {
            worker.is_run_by(handle.thread().clone());
        }
        Self { workers, running: AtomicUsize::new(0), behind: AtomicUsize::new(0), handles }
    }

    /// How many threads there are, the caller's included.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.handles.len() + 1
    }

    /// Begins a job. While several run, they share the threads evenly. On a thread that stays behind jobs it is work
    /// behind them.
    pub fn enter(&self) -> Lanes<'_> {
        if stays_behind_jobs() {
            return self.enter_behind();
        }
        self.running.fetch_add(1, Ordering::Relaxed);
        Lanes { team: self, is_behind: false }
    }

    /// Begins work that no job waits for: while any runs, it keeps to the thread that it was called on, and the other
    /// threads leave it after the task that they are at.
    pub fn enter_behind(&self) -> Lanes<'_> {
        self.behind.fetch_add(1, Ordering::Relaxed);
        Lanes { team: self, is_behind: true }
    }

    fn is_used(&self) -> bool {
        self.running.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        for worker in self.workers.iter() {
            worker.end();
        }
        for handle in self.handles.drain(..) {
            // A worker catches every panic of its work, so there is nothing to learn from its end.
            let _ = handle.join();
        }
    }
}

impl Drop for Lanes<'_> {
    fn drop(&mut self) {
        self.of_its_kind().fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lanes<'_> {
    /// How many threads work at most on one piece of work: enough scratch space for that many is enough.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.team.threads()
    }

    /// Calls `work` with each of the tasks, on whichever thread is free, and returns when all are done.
    ///
    /// # Panics
    /// Where `work` panics.
    pub fn for_each<T: Send>(&self, tasks: Vec<T>, work: impl Fn(T) + Sync) {
        let mut nothing = vec![(); self.threads()];
        self.for_each_with(tasks, &mut nothing, |task, ()| work(task));
    }

    /// As [`Lanes::for_each`], with scratch space that belongs to one thread at a time: one for each of
    /// [`Lanes::threads`].
    ///
    /// # Panics
    /// Where `work` panics, or there is less scratch space than threads.
    pub fn for_each_with<T: Send, S: Send>(
        &self,
        tasks: Vec<T>,
        scratch: &mut [S],
        work: impl Fn(T, &mut S) + Sync,
    ) {
        assert!(scratch.len() >= self.threads(), "{} scratch spaces for {}", scratch.len(), self.threads());
        let helpers = self.helpers().min(tasks.len().saturating_sub(1));
        let scratch = Shared(scratch.as_mut_ptr());
        let tasks = Mutex::new(tasks.into_iter());
        let take = || tasks.lock().unwrap_or_else(PoisonError::into_inner).next();
        self.run(helpers, &|part| {
            // SAFETY: `run` gives every part to one thread, and there are no more parts than scratch spaces.
            let scratch = unsafe { &mut *scratch.at(part) };
            while self.may_go_on(part)
                && let Some(task) = take()
            {
                work(task, scratch);
            }
        });
    }

    /// Calls `work` with parts of `0..count` that cover it, on as many threads.
    ///
    /// # Panics
    /// Where `work` panics.
    pub fn split(&self, count: usize, work: impl Fn(Range<usize>) + Sync) {
        let helpers = self.helpers().min(count.saturating_sub(1));
        let claimed = self.claim(helpers);
        if claimed.is_empty() {
            return work(0..count);
        }
        let pieces = count.min(PIECES * (claimed.len() + 1));
        let next = AtomicUsize::new(0);
        self.dispatch(claimed, &|part| {
            while self.may_go_on(part) {
                let piece = next.fetch_add(1, Ordering::Relaxed);
                if piece >= pieces {
                    return;
                }
                work(count * piece / pieces..count * (piece + 1) / pieces);
            }
        });
    }

    /// How many workers this job may have now: its even share of the threads, less its own.
    fn helpers(&self) -> usize {
        if self.is_behind && self.team.is_used() {
            return 0;
        }
        let sharing = self.of_its_kind().load(Ordering::Relaxed).max(1);
        (self.threads() / sharing).saturating_sub(1)
    }

    /// The count of what shares the threads with this.
    fn of_its_kind(&self) -> &AtomicUsize {
        if self.is_behind { &self.team.behind } else { &self.team.running }
    }

    /// Whether a thread stays at this work: the caller's own, which does part 0, always does, others only as long as
    /// they belong to the job's share, which is smaller once another job has begun.
    fn may_go_on(&self, part: usize) -> bool {
        part <= self.helpers()
    }

    fn run(&self, helpers: usize, part: &(dyn Fn(usize) + Sync)) {
        self.dispatch(self.claim(helpers), part);
    }

    /// Takes up to so many workers that are free.
    fn claim(&self, helpers: usize) -> Vec<&Worker> {
        if helpers == 0 {
            return Vec::new();
        }
        let workers = self.team.workers.iter().take(self.team.handles.len());
        workers.filter(|worker| worker.claim()).take(helpers).collect()
    }

    /// Runs part 0 here and one part on each of the workers that begin before it is done: `part` takes whatever work is
    /// left.
    fn dispatch(&self, workers: Vec<&Worker>, part: &(dyn Fn(usize) + Sync)) {
        if workers.is_empty() {
            return part(0);
        }
        let is_alone = self.team.running.load(Ordering::Relaxed) <= 1;
        let dispatch = Dispatch::new(part, workers.len());
        for worker in &workers {
            worker.give(&dispatch, is_alone);
        }
        let own = catch_unwind(AssertUnwindSafe(|| part(0)));
        for worker in &workers {
            worker.take_back(&dispatch);
        }
        dispatch.wait(is_alone);
        if let Err(panic) = own {
            resume_unwind(panic);
        }
        assert!(!dispatch.has_panicked(), "a part of the work panicked on another thread");
    }
}

/// A pointer that several threads use, each at places of its own.
#[derive(Clone, Copy)]
pub(crate) struct Shared<T>(pub(crate) *mut T);

// SAFETY: whoever makes one sees to it that no two threads use the same place; see the places of use.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// The place `index`.
    ///
    /// # Safety
    /// It must lie in what the pointer was made from.
    pub(crate) unsafe fn at(&self, index: usize) -> *mut T {
        // SAFETY: the caller's promise.
        unsafe { self.0.add(index) }
    }
}

#[cfg(test)]
mod tests;
