//! What the operator says of a `ModelDeployment`: bounded, whatever the number of pods.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::status::{Failure, Stage};

/// A bounded summary of reality: its size grows with models and versions, never with pods.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelDeploymentStatus {
    /// The generation that this status speaks of.
    #[serde(default)]
    pub observed_generation: i64,
    /// `Ready`, `Reconciling` and `Stalled` as kstatus reads them; `Available`: at least one pod serves;
    /// `VersionsPinned`: every revision is resolved to a commit; `ModelsLoaded`: every preloaded version is loaded in
    /// every ready pod; `Degraded`: something serves worse than the spec asks for.
    #[serde(default)]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Pods that exist.
    #[serde(default)]
    pub replicas: i32,
    /// Pods that are ready.
    #[serde(default)]
    pub ready_replicas: i32,
    /// The pods' label selector, for `/scale`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub selector: String,
    /// `2/3`: preloaded versions that are loaded in every ready pod, of all preloaded ones.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 32))]
    pub loaded: String,
    /// How far preloading has come over all pods, in percent.
    #[serde(default)]
    pub progress_percent: i32,
    /// `whisper=v1:90,v2:10 translation=v1:100`: each version's share of traffic in percent, for `kubectl get`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 32768))]
    pub versions: String,
    /// The value of the annotation `ostler.dev/repin` that the pins were made under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub observed_repin: Option<String>,
    /// Every model and its versions.
    #[serde(default)]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub models: Vec<ModelStatus>,
}

/// One model's versions over all pods.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelStatus {
    /// The model.
    #[schemars(length(max = 63))]
    pub name: String,
    /// Its versions.
    #[serde(default)]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub versions: Vec<VersionStatus>,
}

/// One version over all pods.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionStatus {
    /// The version.
    #[schemars(length(max = 63))]
    pub name: String,
    /// The pinned commit; empty where language pairs have one each.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 80))]
    pub revision: String,
    /// The share of traffic in effect, in percent.
    #[serde(default)]
    pub weight: i32,
    /// How many pods have it in each state (`Remote`, `Downloading`, `Cached`, `Loading`, `Loaded`, `FailedToLoad`,
    /// `Unknown`). A pod counts once, by its worst language pair.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 16))]
    pub replicas: BTreeMap<String, i32>,
    /// What is being done in the pod that is farthest behind, while any brings it into memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// How far that pod is, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<i32>,
    /// At most 16 language pairs that failed in some pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 40)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub unhealthy_language_pairs: Vec<String>,
    /// The last failure in any pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<Failure>,
}
