//! The share of traffic that each version gets now. Pure.
//!
//! A version of a preloaded model gets its share only once every ready pod has it loaded, at its pin; until then the
//! default version has it. A version of which no file is pinned gets none either. A share once given at a pin stays,
//! so that a pod that restarts does not move traffic: the plan in force is the memory of that.

use ostler_crds::names::{LoadPolicy, VersionName, Weight};
use ostler_crds::serving_plan::{PlannedModel, PlannedVersion, ServingPlan};

use crate::observed::ObservedPod;
use crate::reported;

#[cfg(test)]
mod tests;

/// A version whose share waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// `model@version`.
    pub version: String,
    /// The share that it will get, in percent.
    pub percent: u8,
}

/// Replaces the weights that the spec asks for by those in effect, model by model, and says which shares wait.
#[must_use]
pub fn take_effect(
    asked: &mut [PlannedModel],
    current: Option<&ServingPlan>,
    pods: &[ObservedPod],
) -> Vec<Waiting> {
    let mut waiting = Vec::new();
    for model in asked {
        let before = current.and_then(|plan| plan.models.iter().find(|before| before.name == model.name));
        let open: Vec<bool> =
            model.versions.iter().map(|version| is_open(model, version, before, pods)).collect();
        let default = default_in_effect(model, &open, before);
        let mut rest: u8 = 100;
        for (version, open) in model.versions.iter_mut().zip(&open) {
            let asked = version.weight.percent();
            if !open && asked > 0 && version.name != default {
                waiting.push(Waiting { version: format!("{}@{}", model.name, version.name), percent: asked });
                version.weight = Weight::ZERO;
            }
            if version.name != default {
                rest = rest.saturating_sub(version.weight.percent());
            }
        }
        for version in model.versions.iter_mut().filter(|version| version.name == default) {
            version.weight = Weight::try_from(rest).unwrap_or(Weight::ZERO);
        }
        model.default_version = default;
    }
    waiting
}

/// A new default version that is not up yet leaves its place to the one in force, where that is still there and up.
fn default_in_effect(model: &PlannedModel, open: &[bool], before: Option<&PlannedModel>) -> VersionName {
    let is_up = |name: &VersionName| {
        model.versions.iter().zip(open).any(|(version, open)| version.name == *name && *open)
    };
    match before {
        Some(before) if !is_up(&model.default_version) && is_up(&before.default_version) => {
            before.default_version.clone()
        }
        _ => model.default_version.clone(),
    }
}

fn is_open(
    model: &PlannedModel,
    version: &PlannedVersion,
    before: Option<&PlannedModel>,
    pods: &[ObservedPod],
) -> bool {
    if version.artifacts.iter().all(|artifact| artifact.unpinned.is_some()) {
        return false;
    }
    if model.load == LoadPolicy::Lazy || has_share_already(version, before) {
        return true;
    }
    let mut ready = pods.iter().filter(|pod| pod.ready);
    ready.all(|pod| pod.report.as_ref().is_some_and(|report| reported::is_loaded(report, model, version)))
}

/// Whether the plan in force already sends traffic to this version at these pins.
fn has_share_already(version: &PlannedVersion, before: Option<&PlannedModel>) -> bool {
    before.is_some_and(|before| {
        before.versions.iter().any(|entry| {
            entry.name == version.name
                && entry.artifacts == version.artifacts
                && (entry.weight > Weight::ZERO || entry.name == before.default_version)
        })
    })
}
