//! Doing the jobs that a slot has taken, on its blocking thread.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ostler_inference::engine::{Control, Engine, Job, Output};
use tokio::sync::oneshot;

use super::RunError;
use super::batch;
use super::queue::Waiting;

/// Where a job's answer goes, and the answer.
pub(super) type Answered = (oneshot::Sender<Result<Output, RunError>>, Result<Output, RunError>);

/// Does jobs as one where there are several. Where that fails, for whatever one of them is refused for, each is done
/// alone, so that the others do not hear of it.
pub(super) fn work(engine: &dyn Engine, jobs: Vec<Waiting>) -> Vec<Answered> {
    if jobs.len() > 1
        && let Some(outputs) = work_as_one(engine, &jobs)
    {
        return jobs.into_iter().zip(outputs).map(|(job, output)| (job.reply, Ok(output))).collect();
    }
    jobs.into_iter()
        .map(|Waiting { job, control, reply, .. }| {
            let answer = match control.check() {
                Ok(()) => run_caught(engine, &job, &control),
                Err(cancelled) => Err(cancelled.into()),
            };
            (reply, answer)
        })
        .collect()
}

fn work_as_one(engine: &dyn Engine, jobs: &[Waiting]) -> Option<Vec<Output>> {
    let job = batch::merge(&jobs.iter().map(|waiting| &waiting.job).collect::<Vec<_>>())?;
    let control = Control::of_all(jobs.iter().map(|waiting| waiting.control.clone()));
    let output = run_caught(engine, &job, &control).ok()?;
    let counts: Vec<usize> = jobs.iter().map(|waiting| batch::texts(&waiting.job).len()).collect();
    batch::split(output, &counts)
}

/// Runs a job; an engine that breaks down on it stays usable for others.
fn run_caught(engine: &dyn Engine, job: &Job, control: &Control) -> Result<Output, RunError> {
    match catch_unwind(AssertUnwindSafe(|| engine.run(job, control))) {
        Ok(outcome) => Ok(outcome?),
        Err(panic) => Err(RunError::Panicked(panic_message(panic.as_ref()))),
    }
}

/// The text of a panic.
#[must_use]
pub fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}
