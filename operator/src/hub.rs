//! Asks the Hub which commit a revision is. IN.
//!
//! Answers are not kept here: a commit lives in the plan. Failures are, so that a reconcile for another reason does
//! not ask again before its time, however many `ModelDeployment`s name the same revision.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{StreamExt, stream};
use ostler_crds::names::{Commit, RepositoryId, Revision};
use ostler_hub::HubClient;
use rand::Rng;
use tokio::time::{Instant, sleep};

use crate::metrics::Metrics;
use crate::resolution::{Question, Resolutions, ResolveFailure};

/// The first pause after a failure that may go away by itself; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// The longest of these pauses.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The pause after a failure that somebody has to repair, such as a repository that is not there.
const TERMINAL_PAUSE: Duration = Duration::from_secs(300);
/// The longest pause that the Hub may ask for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(900);
/// How long the questions of one `ModelDeployment` may take together.
const LONGEST_ROUND: Duration = Duration::from_secs(20);
/// When a failure that nobody asks about is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3600);
/// Questions under way at once for one `ModelDeployment`.
const CONCURRENCY: usize = 8;

/// Whoever knows which commit a revision is.
pub trait ResolveRevision: Send + Sync {
    /// The commit that a revision is now.
    fn resolve<'a>(
        &'a self,
        repository: &'a RepositoryId,
        revision: &'a Revision,
    ) -> BoxFuture<'a, Result<Commit, ResolveFailure>>;
}

impl ResolveRevision for HubClient {
    fn resolve<'a>(
        &'a self,
        repository: &'a RepositoryId,
        revision: &'a Revision,
    ) -> BoxFuture<'a, Result<Commit, ResolveFailure>> {
        Box::pin(async move {
            let answer = self.revision(repository, revision).await;
            answer.map(|found| found.commit).map_err(|error| ResolveFailure {
                reason: error.reason().to_owned(),
                message: with_sources(&error),
                retryable: error.is_retryable(),
                retry_after_seconds: error.retry_after().map(|pause| pause.as_secs()),
            })
        })
    }
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_words = cause.to_string();
        if !words.contains(&cause_words) {
            words.push_str(": ");
            words.push_str(&cause_words);
        }
        source = cause.source();
    }
    words
}

/// A question that failed, and when it is asked again.
struct Failed {
    failure: ResolveFailure,
    attempts: u32,
    again_at: Instant,
}

/// The Hub with the memory of what failed.
pub struct Hub {
    resolver: Arc<dyn ResolveRevision>,
    failed: Mutex<HashMap<Question, Failed>>,
    longest_round: Duration,
    metrics: Arc<Metrics>,
}

impl Hub {
    /// Wraps whoever knows the commits.
    #[must_use]
    pub fn new(resolver: Arc<dyn ResolveRevision>, metrics: Arc<Metrics>) -> Self {
        Self { resolver, failed: Mutex::default(), longest_round: LONGEST_ROUND, metrics }
    }

    /// Answers all questions, those that failed a moment ago from memory, and says how long to wait before it is worth
    /// asking again. What has no answer after 20 seconds has failed: other changes are
    /// waiting.
    pub async fn resolve(&self, questions: BTreeSet<Question>) -> (Resolutions, Option<Duration>) {
        let answers = stream::iter(questions.clone()).map(|question| async move {
            let answer = self.resolve_one(&question).await;
            (question, answer)
        });
        let in_time = answers.buffer_unordered(CONCURRENCY).take_until(sleep(self.longest_round));
        let mut answers: Resolutions = in_time.collect().await;
        for question in questions {
            answers
                .entry(question)
                .or_insert_with_key(|question| Err(self.failed(question, late(self.longest_round))));
        }
        let now = Instant::now();
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let pauses = answers.keys().filter_map(|question| failed.get(question));
        let pause = pauses.map(|failed| failed.again_at.saturating_duration_since(now)).min();
        (answers, pause)
    }

    async fn resolve_one(&self, question: &Question) -> Result<Commit, ResolveFailure> {
        if let Some(failure) = self.failed_lately(question) {
            return Err(failure);
        }
        let answer = self.resolver.resolve(&question.0, &question.1).await;
        answer.map_err(|failure| self.failed(question, failure)).inspect(|_| {
            self.metrics.resolutions.with_label_values(&["Resolved"]).inc();
            self.failed.lock().unwrap_or_else(PoisonError::into_inner).remove(question);
        })
    }

    fn failed_lately(&self, question: &Question) -> Option<ResolveFailure> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed
            .get(question)
            .filter(|failed| failed.again_at > Instant::now())
            .map(|failed| failed.failure.clone())
    }

    /// Remembers a failure, and forgets what nobody has asked for in an hour.
    fn failed(&self, question: &Question, failure: ResolveFailure) -> ResolveFailure {
        self.metrics.resolutions.with_label_values(&[failure.reason.as_str()]).inc();
        let now = Instant::now();
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.retain(|_, entry| now.saturating_duration_since(entry.again_at) < FORGOTTEN_AFTER);
        let attempts = failed.get(question).map_or(0, |failed| failed.attempts);
        let again_at = now + pause(&failure, attempts, rand::rng().random_range(0.75..1.25));
        let entry = Failed { failure: failure.clone(), attempts: attempts.saturating_add(1), again_at };
        failed.insert(question.clone(), entry);
        failure
    }
}

fn late(longest_round: Duration) -> ResolveFailure {
    ResolveFailure {
        reason: "HubUnavailable".to_owned(),
        message: format!("the Hub has not answered within {} seconds", longest_round.as_secs()),
        retryable: true,
        retry_after_seconds: None,
    }
}

/// The pause after a failure: `jitter` spreads the operators and deployments that failed together.
fn pause(failure: &ResolveFailure, attempts: u32, jitter: f64) -> Duration {
    if !failure.retryable {
        return TERMINAL_PAUSE.mul_f64(jitter);
    }
    let doubled =
        FIRST_PAUSE.saturating_mul(1_u32.checked_shl(attempts).unwrap_or(u32::MAX)).min(LONGEST_PAUSE);
    let asked_for = failure.retry_after_seconds.map_or(Duration::ZERO, Duration::from_secs);
    doubled.mul_f64(jitter).max(asked_for.min(LONGEST_RETRY_AFTER))
}

#[cfg(test)]
mod tests;
