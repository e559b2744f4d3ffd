//! `ModelDeployment`: what a platform team applies.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    EmptyDirVolumeSource, EnvVar, PersistentVolumeClaimVolumeSource, ResourceRequirements, SecretKeySelector,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::{Dtype, LoadPolicy, Task};
use crate::status::Failure;

/// The annotation whose change makes the operator resolve every revision anew.
pub const REPIN_ANNOTATION: &str = "ostler.dev/repin";

/// The models to serve, and the pods to serve them in.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "ostler.dev",
    version = "v1alpha1",
    kind = "ModelDeployment",
    plural = "modeldeployments",
    shortname = "mdep",
    namespaced,
    status = "ModelDeploymentStatus",
    derive = "PartialEq",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct ModelDeploymentSpec {
    /// The number of pods.
    #[serde(default = "default_replicas")]
    pub replicas: i32,
    /// The models, in the order in which they are preloaded.
    pub models: Vec<ModelSpec>,
    /// The memory that models may use in each pod.
    pub memory: MemorySpec,
    /// The accelerator that each pod needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<GpuSpec>,
    /// Where model files are kept on the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheSpec>,
    /// How the Hub is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub: Option<HubSpec>,
    /// The sidecar's own container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sidecar: Option<SidecarSpec>,
    /// A pod template (`metadata` and `spec` as in a Deployment) whose containers run beside the sidecar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<serde_json::Value>,
}

fn default_replicas() -> i32 {
    1
}

fn default_instances() -> i32 {
    1
}

/// One model: a name that clients ask for, and its versions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelSpec {
    /// The name that clients ask for.
    pub name: String,
    /// What the model does, as a Hugging Face pipeline tag. It cannot change under one name.
    pub task: Task,
    /// When the versions are loaded.
    #[serde(default)]
    pub load: LoadPolicy,
    /// Never evict this model once it is loaded.
    #[serde(default)]
    pub keep: bool,
    /// Requests worked on at once.
    #[serde(default = "default_instances")]
    pub instances: i32,
    /// The language pairs that replace `{languagePair}` in `storageUri`, such as `en-de`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub language_pairs: Vec<String>,
    /// The version that takes what the weights leave of 100. Needed from two versions on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_version: Option<String>,
    /// The versions.
    pub versions: Vec<VersionSpec>,
    /// Versions tried in order when the chosen one cannot load.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<String>,
}

/// One version of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VersionSpec {
    /// The name, such as `v1`.
    pub name: String,
    /// `hf://ORG/REPO[:REVISION]`, or `file:///PATH` under a volume of the template.
    pub storage_uri: String,
    /// The number format to compute in.
    #[serde(default)]
    pub dtype: Dtype,
    /// The share of traffic in percent.
    #[serde(default)]
    pub weight: i32,
}

/// The memory that models may use in each pod.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemorySpec {
    /// The budget for weights and working memory on the host.
    pub host: Quantity,
    /// Start evicting idle models above this percentage of the budget.
    #[serde(default = "default_evict_above")]
    pub evict_above: i32,
    /// Evict until this percentage is reached.
    #[serde(default = "default_evict_to")]
    pub evict_to: i32,
}

fn default_evict_above() -> i32 {
    80
}

fn default_evict_to() -> i32 {
    70
}

/// The accelerator that each pod needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GpuSpec {
    /// How many.
    #[serde(default = "default_gpu_count")]
    pub count: i32,
    /// The extended resource that stands for one.
    #[serde(default = "default_gpu_resource")]
    pub resource_name: String,
    /// Accepted products, as GPU Feature Discovery writes them in `nvidia.com/gpu.product`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub product_names: Vec<String>,
    /// The least memory of one, compared with `nvidia.com/gpu.memory`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_memory: Option<Quantity>,
    /// The least compute capability, such as `8.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_compute_capability: Option<String>,
}

fn default_gpu_count() -> i32 {
    1
}

fn default_gpu_resource() -> String {
    "nvidia.com/gpu".to_owned()
}

/// Where model files are kept: exactly one of these.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CacheSpec {
    /// A folder that lives as long as the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_dir: Option<EmptyDirVolumeSource>,
    /// A claim that pods may share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<PersistentVolumeClaimVolumeSource>,
    /// A folder of the node, below the prefix that the operator's administrator allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_path: Option<HostPathCache>,
}

/// A folder of the node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostPathCache {
    /// The absolute path.
    pub path: String,
}

/// How the Hub is reached. Its address is the administrator's setting.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HubSpec {
    /// The Secret with the access token, mounted into the sidecar alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_secret_ref: Option<SecretKeySelector>,
}

/// The sidecar's own container.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SidecarSpec {
    /// Its image, instead of the operator's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Its requests and limits. Memory below `memory.host` and the overhead is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Additional environment variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
}

/// A bounded summary of reality: its size grows with models and versions, never with pods.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelDeploymentStatus {
    /// The generation that this status speaks of.
    #[serde(default)]
    pub observed_generation: i64,
    /// Conditions, as kstatus reads them.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// Pods that exist.
    #[serde(default)]
    pub replicas: i32,
    /// Pods that are ready.
    #[serde(default)]
    pub ready_replicas: i32,
    /// The pods' label selector, for `/scale`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub selector: String,
    /// `2/3`: preloaded versions that are loaded in every ready pod, of all preloaded ones.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub loaded: String,
    /// How far preloading has come over all pods, in percent.
    #[serde(default)]
    pub progress_percent: i32,
    /// `whisper=v1:90,v2:10 translation=v1:100`, for `kubectl get`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub versions: String,
    /// The value of the `ostler.dev/repin` annotation that the pins were made under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_repin: Option<String>,
    /// Every model and its versions.
    #[serde(default)]
    pub models: Vec<ModelStatus>,
}

/// One model's versions over all pods.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelStatus {
    /// The model.
    pub name: String,
    /// Its versions.
    #[serde(default)]
    pub versions: Vec<VersionStatus>,
}

/// One version over all pods.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VersionStatus {
    /// The version.
    pub name: String,
    /// The pinned commit; empty where language pairs have one each.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub revision: String,
    /// The share of traffic in effect.
    #[serde(default)]
    pub weight: i32,
    /// How many pods have it in each state; a pod counts once, by its worst language pair.
    #[serde(default)]
    pub replicas: BTreeMap<String, i32>,
    /// At most 16 language pairs that failed in some pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unhealthy_language_pairs: Vec<String>,
    /// The last failure in any pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<Failure>,
}
