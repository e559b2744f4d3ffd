//! What a pod holds at one moment, for reports, metrics and progress. Plain values, written by the residency task.

use std::sync::Arc;

use jiff::Timestamp;
use ostler_crds::names::{Dtype, LoadPolicy, Task};
use ostler_crds::status::{FailureLocation, Stage, VersionState};
use ostler_inference::engine::SpokenLanguages;
use serde::{Serialize, Serializer};

use crate::prediction::PredictedLoads;
use crate::target::VersionKey;

/// Everything at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// The generation of the plan that is obeyed.
    pub plan_generation: i64,
    /// Whether the first plan's `Preload` versions have been loaded and proved. It stays true.
    pub ready: bool,
    /// How far all `Preload` versions have come, in percent. It never falls while the plan stays.
    pub progress_percent: u8,
    /// The memory budget in bytes.
    pub budget_bytes: u64,
    /// The bytes reserved of it: loaded, loading and still being freed, and what is set aside for answers that are kept.
    pub reserved_bytes: u64,
    /// Requests that wait for a version to load.
    pub waiting_requests: usize,
    /// What became of the versions that were loaded before anybody asked for them.
    #[serde(skip_serializing_if = "PredictedLoads::is_empty")]
    pub predicted_loads: PredictedLoads,
    /// Every model version, and every language pair of it, in the plan's order: its present pin.
    pub versions: Vec<VersionSnapshot>,
    /// The pins of their histories. Those that nobody has asked for are not shown.
    #[serde(skip_serializing_if = "is_untouched", serialize_with = "touched")]
    pub retired: Vec<VersionSnapshot>,
}

impl Snapshot {
    /// The present pin of a version, or one of its history.
    #[must_use]
    pub fn version(&self, key: &VersionKey) -> Option<&VersionSnapshot> {
        let pins = if key.retired.is_some() { &self.retired } else { &self.versions };
        pins.iter().find(|version| version.key == *key)
    }
}

fn asked_for(retired: &[VersionSnapshot]) -> impl Iterator<Item = &VersionSnapshot> {
    retired.iter().filter(|version| version.state != VersionState::Remote)
}

fn is_untouched(retired: &[VersionSnapshot]) -> bool {
    asked_for(retired).next().is_none()
}

fn touched<S: Serializer>(retired: &[VersionSnapshot], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(asked_for(retired))
}

/// One model version, or one language pair of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionSnapshot {
    /// Its name.
    #[serde(flatten)]
    pub key: VersionKey,
    /// What it does.
    pub task: Task,
    /// When it is loaded.
    pub load: LoadPolicy,
    /// The number format asked for.
    pub dtype: Dtype,
    /// The commit, or `sha256:` and the digest of a folder; empty while unknown.
    pub revision: String,
    /// Where it stands.
    pub state: VersionState,
    /// What is being done for it, while it is on its way into memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// How far it is on its way into memory, in percent: 100 once it is there. It never falls, over failures too, until
    /// it leaves memory.
    pub percent: u8,
    /// Whether it has been loaded and proved at least once.
    pub proven: bool,
    /// The bytes that it holds in memory.
    pub resident_bytes: u64,
    /// Why it was loaded, or is being, before anybody asked for it; until somebody does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loaded_ahead: Option<String>,
    /// The transfer under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<TransferSnapshot>,
    /// Its last failure, until it is loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<FailureSnapshot>,
    /// The revision of an older pin that answers until this one is loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serving_revision: Option<String>,
    /// The languages that a model for translation said it knows when it was loaded.
    #[serde(skip)]
    pub languages: Option<Arc<SpokenLanguages>>,
}

/// How far a transfer is. -1 means unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TransferSnapshot {
    /// All bytes that there are to fetch.
    pub total_bytes: i64,
    /// The bytes already here; they never become fewer within one transfer.
    pub completed_bytes: i64,
    /// The present speed.
    pub speed_bytes_per_second: i64,
    /// The time that the rest will take at this speed.
    pub remaining_seconds: i64,
}

/// The last failure of a version.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureSnapshot {
    /// In which part of the way.
    pub location: FailureLocation,
    /// One PascalCase word.
    pub reason: String,
    /// What happened, for a person.
    pub message: String,
    /// When it happened.
    pub time: Timestamp,
    /// When it is tried again; `None` where only a new plan can help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
}
