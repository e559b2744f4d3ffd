//! `ModelReplica`: what one pod's sidecar says of itself. Written by that sidecar alone, named as its pod and owned
//! by it, so that an admission policy can tie the writer's token to the object.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::status::{Failure, Progress, Stage, VersionState};

/// Which process speaks.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "ostler.dev",
    version = "v1alpha1",
    kind = "ModelReplica",
    plural = "modelreplicas",
    shortname = "mrep",
    category = "ostler",
    namespaced,
    doc = "The report of one pod's sidecar: which model versions are on disk and in memory, how far transfers have come, and what failed. The sidecar alone writes it; it is named as its pod and goes with it.",
    status = "ModelReplicaStatus",
    derive = "PartialEq",
    printcolumn(
        name = "Deployment",
        type_ = "string",
        json_path = ".spec.deployment",
        description = "The ModelDeployment that the pod belongs to."
    ),
    printcolumn(
        name = "Ready",
        type_ = "boolean",
        json_path = ".status.ready",
        description = "Whether the first plan's preloaded versions have been loaded and proved."
    ),
    printcolumn(
        name = "Loaded",
        type_ = "string",
        json_path = ".status.loaded",
        description = "Loaded versions of all in the plan."
    ),
    printcolumn(
        name = "Progress",
        type_ = "integer",
        json_path = ".status.progressPercent",
        description = "How far all preloaded versions have come, in percent."
    ),
    printcolumn(
        name = "Reserved",
        type_ = "integer",
        json_path = ".status.reservedBytes",
        description = "Bytes reserved of the memory budget.",
        priority = 1
    ),
    printcolumn(
        name = "Budget",
        type_ = "integer",
        json_path = ".status.budgetBytes",
        description = "The memory budget in bytes.",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.spec.podUid.size() > 0 && self.spec.deployment.size() > 0")
        .message("spec.podUid and spec.deployment must name the pod and the ModelDeployment that the report speaks for")
)]
#[serde(rename_all = "camelCase")]
pub struct ModelReplicaSpec {
    /// The name of the `ModelDeployment` that the pod belongs to.
    #[schemars(length(max = 63))]
    pub deployment: String,
    /// The UID of the pod.
    #[schemars(length(max = 64))]
    pub pod_uid: String,
    /// The container that speaks. A report of a container that has died counts as unknown.
    pub container: ReportingContainer,
}

/// One run of the sidecar's container.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportingContainer {
    /// Its name in the pod.
    #[schemars(length(max = 63))]
    pub name: String,
    /// When its process started, by the node's clock: never before the pod status says that the container did.
    pub started_at: Time,
}

/// What is really on disk and in memory.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelReplicaStatus {
    /// The `generation` of the plan that the sidecar obeys.
    #[serde(default)]
    pub plan_generation: i64,
    /// Whether the first plan's `Preload` versions have been loaded and proved. It stays true.
    #[serde(default)]
    pub ready: bool,
    /// How far all `Preload` versions have come, in percent.
    #[serde(default)]
    pub progress_percent: i32,
    /// `1/4`: loaded versions of all in the plan, for `kubectl get`.
    #[serde(default)]
    #[schemars(length(max = 32))]
    pub loaded: String,
    /// The memory budget in bytes.
    #[serde(default)]
    pub budget_bytes: i64,
    /// The bytes reserved of it: loaded, loading and still being freed.
    #[serde(default)]
    pub reserved_bytes: i64,
    /// Every model version, and every language pair of it.
    #[serde(default)]
    #[schemars(length(max = 4096))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["model".into(), "version".into(), "languagePair".into()]))]
    pub versions: Vec<ReportedVersion>,
}

/// One model version, or one language pair of it, in this pod.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportedVersion {
    /// The model.
    #[schemars(length(max = 63))]
    pub model: String,
    /// The version.
    #[schemars(length(max = 63))]
    pub version: String,
    /// The language pair, where the version has one set of files for each; else empty. Always written, because it is
    /// part of the key of the list.
    #[serde(default)]
    #[schemars(length(max = 40))]
    pub language_pair: String,
    /// The commit, or `sha256:` and the digest of a folder.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 80))]
    pub revision: String,
    /// Where it stands.
    pub state: VersionState,
    /// What is being done for it, while it is on its way into memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// How far it is on its way into memory, in percent: 100 once it is there. It falls only when it leaves memory.
    #[serde(default)]
    pub percent: i32,
    /// Whether it has been loaded and proved at this revision since the process started. It may have been unloaded since,
    /// for others or because nobody used it, and the next request loads it again.
    #[serde(default)]
    pub proven: bool,
    /// The bytes that it holds in memory.
    #[serde(default)]
    pub resident_bytes: i64,
    /// The transfer or load under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// Its last failure, until it is loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<Failure>,
}
