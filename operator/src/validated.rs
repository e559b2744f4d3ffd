//! A `ModelDeployment` whose every field has been parsed and checked: what the later steps work on.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    EmptyDirVolumeSource, EnvVar, PersistentVolumeClaimVolumeSource, ResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use ostler_crds::checked::{CheckedMemory, CheckedModel};
use ostler_crds::names::Task;
use ostler_crds::serving_plan::PlannedPreloadByUsage;
use serde_json::{Map, Value};

/// A checked `ModelDeployment`.
#[derive(Debug, Clone, PartialEq)]
pub struct ValidatedDeployment {
    /// Who it is.
    pub identity: Identity,
    /// The number of pods.
    pub replicas: i32,
    /// The value of the repin annotation, where there is one.
    pub repin: Option<String>,
    /// The models, in the order of the spec.
    pub models: Vec<CheckedModel>,
    /// The memory that models may use in each pod.
    pub memory: CheckedMemory,
    /// The most bytes that all models of a task take together.
    pub task_limits: BTreeMap<Task, u64>,
    /// How much is loaded ahead of being asked for it.
    pub preload_by_usage: Option<PlannedPreloadByUsage>,
    /// The accelerator.
    pub gpu: Option<ValidatedGpu>,
    /// Where model files are kept.
    pub cache: Cache,
    /// The part of the cache's disk that is kept free, in percent.
    pub cache_keep_free: u8,
    /// The Secret's name and key that hold the Hub's token.
    pub hub_token: Option<SecretKey>,
    /// The sidecar's image.
    pub image: String,
    /// The sidecar's resources, memory and accelerator included.
    pub resources: ResourceRequirements,
    /// Additional environment variables of the sidecar.
    pub environment: Vec<EnvVar>,
    /// The user's pod template.
    pub template: Template,
}

/// Which object this is, and how its children name it as their owner.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `metadata.generation`.
    pub generation: i64,
    /// The reference that makes it the controller of an object.
    pub owner: OwnerReference,
}

/// The checked accelerator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidatedGpu {
    /// How many, at least 1.
    pub count: u32,
    /// The extended resource that stands for one.
    pub resource_name: String,
    /// Accepted products; empty accepts all.
    pub product_names: Vec<String>,
    /// The least memory of one, in MiB, rounded up: the unit of the label `nvidia.com/gpu.memory`.
    pub min_memory_mebibytes: Option<u64>,
    /// The least compute capability, major and minor.
    pub min_compute_capability: Option<(u32, u32)>,
}

/// Where model files are kept.
#[derive(Debug, Clone, PartialEq)]
pub enum Cache {
    /// A folder that lives as long as the pod.
    EmptyDir {
        /// The volume.
        source: EmptyDirVolumeSource,
        /// Its size limit: a pod whose folder is larger is evicted. A limit of 0 is none.
        limit_bytes: Option<u64>,
    },
    /// A claim.
    Claim(PersistentVolumeClaimVolumeSource),
    /// A folder of the node, below the administrator's prefix.
    HostPath(String),
}

/// A key of a Secret in the same namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretKey {
    /// The Secret.
    pub name: String,
    /// The key in it.
    pub key: String,
}

/// The user's pod template, split into what is merged. Its content is the API server's to judge.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Template {
    /// Its labels; the operator's own win.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its `spec` without the lists below.
    pub spec: Map<String, Value>,
    /// Its containers, the sidecar's entry taken out.
    pub containers: Vec<Value>,
    /// Its init containers, the sidecar's entry taken out.
    pub init_containers: Vec<Value>,
    /// Its volumes.
    pub volumes: Vec<Value>,
    /// The entry named `ostler-sidecar`, which merges over the operator's.
    pub sidecar: Option<Map<String, Value>>,
    /// The account that it names, which then gets the sidecar's rights.
    pub service_account: Option<String>,
}
