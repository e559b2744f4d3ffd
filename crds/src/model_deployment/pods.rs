//! What each pod has: memory, accelerator, cache, the Hub's token, the sidecar's container.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    EmptyDirVolumeSource, EnvVar, PersistentVolumeClaimVolumeSource, ResourceRequirements, SecretKeySelector,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::quantity::QuantityText;

/// The memory that models may use in each pod.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.evictAbove > self.evictTo")
        .message("evictAbove must be greater than evictTo, such as 80 and 70"),
    validation = Rule::new("self.evictTo >= 1 && self.evictAbove <= 100")
        .message("evictAbove and evictTo must be percentages from 1 to 100")
)]
pub struct MemorySpec {
    /// The budget for weights and working memory on the host, such as `8Gi`. The sidecar's memory request and limit
    /// are this and a declared overhead.
    #[x_kube(validation = Rule::new("isQuantity(string(self)) && quantity(string(self)).isGreaterThan(quantity('0'))")
        .message("memory.host must be a quantity of bytes above 0, such as 8Gi"))]
    pub host: Quantity,
    /// Start evicting idle models above this percentage of the budget.
    #[serde(default = "default_evict_above")]
    pub evict_above: i32,
    /// Evict until this percentage of the budget is reached.
    #[serde(default = "default_evict_to")]
    pub evict_to: i32,
    /// The most memory that all models of a task take together, by the task's name, such as
    /// `{automatic-speech-recognition: 4Gi}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, QuantityText>", extend("maxProperties" = 8))]
    #[x_kube(
        validation = Rule::new("self.all(task, task in ['automatic-speech-recognition', 'translation', 'text-classification', 'feature-extraction', 'sentence-similarity'])")
            .message("memory.limits must name tasks: automatic-speech-recognition, translation, text-classification, feature-extraction or sentence-similarity"),
        validation = Rule::new("self.all(task, isQuantity(self[task]) && quantity(self[task]).isGreaterThan(quantity('0')))")
            .message("memory.limits must be quantities of bytes above 0, such as 4Gi; leave a task out for no limit but memory.host")
    )]
    pub limits: BTreeMap<String, Quantity>,
}

fn default_evict_above() -> i32 {
    80
}

fn default_evict_to() -> i32 {
    70
}

/// The accelerator that each pod needs.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GpuSpec {
    /// How many each pod gets, 1 to 16.
    #[serde(default = "default_gpu_count")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 16")
        .message("gpu.count must be from 1 to 16; leave gpu out for pods without an accelerator"))]
    pub count: i32,
    /// The extended resource that stands for one.
    #[serde(default = "default_gpu_resource")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$')")
        .message("gpu.resourceName must be an extended resource, such as nvidia.com/gpu"))]
    pub resource_name: String,
    /// Accepted products, at most 16, as GPU Feature Discovery writes them in the node label
    /// `nvidia.com/gpu.product`, such as `NVIDIA-H200`. Empty accepts any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 63)))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new("self.all(product, product.matches('^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$'))")
            .message("gpu.productNames must be values of the node label nvidia.com/gpu.product, such as NVIDIA-H200")
    )]
    pub product_names: Vec<String>,
    /// The least memory of one, such as `16Gi`, compared with the node label `nvidia.com/gpu.memory`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("isQuantity(string(self)) && quantity(string(self)).isGreaterThan(quantity('0'))")
        .message("gpu.minMemory must be a quantity of bytes above 0, such as 16Gi"))]
    pub min_memory: Option<Quantity>,
    /// The least compute capability, such as `"8.0"`, compared with the node labels `nvidia.com/gpu.compute.major` and
    /// `nvidia.com/gpu.compute.minor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9]{1,2}[.][0-9]{1,2}$')")
        .message("gpu.minComputeCapability must be MAJOR.MINOR in quotes, such as \"8.0\""))]
    pub min_compute_capability: Option<String>,
}

fn default_gpu_count() -> i32 {
    1
}

fn default_gpu_resource() -> String {
    "nvidia.com/gpu".to_owned()
}

/// Where model files are kept: exactly one of these.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(has(self.emptyDir) ? 1 : 0) + (has(self.persistentVolumeClaim) ? 1 : 0) + (has(self.hostPath) ? 1 : 0) == 1")
        .message("cache must hold exactly one of emptyDir, persistentVolumeClaim and hostPath")
)]
pub struct CacheSpec {
    /// A folder that lives as long as the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_dir: Option<EmptyDirVolumeSource>,
    /// A claim in the same namespace, which pods may share. Writers lock each file, so sharing is safe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self.claimName.size() > 0")
        .message("cache.persistentVolumeClaim.claimName must name a claim"))]
    pub persistent_volume_claim: Option<PersistentVolumeClaimVolumeSource>,
    /// A folder of the node, below the prefix that the operator's administrator allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_path: Option<HostPathCache>,
    /// The part of the disk to keep free, in percent, 1 to 50; 10 where it is left out. What was used least recently and
    /// is not in use is removed, in whichever pod of those that share the volume it was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 50")
        .message("cache.keepFree must be a percentage from 1 to 50; leave it out for 10"))]
    pub keep_free: Option<i32>,
}

/// A folder of the node.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostPathCache {
    /// The absolute path, without `..`. It is created when it is missing.
    #[schemars(length(max = 1024))]
    #[x_kube(validation = Rule::new("self.matches('^/.*[^/]') && !self.matches('/[.][.](/|$)')")
        .message("cache.hostPath.path must be an absolute path without '..', such as /var/lib/ostler"))]
    pub path: String,
}

/// How the Hub is reached. Its address is the administrator's setting.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HubSpec {
    /// The Secret in the same namespace that holds the access token, mounted into the sidecar alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self.name.size() > 0 && self.key.size() > 0")
        .message("hub.tokenSecretRef must name a Secret and its key, such as {name: hub, key: token}"))]
    pub token_secret_ref: Option<SecretKeySelector>,
}

/// The sidecar's own container.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SidecarSpec {
    /// Its image, instead of the one that the operator is set to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    #[x_kube(validation = Rule::new("self.matches('^[^ ]+$')")
        .message("sidecar.image must be an image reference without spaces; leave it out for the operator's own"))]
    pub image: Option<String>,
    /// Its requests and limits. Memory below `memory.host` and the overhead is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Additional environment variables, at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub env: Vec<EnvVar>,
}
