//! What became of asking the Hub which commit a revision is.

use std::collections::BTreeMap;

use ostler_crds::names::{Commit, RepositoryId, Revision};

/// A branch, tag or commit of a repository: the question.
pub type Question = (RepositoryId, Revision);

/// The answers to a set of questions.
pub type Resolutions = BTreeMap<Question, Result<Commit, ResolveFailure>>;

/// Why a revision could not be resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct ResolveFailure {
    /// One PascalCase word, such as `NotFound` or `HubUnavailable`.
    pub reason: String,
    /// What happened, for a person. It holds no time and no counter, so that the same failure reads the same.
    pub message: String,
    /// Whether it may go away by itself.
    pub retryable: bool,
    /// How many seconds the Hub asks to wait.
    pub retry_after_seconds: Option<u64>,
}
