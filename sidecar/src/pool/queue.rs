//! The jobs that wait for a slot, and whoever takes several of them along.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ostler_inference::engine::{Control, Job, Output};
use tokio::sync::{Notify, oneshot};

use super::RunError;
use super::batch::{self, Kind};

/// A job that waits.
pub(super) struct Waiting {
    number: u64,
    kind: Option<Kind>,
    pub(super) job: Job,
    pub(super) control: Control,
    pub(super) reply: oneshot::Sender<Result<Output, RunError>>,
}

/// The jobs that wait for one loaded model, in the order of asking.
#[derive(Default)]
pub(super) struct Queue {
    jobs: Mutex<Jobs>,
    pushed: Notify,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Waiting>,
    next: u64,
}

/// A job's place in the queue. When it is dropped the job waits no more.
pub(super) struct Ticket<'queue> {
    queue: &'queue Queue,
    number: u64,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a job at the end, and says where its answer will come.
    pub(super) fn push(
        &self,
        job: Job,
        control: Control,
    ) -> (Ticket<'_>, oneshot::Receiver<Result<Output, RunError>>) {
        let (reply, answer) = oneshot::channel();
        let mut jobs = self.lock();
        let number = jobs.next;
        jobs.next += 1;
        jobs.waiting.push_back(Waiting { number, kind: Kind::of(&job), job, control, reply });
        drop(jobs);
        self.pushed.notify_waiters();
        (Ticket { queue: self, number }, answer)
    }
}

impl Jobs {
    fn place(&self, number: u64) -> Option<usize> {
        self.waiting.iter().position(|waiting| waiting.number == number)
    }

    /// The places of the jobs that are done with this one.
    fn companions(&self, number: u64, most_texts: usize) -> Vec<usize> {
        let Some(own) = self.place(number) else { return Vec::new() };
        if self.waiting[own].kind.is_none() {
            return vec![own];
        }
        // Jobs that are done alone keep their places, with a kind that is nobody's.
        let waiting = self.waiting.iter().map(|waiting| (&waiting.kind, batch::texts(&waiting.job).len()));
        batch::choose(own, waiting, most_texts)
    }
}

impl Ticket<'_> {
    /// Takes the job out of the queue, and those that can be done with it; `None` where somebody else has taken it.
    pub(super) fn take(&self, most_texts: usize) -> Option<Vec<Waiting>> {
        let mut jobs = self.queue.lock();
        let places = jobs.companions(self.number, most_texts);
        // From the end, so that places before stay what they are.
        let mut taken: Vec<Waiting> =
            places.into_iter().rev().filter_map(|place| jobs.waiting.remove(place)).collect();
        taken.reverse();
        (!taken.is_empty()).then_some(taken)
    }

    /// Waits until no further job would be taken along: there are as many texts as may be, or the job is gone. At once
    /// for jobs that are done alone.
    pub(super) async fn is_full(&self, most_texts: usize) {
        loop {
            // What is pushed from here on is heard of.
            let pushed = self.queue.pushed.notified();
            let is_open = {
                let jobs = self.queue.lock();
                let texts = |place: &usize| batch::texts(&jobs.waiting[*place].job).len();
                let companions = jobs.companions(self.number, most_texts);
                let is_batched = |place: &usize| jobs.waiting[*place].kind.is_some();
                companions.first().is_some_and(is_batched)
                    && companions.iter().map(texts).sum::<usize>() < most_texts
            };
            if !is_open {
                return;
            }
            pushed.await;
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut jobs = self.queue.lock();
        if let Some(place) = jobs.place(self.number) {
            jobs.waiting.remove(place);
        }
    }
}
