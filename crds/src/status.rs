//! Words that both kinds report in: states, failures, progress, condition types and reasons.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Condition types of a `ModelDeployment`. `Ready`, `Reconciling` and `Stalled` are read by kstatus, and so by
/// Helm, Flux and Argo CD.
pub mod condition {
    /// Everything asked for is up: enough ready pods, every preloaded version loaded.
    pub const READY: &str = "Ready";
    /// The operator or a pod is still on its way to what the spec asks for.
    pub const RECONCILING: &str = "Reconciling";
    /// Nothing will change until the user changes something.
    pub const STALLED: &str = "Stalled";
    /// At least one pod serves.
    pub const AVAILABLE: &str = "Available";
    /// Every revision of the spec is resolved to a commit.
    pub const VERSIONS_PINNED: &str = "VersionsPinned";
    /// Every `Preload` version is loaded in every ready pod.
    pub const MODELS_LOADED: &str = "ModelsLoaded";
    /// Something serves worse than the spec asks for: a fallback, a failed version.
    pub const DEGRADED: &str = "Degraded";
}

/// Where one model version, or one language pair of it, stands in one pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum VersionState {
    /// Not on this node's disk.
    Remote,
    /// Its files are being fetched and verified.
    Downloading,
    /// Its verified files are on disk; it is not in memory.
    Cached,
    /// It is being read into memory.
    Loading,
    /// It answers requests.
    Loaded,
    /// It could not be fetched or loaded; `lastFailure` says why, and when it is tried again.
    FailedToLoad,
}

/// What is being done for a version that is on its way into memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Stage {
    /// The Hub is asked which files the commit has, and the cache which of them are there.
    Resolve,
    /// Files are fetched.
    Download,
    /// The last of them are verified, and what they will take in memory is read from their headers.
    Verify,
    /// Weights are read into memory.
    Load,
    /// A first small job shows that it computes finite numbers.
    WarmUp,
}

impl Stage {
    /// What is being done, in a word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Resolve => "resolving",
            Self::Download => "downloading",
            Self::Verify => "verifying",
            Self::Load => "loading",
            Self::WarmUp => "warming up",
        }
    }
}

/// In which part of the way a failure happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum FailureLocation {
    /// Resolving, fetching or verifying files.
    Download,
    /// Reading files into a model.
    Load,
    /// Finding memory for it.
    Memory,
}

/// The last failure of a model version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// Where it happened.
    pub location: FailureLocation,
    /// One PascalCase word, such as `NotFound`, `IntegrityMismatch` or `Incompatible`.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// What happened, for a person: at most 1024 characters, control characters escaped.
    #[schemars(length(max = 1024))]
    pub message: String,
    /// The commit that failed, where one was known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 64))]
    pub revision: String,
    /// When it happened.
    pub time: Time,
    /// Whether it is tried again without a change of the spec.
    #[serde(default)]
    pub retryable: bool,
}

/// How far a transfer or a load has come. 0 is written, -1 means unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// All bytes that there are to fetch.
    pub total_bytes: i64,
    /// The bytes already here.
    pub completed_bytes: i64,
    /// The present speed.
    pub speed_bytes_per_second: i64,
    /// The time that the rest will take at this speed.
    pub remaining_seconds: i64,
}
