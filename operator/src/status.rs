//! From what a reconcile did and saw to the status that users read. Pure: the time is an argument.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use ostler_crds::model_deployment::{ModelDeployment, ModelDeploymentStatus};

use crate::names;
use crate::observed::Observed;
use crate::outcome::Outcome;

mod conditions;
mod facts;
mod summary;
mod text;

#[cfg(test)]
mod tests;

/// Computes the status. The same arguments give the same status, and an unchanged condition keeps its transition time,
/// so that nothing is written where nothing has changed.
#[must_use]
pub fn compute(
    deployment: &ModelDeployment,
    observed: &Observed,
    outcome: &Outcome,
    now: Timestamp,
) -> ModelDeploymentStatus {
    let generation = deployment.metadata.generation.unwrap_or_default();
    let name = deployment.metadata.name.as_deref().unwrap_or_default();
    let plan = match outcome {
        Outcome::Applied(progressed) => Some(&progressed.plan),
        Outcome::Stalled(_) | Outcome::Failed(_) => {
            observed.plan.as_ref().and_then(|existing| existing.plan.as_ref())
        }
    };
    let observed_repin = match outcome {
        Outcome::Applied(progressed) => progressed.pins.repin.clone(),
        Outcome::Stalled(_) | Outcome::Failed(_) => {
            observed.plan.as_ref().and_then(|existing| existing.repin.clone())
        }
    };
    let facts = facts::gather(deployment.spec.replicas, observed, outcome, plan);
    let before: &[Condition] = deployment.status.as_ref().map_or(&[], |status| &status.conditions);
    ModelDeploymentStatus {
        observed_generation: generation,
        conditions: conditions::conditions(&facts, outcome, before, generation, now),
        replicas: facts.replicas,
        ready_replicas: facts.ready,
        selector: names::selector_text(name),
        loaded: format!("{}/{}", facts.preloaded.len() - facts.not_loaded.len(), facts.preloaded.len()),
        progress_percent: facts.progress_percent,
        versions: plan.map(summary::versions).unwrap_or_default(),
        observed_repin,
        models: plan.map(|plan| summary::models(plan, &observed.pods)).unwrap_or_default(),
    }
}
