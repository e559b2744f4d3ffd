//! What the conditions are decided on.

use std::collections::BTreeMap;

use ostler_crds::names::LoadPolicy;
use ostler_crds::serving_plan::{PlannedModel, PlannedVersion, ServingPlan};
use ostler_crds::status::VersionState;

use super::text::first_three;
use crate::observed::{Observed, ObservedPod};
use crate::outcome::Outcome;
use crate::reported;

/// What the conditions are decided on.
#[derive(Debug)]
pub(super) struct Facts {
    /// The pods asked for.
    pub(super) desired: i32,
    /// Pods that exist.
    pub(super) replicas: i32,
    /// Pods that are ready.
    pub(super) ready: i32,
    /// Whether every pod is of the newest template and ready, and no older one is left.
    pub(super) rolled_out: bool,
    /// What stands in the way of pods, most common first.
    pub(super) problems: String,
    /// Whether there is a plan.
    pub(super) planned: bool,
    /// The artifacts in the plan.
    pub(super) artifacts: usize,
    /// Versions with an artifact that has no commit.
    pub(super) unpinned: Vec<String>,
    /// `model@version` of every version to preload.
    pub(super) preloaded: Vec<String>,
    /// Those of them that some ready pod has not loaded, or all of them where there is no ready pod.
    pub(super) not_loaded: Vec<String>,
    /// Ready pods that do not obey the plan yet.
    pub(super) behind: usize,
    /// `model@version: reason: message` of each version that failed in some pod, once each.
    pub(super) failed: Vec<(String, String)>,
    /// How far preloading has come over all pods.
    pub(super) progress_percent: i32,
}

/// Gathers them.
pub(super) fn gather(
    desired: i32,
    observed: &Observed,
    outcome: &Outcome,
    plan: Option<&ServingPlan>,
) -> Facts {
    let rollout = observed.rollout.clone().unwrap_or_default();
    let generation = match outcome {
        Outcome::Applied(progressed) => progressed.deployment_generation,
        Outcome::Stalled(_) | Outcome::Failed(_) => 0,
    };
    let pods: Vec<&ObservedPod> = observed.pods.iter().filter(|pod| !pod.terminating).collect();
    let mut facts = Facts {
        desired,
        replicas: rollout.replicas,
        ready: rollout.ready,
        rolled_out: rollout.observed_generation >= generation
            && rollout.updated == desired
            && rollout.replicas == desired
            && rollout.ready == desired,
        problems: problems(&pods, rollout.problem.as_deref()),
        planned: plan.is_some(),
        artifacts: 0,
        unpinned: Vec::new(),
        preloaded: Vec::new(),
        not_loaded: Vec::new(),
        behind: 0,
        failed: Vec::new(),
        progress_percent: progress(desired, &pods),
    };
    let Some(plan) = plan else { return facts };
    facts.behind = pods.iter().filter(|pod| pod.ready && !obeys(pod, plan)).count();
    for model in &plan.models {
        for version in &model.versions {
            let name = format!("{}@{}", model.name, version.name);
            facts.artifacts += version.artifacts.len();
            if version.artifacts.iter().any(|artifact| artifact.unpinned.is_some()) {
                facts.unpinned.push(name.clone());
            }
            facts.failed.extend(failure(model, version, &pods).map(|failure| (name.clone(), failure)));
            if model.load == LoadPolicy::Preload {
                if !loaded_everywhere(model, version, &pods) {
                    facts.not_loaded.push(name.clone());
                }
                facts.preloaded.push(name);
            }
        }
    }
    facts
}

fn obeys(pod: &ObservedPod, plan: &ServingPlan) -> bool {
    pod.report.as_ref().is_some_and(|report| report.plan_generation >= plan.generation)
}

/// Loaded at its pins in every ready pod, and in one at least.
fn loaded_everywhere(model: &PlannedModel, version: &PlannedVersion, pods: &[&ObservedPod]) -> bool {
    let mut ready = pods.iter().filter(|pod| pod.ready).peekable();
    ready.peek().is_some()
        && ready
            .all(|pod| pod.report.as_ref().is_some_and(|report| reported::is_loaded(report, model, version)))
}

/// One failure of the version: that of the first pod by name.
fn failure(model: &PlannedModel, version: &PlannedVersion, pods: &[&ObservedPod]) -> Option<String> {
    let reports = pods.iter().filter_map(|pod| pod.report.as_ref());
    let mut entries = reports.flat_map(|report| {
        version.artifacts.iter().filter_map(move |artifact| reported::entry(report, model, version, artifact))
    });
    let failed = entries.find(|entry| entry.state == VersionState::FailedToLoad)?;
    let words =
        failed.last_failure.as_ref().map(|failure| format!("{}: {}", failure.reason, failure.message));
    Some(words.unwrap_or_else(|| "FailedToLoad".to_owned()))
}

/// A pod that has not reported has come nowhere. Pods above the number asked for do not count.
fn progress(desired: i32, pods: &[&ObservedPod]) -> i32 {
    let desired = i64::from(desired.max(0));
    let mut percentages: Vec<i64> = pods
        .iter()
        .filter_map(|pod| pod.report.as_ref())
        .map(|report| i64::from(report.progress_percent.clamp(0, 100)))
        .collect();
    percentages.sort_unstable_by(|one, other| other.cmp(one));
    let sum: i64 = percentages.iter().take(usize::try_from(desired).unwrap_or_default()).sum();
    i32::try_from(sum / desired.max(1)).unwrap_or_default()
}

/// Each problem once, with the number of pods that have it, most common first.
fn problems(pods: &[&ObservedPod], rollout: Option<&str>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for problem in pods.iter().filter_map(|pod| pod.problem.as_deref()) {
        *counts.entry(problem).or_default() += 1;
    }
    let mut counted: Vec<(&str, usize)> = counts.into_iter().collect();
    counted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let of_pods = counted.into_iter().map(|(problem, count)| match count {
        1 => format!("1 pod: {problem}"),
        count => format!("{count} pods: {problem}"),
    });
    let all: Vec<String> = rollout.map(str::to_owned).into_iter().chain(of_pods).collect();
    first_three(&all)
}
