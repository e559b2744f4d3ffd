//! Every object as it should be. Pure and infallible: whatever could be wrong has been refused before.

use crate::pins::Pins;
use crate::resources::{Prepared, Resources};
use crate::settings::Settings;
use crate::validated::ValidatedDeployment;

mod access;
mod deployment;
mod disruption_budget;
mod merge;
mod placement;
mod pod;
mod prepare;
mod service;
mod serving_plan;
mod sidecar_container;
mod volumes;

#[cfg(test)]
mod tests;

pub use serving_plan::{asked_for, with_generation};

/// Builds every object of a `ModelDeployment`. `plan_text` is the plan as its ConfigMap holds it.
#[must_use]
pub fn build(
    deployment: &ValidatedDeployment,
    plan_text: &str,
    pins: &Pins,
    settings: &Settings,
) -> Resources<Prepared> {
    let identity = &deployment.identity;
    Resources {
        plan: serving_plan::config_map(identity, plan_text, pins),
        account: deployment.template.service_account.is_none().then(|| access::account(identity)),
        role_binding: access::role_binding(deployment, &settings.sidecar_cluster_role),
        service: service::service(identity),
        disruption_budget: disruption_budget::disruption_budget(identity),
        deployment: deployment::deployment(deployment, settings),
    }
}
