//! A `ModelDeployment` whose every field has been parsed and checked: what the later steps work on.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    EmptyDirVolumeSource, EnvVar, PersistentVolumeClaimVolumeSource, ResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use ostler_crds::names::{Dtype, LanguagePair, LoadPolicy, ModelName, StorageUri, Task, VersionName, Weight};
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
    pub models: Vec<ValidatedModel>,
    /// The memory that models may use in each pod.
    pub memory: ValidatedMemory,
    /// The accelerator.
    pub gpu: Option<ValidatedGpu>,
    /// Where model files are kept.
    pub cache: Cache,
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

/// A checked model.
#[derive(Debug, Clone, PartialEq)]
pub struct ValidatedModel {
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
    /// Takes what the other versions leave of 100 percent.
    pub default_version: VersionName,
    /// Tried in order when the chosen version cannot load.
    pub fallback: Vec<VersionName>,
    /// The versions, with weights that add up to 100.
    pub versions: Vec<ValidatedVersion>,
}

/// A checked version.
#[derive(Debug, Clone, PartialEq)]
pub struct ValidatedVersion {
    /// Its name.
    pub name: VersionName,
    /// The number format asked for.
    pub dtype: Dtype,
    /// The share of traffic asked for; the default version's is what the others leave.
    pub weight: Weight,
    /// Its sets of files: one, or one for each language pair.
    pub artifacts: Vec<Artifact>,
}

/// One set of files.
#[derive(Debug, Clone, PartialEq)]
pub struct Artifact {
    /// The language pair that it translates, where there is one set for each.
    pub language_pair: Option<LanguagePair>,
    /// Where it comes from, placeholder replaced.
    pub source: StorageUri,
}

/// The checked memory budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValidatedMemory {
    /// The budget in bytes.
    pub host_bytes: u64,
    /// Evict above this percentage.
    pub evict_above: u8,
    /// Evict until this percentage, less than `evict_above`.
    pub evict_to: u8,
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
    EmptyDir(EmptyDirVolumeSource),
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
