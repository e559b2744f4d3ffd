//! What a pod holds: one target for each model version, and for each language pair of it that has its own files.

use std::fmt;
use std::time::Duration;

use ostler_crds::names::{Commit, Dtype, LanguagePair, LoadPolicy, ModelName, StorageUri, Task, VersionName};
use ostler_crds::serving_plan::ServingPlan;
use ostler_crds::status::FailureLocation;
use serde::Serialize;

/// Names one thing that can be loaded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionKey {
    /// The model.
    pub model: ModelName,
    /// The version of it.
    pub version: VersionName,
    /// The language pair, where the version has one set of files for each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language_pair: Option<LanguagePair>,
}

impl fmt::Display for VersionKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}@{}", self.model, self.version)?;
        match &self.language_pair {
            Some(pair) => write!(formatter, " ({pair})"),
            None => Ok(()),
        }
    }
}

/// One thing to load, and how the plan wants it treated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its name.
    pub key: VersionKey,
    /// What it does.
    pub task: Task,
    /// Where its files come from.
    pub source: StorageUri,
    /// The pinned commit of a Hub source.
    pub commit: Option<Commit>,
    /// Why a Hub source has no commit yet.
    pub unpinned: Option<String>,
    /// The number format to compute in.
    pub dtype: Dtype,
    /// When it is loaded.
    pub load: LoadPolicy,
    /// Never evicted once loaded.
    pub keep: bool,
    /// Requests worked on at once.
    pub instances: u32,
    /// The most bytes that all versions of its model take together.
    pub model_limit_bytes: Option<u64>,
    /// The most bytes that all models of its task take together.
    pub task_limit_bytes: Option<u64>,
    /// It is unloaded when nobody has used it for so long.
    pub idle_time: Option<Duration>,
}

impl Target {
    /// Whether both stand for the same weights, so that a loaded engine of one serves the other.
    #[must_use]
    pub fn is_same_model(&self, other: &Self) -> bool {
        self.key == other.key
            && self.task == other.task
            && self.source == other.source
            && self.commit == other.commit
            && self.unpinned == other.unpinned
            && self.dtype == other.dtype
    }
}

/// Every target of a plan, in the plan's order.
#[must_use]
pub fn targets(plan: &ServingPlan) -> Vec<Target> {
    let mut targets = Vec::new();
    for model in &plan.models {
        for version in &model.versions {
            for artifact in &version.artifacts {
                targets.push(Target {
                    key: VersionKey {
                        model: model.name.clone(),
                        version: version.name.clone(),
                        language_pair: artifact.language_pair.clone(),
                    },
                    task: model.task,
                    source: artifact.source.clone(),
                    commit: artifact.commit.clone(),
                    unpinned: artifact.unpinned.clone(),
                    dtype: version.dtype,
                    load: model.load,
                    keep: model.keep,
                    instances: model.instances.max(1),
                    model_limit_bytes: model.memory_limit_bytes,
                    task_limit_bytes: plan.task_limit_bytes.get(&model.task).copied(),
                    idle_time: model.idle_seconds.map(|seconds| Duration::from_secs(seconds.into())),
                });
            }
        }
    }
    targets
}

/// Why a target could not be fetched or loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct VersionFailure {
    /// In which part of the way.
    pub location: FailureLocation,
    /// One PascalCase word, such as `NotFound` or `Incompatible`.
    pub reason: String,
    /// What happened, for a person.
    pub message: String,
    /// Whether trying again without a change of the plan may help.
    pub retryable: bool,
    /// The wait that the other side asked for.
    pub retry_after: Option<Duration>,
}
