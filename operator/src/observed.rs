//! What the API server said, reduced to what the pure steps need.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use ostler_crds::model_replica::{ModelReplica, ModelReplicaStatus};
use ostler_crds::serving_plan::ServingPlan;

use crate::names::SIDECAR_CONTAINER;
use crate::resources::Kind;

/// Everything that one reconcile looks at besides the `ModelDeployment` itself.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Live objects of the names that the operator uses, and all others that it once made for this owner.
    pub live: BTreeMap<(Kind, String), Live>,
    /// The plan that sidecars obey now.
    pub plan: Option<ExistingPlan>,
    /// The Deployment's progress, once there is one.
    pub rollout: Option<Rollout>,
    /// The pods, by name.
    pub pods: Vec<ObservedPod>,
}

/// The metadata of a live object that the operator's decisions turn on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Live {
    /// Its UID.
    pub uid: String,
    /// Its resource version.
    pub resource_version: String,
    /// Its generation, where its kind has one: moves with the spec and not with the status.
    pub generation: Option<i64>,
    /// Whether it is on its way out.
    pub deleting: bool,
    /// The hash of what was applied last.
    pub hash: Option<String>,
    /// The kind, name and UID of its controller.
    pub controller: Option<(String, String, String)>,
}

impl From<&ObjectMeta> for Live {
    fn from(metadata: &ObjectMeta) -> Self {
        let controller =
            metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
        Self {
            uid: metadata.uid.clone().unwrap_or_default(),
            resource_version: metadata.resource_version.clone().unwrap_or_default(),
            generation: metadata.generation,
            deleting: metadata.deletion_timestamp.is_some(),
            hash: metadata
                .annotations
                .as_ref()
                .and_then(|all| all.get(crate::names::HASH_ANNOTATION))
                .cloned(),
            controller: controller.map(|owner| (owner.kind.clone(), owner.name.clone(), owner.uid.clone())),
        }
    }
}

/// The plan ConfigMap's content.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ExistingPlan {
    /// The plan; `None` where somebody made it unreadable.
    pub plan: Option<ServingPlan>,
    /// The repin annotation's value that its pins were made under.
    pub repin: Option<String>,
    /// Artifacts that still wait for the resolving that the last change of the repin annotation asked for.
    pub repin_pending: Vec<String>,
}

/// The Deployment's progress.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rollout {
    /// The generation that its controller has seen.
    pub observed_generation: i64,
    /// Pods that exist.
    pub replicas: i32,
    /// Pods of the newest template.
    pub updated: i32,
    /// Pods that are ready.
    pub ready: i32,
    /// What the Deployment's controller says stands in the way.
    pub problem: Option<String>,
}

impl From<&Deployment> for Rollout {
    fn from(deployment: &Deployment) -> Self {
        let status = deployment.status.clone().unwrap_or_default();
        let in_the_way = status.conditions.iter().flatten().find(|condition| {
            let (kind, value) = (condition.type_.as_str(), condition.status.as_str());
            kind == "ReplicaFailure" && value == "True" || kind == "Progressing" && value == "False"
        });
        Self {
            observed_generation: status.observed_generation.unwrap_or_default(),
            replicas: status.replicas.unwrap_or_default(),
            updated: status.updated_replicas.unwrap_or_default(),
            ready: status.ready_replicas.unwrap_or_default(),
            problem: in_the_way.map(|condition| {
                words(condition.reason.as_deref().unwrap_or("Failed"), condition.message.as_deref())
            }),
        }
    }
}

/// One pod, joined with its report.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ObservedPod {
    /// Its name.
    pub name: String,
    /// Whether it is ready and stays.
    pub ready: bool,
    /// Whether it is on its way out.
    pub terminating: bool,
    /// Why it does not run, such as `Unschedulable: 0/3 nodes are available`.
    pub problem: Option<String>,
    /// What its sidecar says, where the process that said it still lives.
    pub report: Option<ModelReplicaStatus>,
}

impl ObservedPod {
    /// Joins a pod with the report of its name: by UID and by container, never by labels, so that neither a pod of
    /// the past nor a dead process speaks.
    #[must_use]
    pub fn new(pod: &Pod, report: Option<&ModelReplica>) -> Self {
        let status = pod.status.as_ref();
        let terminating = pod.metadata.deletion_timestamp.is_some();
        let condition = |name: &str| {
            status.and_then(|status| status.conditions.as_ref()?.iter().find(|entry| entry.type_ == name))
        };
        let ready = condition("Ready").is_some_and(|entry| entry.status == "True");
        Self {
            name: pod.metadata.name.clone().unwrap_or_default(),
            ready: ready && !terminating,
            terminating,
            problem: if terminating { None } else { problem(pod) },
            report: report.filter(|report| speaks_for(report, pod)).and_then(|report| report.status.clone()),
        }
    }
}

fn container_statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.as_ref();
    let init = status.and_then(|status| status.init_container_statuses.as_ref()).into_iter().flatten();
    init.chain(status.and_then(|status| status.container_statuses.as_ref()).into_iter().flatten())
}

/// Whether the report comes from the process that runs now in the pod's sidecar container.
///
/// Times are whole seconds, and the runtime notes a start after the process has begun, so that a process may date
/// itself one second before its container.
fn speaks_for(report: &ModelReplica, pod: &Pod) -> bool {
    let same_pod = pod.metadata.uid.as_deref() == Some(report.spec.pod_uid.as_str());
    let started = container_statuses(pod)
        .find(|status| status.name == SIDECAR_CONTAINER && status.name == report.spec.container.name)
        .and_then(|status| status.state.as_ref()?.running.as_ref()?.started_at.as_ref());
    let reported: Timestamp = report.spec.container.started_at.0;
    same_pod && started.is_some_and(|started| reported.as_second() + 1 >= started.0.as_second())
}

/// Why the pod does not run: the scheduler's words, else the first container that waits or has failed.
fn problem(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let unscheduled = status.conditions.iter().flatten().find(|entry| {
        entry.type_ == "PodScheduled"
            && entry.status == "False"
            && entry.reason.as_deref() != Some("SchedulingGated")
    });
    if let Some(condition) = unscheduled {
        let reason = condition.reason.as_deref().unwrap_or("Unschedulable");
        return Some(words(reason, condition.message.as_deref()));
    }
    if status.phase.as_deref() == Some("Failed") {
        return Some(words(status.reason.as_deref().unwrap_or("Failed"), status.message.as_deref()));
    }
    container_statuses(pod).find_map(|container| {
        let state = container.state.as_ref()?;
        let (reason, message) = waiting_or_failed(state, container.last_state.as_ref())?;
        Some(format!("container {}: {}", container.name, words(&reason, message.as_deref())))
    })
}

/// Reasons of a container's normal way to running.
const STARTING: [&str; 2] = ["ContainerCreating", "PodInitializing"];

fn waiting_or_failed(
    state: &ContainerState,
    last: Option<&ContainerState>,
) -> Option<(String, Option<String>)> {
    if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.clone().filter(|reason| !STARTING.contains(&reason.as_str()))?;
        let ended = last.and_then(|last| last.terminated.as_ref()).map(|ended| {
            let why = ended.reason.as_deref().unwrap_or("Error");
            format!("it last ended with {why}, exit code {}", ended.exit_code)
        });
        // The kubelet's own message of a crash loop holds a growing pause and the pod's UID: the exit says more.
        return Some((reason, ended.or_else(|| waiting.message.clone())));
    }
    let ended = state.terminated.as_ref().filter(|ended| ended.exit_code != 0)?;
    let reason = ended.reason.clone().unwrap_or_else(|| "Error".to_owned());
    Some((reason, Some(format!("exit code {}", ended.exit_code))))
}

fn words(reason: &str, message: Option<&str>) -> String {
    match message {
        Some(message) if !message.is_empty() => format!("{reason}: {message}"),
        _ => reason.to_owned(),
    }
}

#[cfg(test)]
mod tests;
