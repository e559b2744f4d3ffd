//! What a pod holds: one target for each model version, and for each language pair of it that has its own files.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use ostler_crds::names::{Commit, Dtype, LanguagePair, LoadPolicy, ModelName, StorageUri, Task, VersionName};
use ostler_crds::serving_plan::{PlannedArtifact, PlannedModel, PlannedVersion, ServingPlan};
use ostler_crds::status::FailureLocation;
use serde::Serialize;

/// The most texts that are worked on as one where the plan does not say. Nobody waits long for so few, and 16 clients
/// got 1.64 times as many answers with it as each alone (`docs/serving.md`).
const DEFAULT_MAX_BATCH: usize = 16;

/// How long requests wait for others where the plan does not say.
const DEFAULT_MAX_DELAY: Duration = Duration::from_millis(2);

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
    /// The commit of a pin that the version had before, where it is that one; absent for the present pin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retired: Option<Commit>,
}

impl VersionKey {
    /// The present pin of the same version and language pair.
    #[must_use]
    pub fn present(&self) -> Self {
        Self { retired: None, ..self.clone() }
    }

    /// Whether both are pins of one version and language pair.
    #[must_use]
    pub fn is_same_version(&self, other: &Self) -> bool {
        (&self.model, &self.version, &self.language_pair)
            == (&other.model, &other.version, &other.language_pair)
    }
}

impl fmt::Display for VersionKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}@{}", self.model, self.version)?;
        if let Some(commit) = &self.retired {
            write!(formatter, " at {commit}")?;
        }
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
    /// How requests are worked on together.
    pub batching: Batching,
    /// The most bytes that all versions of its model take together.
    pub model_limit_bytes: Option<u64>,
    /// The most bytes that all models of its task take together.
    pub task_limit_bytes: Option<u64>,
    /// It is unloaded when nobody has used it for so long.
    pub idle_time: Option<Duration>,
}

impl Target {
    /// Whether both stand for the same weights, so that a loaded engine of one serves the other. A pin stays the same when
    /// it retires.
    #[must_use]
    pub fn is_same_model(&self, other: &Self) -> bool {
        self.key.is_same_version(&other.key)
            && self.task == other.task
            && self.source == other.source
            && self.commit == other.commit
            && self.unpinned == other.unpinned
            && self.dtype == other.dtype
    }
}

/// Every target of a plan, in the plan's order: each artifact's present pin, then those of its history.
#[must_use]
pub fn targets(plan: &ServingPlan) -> Vec<Target> {
    let mut targets = Vec::new();
    for model in &plan.models {
        for version in &model.versions {
            for artifact in &version.artifacts {
                let present = present(plan, model, version, artifact);
                let retired = retired(&present, artifact);
                targets.push(present);
                targets.extend(retired);
            }
        }
    }
    targets
}

fn present(
    plan: &ServingPlan,
    model: &PlannedModel,
    version: &PlannedVersion,
    artifact: &PlannedArtifact,
) -> Target {
    Target {
        key: VersionKey {
            model: model.name.clone(),
            version: version.name.clone(),
            language_pair: artifact.language_pair.clone(),
            retired: None,
        },
        task: model.task,
        source: artifact.source.clone(),
        commit: artifact.commit.clone(),
        unpinned: artifact.unpinned.clone(),
        dtype: version.dtype,
        load: model.load,
        keep: model.keep,
        instances: model.instances.max(1),
        batching: Batching::of(model),
        model_limit_bytes: model.memory_limit_bytes,
        task_limit_bytes: plan.task_limit_bytes.get(&model.task).copied(),
        idle_time: model.idle_seconds.map(|seconds| Duration::from_secs(seconds.into())),
    }
}

/// The pins of an artifact's history: loaded when asked for, and never kept, whatever their model says. Each commit is
/// there once, and the present one is none of them.
fn retired(present: &Target, artifact: &PlannedArtifact) -> Vec<Target> {
    let mut seen: BTreeSet<&Commit> = artifact.commit.iter().collect();
    let retired = artifact.history.iter().filter(|pin| seen.insert(&pin.commit)).map(|pin| Target {
        key: VersionKey { retired: Some(pin.commit.clone()), ..present.key.clone() },
        source: pin.source.clone(),
        commit: Some(pin.commit.clone()),
        unpinned: None,
        dtype: pin.dtype,
        load: LoadPolicy::Lazy,
        keep: false,
        ..present.clone()
    });
    retired.collect()
}

/// How requests of texts are worked on together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batching {
    /// The most texts of requests that are worked on as one; 1 works on each request alone.
    pub most_texts: usize,
    /// How long a request that could be worked on waits for others to come along, while there are others.
    pub most_delay: Duration,
}

impl Batching {
    /// Each request is worked on alone.
    pub const ALONE: Self = Self { most_texts: 1, most_delay: Duration::ZERO };

    /// What a plan says, or leaves to the defaults.
    fn of(model: &PlannedModel) -> Self {
        Self {
            most_texts: model.max_batch.map_or(DEFAULT_MAX_BATCH, |most| most.max(1) as usize),
            most_delay: model
                .max_delay_milliseconds
                .map_or(DEFAULT_MAX_DELAY, |delay| Duration::from_millis(delay.into())),
        }
    }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn retired_pins_are_lazy_and_not_kept_and_each_commit_is_there_once() {
        let commit = |digit: char| digit.to_string().repeat(40);
        let pin =
            |digit, source: &str| json!({"source": source, "commit": commit(digit), "dtype": "float32"});
        let plan = json!({"format": 1, "generation": 1, "salt": "s", "models": [
            {"name": "m", "task": "translation", "load": "Preload", "keep": true, "instances": 2, "idleSeconds": 60,
             "defaultVersion": "v1", "fallback": [], "versions": [{"name": "v1", "dtype": "int8", "weight": 100,
                "artifacts": [{"source": "hf://o/r", "commit": commit('3'), "history": [
                    pin('2', "hf://o/r"), pin('3', "hf://o/r"), pin('1', "hf://o/other"), pin('2', "hf://o/third")]}]}]}]});
        let plan = serde_json::from_value(plan).unwrap();
        let targets = targets(&plan);
        let shown: Vec<String> = targets
            .iter()
            .map(|it| format!("{} {} {} {:?} {}", it.key, it.source, it.dtype, it.load, it.keep))
            .collect();
        let expected = [
            "m@v1 hf://o/r:main int8 Preload true".to_owned(),
            format!("m@v1 at {} hf://o/r:main float32 Lazy false", commit('2')),
            format!("m@v1 at {} hf://o/other:main float32 Lazy false", commit('1')),
        ];
        assert_eq!(shown, expected);
        assert!(targets.iter().all(|it| it.instances == 2 && it.idle_time == Some(Duration::from_secs(60))));
    }
}
