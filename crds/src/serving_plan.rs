//! The contract between the operator and the sidecar: which models to serve, at which commit, with which share
//! of traffic. It is all that a sidecar obeys.
//!
//! What needs a new pod when it changes (image, memory, cache, placement) is in the pod's template and not here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::names::{
    Commit, Dtype, LanguagePair, LoadPolicy, LongForm, ModelName, StorageUri, Task, VersionName, Weight,
};

/// The key of the plan ConfigMap that holds the plan as JSON, and its file name where it is mounted.
pub const PLAN_KEY: &str = "plan.json";

/// The format that this code writes, and the newest that it reads.
pub const PLAN_FORMAT: u32 = 1;

/// The largest plan in bytes; a larger one is refused as `PlanTooLarge`.
pub const MAX_PLAN_BYTES: usize = 512 * 1024;

/// Everything that a sidecar serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServingPlan {
    /// [`PLAN_FORMAT`] of the writer. Fields are only added; a reader refuses a format newer than its own.
    pub format: u32,
    /// The `metadata.generation` of the `ModelDeployment` that the plan was made from; 0 in `serve`.
    pub generation: i64,
    /// Salts the hash that assigns subjects to versions, so that two deployments split differently.
    /// The `ModelDeployment`'s namespace and name, joined by `/`.
    pub salt: String,
    /// The most bytes that all models of a task take together.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub task_limit_bytes: BTreeMap<Task, u64>,
    /// How much is loaded ahead of being asked for it. Absent in what an older operator wrote; nothing is then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preload_by_usage: Option<PlannedPreloadByUsage>,
    /// The models, in the order of the spec, which is also the order of preloading.
    pub models: Vec<PlannedModel>,
}

/// The bounds of what is loaded because it will probably be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedPreloadByUsage {
    /// The most versions that are loaded ahead and that nobody has used yet.
    pub max_versions: u32,
    /// The most memory that they take together, in percent of the budget.
    pub max_memory_percent: u8,
}

/// One model and its versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedModel {
    /// The name that clients ask for.
    pub name: ModelName,
    /// What it does.
    pub task: Task,
    /// When its versions are loaded.
    pub load: LoadPolicy,
    /// Never evicted once loaded.
    pub keep: bool,
    /// Requests worked on at once, at least 1.
    pub instances: u32,
    /// The most texts of requests that are worked on as one, at least 1. Absent in what an older operator wrote, and
    /// where the spec leaves it to the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_batch: Option<u32>,
    /// How long a request waits for others to be worked on with. Absent as `max_batch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_delay_milliseconds: Option<u32>,
    /// How speech that is longer than a window is worked on where a request does not say. Absent in what an older
    /// operator wrote, and where the spec leaves it to the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub long_form: Option<LongForm>,
    /// The most bytes that all its versions and language pairs take together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_limit_bytes: Option<u64>,
    /// A version that nobody has used for so long is unloaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_seconds: Option<u32>,
    /// How many answers are kept; none where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_cache: Option<PlannedResultCache>,
    /// The version for whoever asks for none and is in no other version's share.
    pub default_version: VersionName,
    /// Versions tried in order when the chosen one cannot load.
    pub fallback: Vec<VersionName>,
    /// The versions, each with its effective weight: the weights add up to 100.
    pub versions: Vec<PlannedVersion>,
}

/// The bounds of the answers that are kept of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedResultCache {
    /// The most answers.
    pub max_entries: u32,
    /// The most bytes that they take together.
    pub max_bytes: u64,
    /// How long each is kept.
    pub time_to_live_seconds: u32,
}

/// One version of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedVersion {
    /// Its name.
    pub name: VersionName,
    /// The number format asked for.
    pub dtype: Dtype,
    /// Its effective share of traffic.
    pub weight: Weight,
    /// The artifacts: one without a language pair, or one for each language pair.
    pub artifacts: Vec<PlannedArtifact>,
}

/// The files of one version, or of one language pair of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedArtifact {
    /// The language pair that these files translate. `None` where one set of files serves every pair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language_pair: Option<LanguagePair>,
    /// Where they come from, placeholder replaced.
    pub source: StorageUri,
    /// The pinned commit. Always set for a Hub source that could be resolved; `None` for a file source, whose
    /// digest the sidecar takes itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Commit>,
    /// Why a Hub source has no commit yet; the sidecar reports the version as `FailedToLoad` with these words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unpinned: Option<String>,
    /// The pins that it had before, newest first, which clients may still ask for by commit. Absent in what an older
    /// operator wrote.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<RetiredPin>,
}

/// A pin that an artifact had before the present one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetiredPin {
    /// Where its files come from: the source of that time, which may have been another repository.
    pub source: StorageUri,
    /// Its commit.
    pub commit: Commit,
    /// The number format that it was computed in when it retired, so that it answers as it did then.
    pub dtype: Dtype,
}

/// Why a plan could not be read.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The plan is over [`MAX_PLAN_BYTES`].
    #[error(
        "the serving plan is {bytes} bytes, over the limit of {MAX_PLAN_BYTES}: use fewer models, versions or language pairs, or less history"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// It is not JSON of this shape.
    #[error("the serving plan cannot be read")]
    Malformed(#[source] serde_json::Error),
    /// It was written by a newer operator.
    #[error("the serving plan has format {format}, newer than {PLAN_FORMAT}: update the sidecar's image")]
    NewerFormat {
        /// Its format.
        format: u32,
    },
}

impl ServingPlan {
    /// Reads a plan, bounded in size and format.
    ///
    /// # Errors
    /// See [`PlanError`].
    pub fn from_json(text: &str) -> Result<Self, PlanError> {
        if text.len() > MAX_PLAN_BYTES {
            return Err(PlanError::TooLarge { bytes: text.len() });
        }
        let plan: Self = serde_json::from_str(text).map_err(PlanError::Malformed)?;
        if plan.format > PLAN_FORMAT {
            return Err(PlanError::NewerFormat { format: plan.format });
        }
        Ok(plan)
    }

    /// Writes the plan: the same plan always gives the same bytes.
    ///
    /// # Errors
    /// [`PlanError::TooLarge`] over [`MAX_PLAN_BYTES`].
    pub fn to_json(&self) -> Result<String, PlanError> {
        let text = serde_json::to_string(self).map_err(PlanError::Malformed)?;
        if text.len() > MAX_PLAN_BYTES {
            return Err(PlanError::TooLarge { bytes: text.len() });
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests;
