//! `ModelDeployment`: what a platform team applies.
//!
//! Every rule that needs more than a type is a CEL rule beside its field, so that the API server refuses a
//! mistake at once and says what to write instead. Lists and strings are bounded, because the API server
//! estimates the worst cost of a rule from these bounds and refuses rules that could cost too much.

mod models;
mod pods;
mod preload_by_usage;
mod result_cache;
mod summary;

use kube::{CustomResource, KubeSchema};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

pub use models::{ModelSpec, VersionSpec};
pub use pods::{CacheSpec, GpuSpec, HostPathCache, HubSpec, MemorySpec, SidecarSpec};
pub use preload_by_usage::PreloadByUsageSpec;
pub use result_cache::ResultCacheSpec;
pub use summary::{ModelDeploymentStatus, ModelStatus, VersionStatus};

/// The annotation whose change makes the operator resolve every revision anew.
pub const REPIN_ANNOTATION: &str = "ostler.dev/repin";

/// The models to serve, and the pods to serve them in.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "ostler.dev",
    version = "v1alpha1",
    kind = "ModelDeployment",
    plural = "modeldeployments",
    shortname = "mdep",
    category = "ostler",
    namespaced,
    doc = "A set of models that a fleet of pods keeps pinned, loaded and ready. Each pod runs a sidecar that fetches, verifies, loads, evicts and runs the models; the operator pins every version to a commit and reports what is really in memory.",
    status = "ModelDeploymentStatus",
    derive = "PartialEq",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether everything asked for is up."
    ),
    printcolumn(
        name = "Loaded",
        type_ = "string",
        json_path = ".status.loaded",
        description = "Preloaded versions that are loaded in every ready pod, of all preloaded ones."
    ),
    printcolumn(
        name = "Progress",
        type_ = "integer",
        json_path = ".status.progressPercent",
        description = "How far preloading has come over all pods, in percent."
    ),
    printcolumn(
        name = "Versions",
        type_ = "string",
        json_path = ".status.versions",
        description = "Every model's versions, each with its share of traffic in percent."
    ),
    printcolumn(
        name = "Pods",
        type_ = "integer",
        json_path = ".status.replicas",
        description = "Pods that exist.",
        priority = 1
    ),
    printcolumn(
        name = "Ready Pods",
        type_ = "integer",
        json_path = ".status.readyReplicas",
        description = "Pods that are ready.",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        description = "Why it is, or is not, ready.",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 52 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name must be at most 52 lower-case letters, digits and '-', must begin with a letter and must not end with '-', such as video-translation: names of Services and pods are made from it")
)]
#[serde(rename_all = "camelCase")]
pub struct ModelDeploymentSpec {
    /// The number of pods, 0 to 10000. `kubectl scale` and a HorizontalPodAutoscaler set it.
    #[serde(default = "default_replicas")]
    #[x_kube(validation = Rule::new("self >= 0 && self <= 10000")
        .message("replicas must be from 0 to 10000"))]
    pub replicas: i32,
    /// The models, each under its own name, at most 32. They are preloaded in this order.
    #[schemars(length(max = 32))]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["name".into()]),
        validation = Rule::new("self.size() > 0")
            .message("models must hold at least one model"),
        validation = Rule::new("self.all(model, oldSelf.all(old, old.name != model.name || old.task == model.task))")
            .message("task cannot change under a model's name: add the new task as a model of another name, move the clients, then remove this one")
    )]
    pub models: Vec<ModelSpec>,
    /// The memory that models may use in each pod.
    pub memory: MemorySpec,
    /// Load versions that will probably be asked for soon, judged by what each pod has seen of its requests: those used
    /// lately, those used at this hour of earlier days, and those that follow another one. Only free and idle memory is
    /// used for it. Off without it; `{}` takes 2 versions and 25 percent of `memory.host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preload_by_usage: Option<PreloadByUsageSpec>,
    /// The accelerator that each pod needs. Without it, pods run on the CPU of any node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<GpuSpec>,
    /// Where each pod keeps model files. The default is an `emptyDir`, which lives as long as the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheSpec>,
    /// How the Hub is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub: Option<HubSpec>,
    /// The sidecar's own container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sidecar: Option<SidecarSpec>,
    /// A pod template (`metadata` and `spec` as in a Deployment's `template`) whose containers run beside the
    /// sidecar. An entry named `ostler-sidecar` is merged over the sidecar's own container. The API server checks
    /// it when the Deployment is written; what it says then is in the condition `Stalled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schemaless_object")]
    pub template: Option<serde_json::Value>,
}

fn default_replicas() -> i32 {
    1
}

/// The schema of an object whose fields the API server keeps and does not check. A whole pod template would make
/// the definition too large for client-side `kubectl apply`.
fn schemaless_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

#[cfg(test)]
mod tests;
