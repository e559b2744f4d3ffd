//! The plan, and the ConfigMap that holds it.

use ostler_crds::checked::{CheckedModel, CheckedVersion};
use ostler_crds::serving_plan::{PLAN_FORMAT, PLAN_KEY, PlannedModel, PlannedVersion, ServingPlan};
use serde_json::{Map, json};

use super::prepare::{Draft, prepare};
use crate::names;
use crate::pins::{PinKey, Pins};
use crate::resources::{Kind, Prepared};
use crate::validated::{Identity, ValidatedDeployment};

/// The plan that the spec and the pins ask for, before it is decided which weights take effect.
#[must_use]
pub fn asked_for(deployment: &ValidatedDeployment, pins: &Pins) -> ServingPlan {
    let identity = &deployment.identity;
    ServingPlan {
        format: PLAN_FORMAT,
        generation: identity.generation,
        salt: format!("{}/{}", identity.namespace, identity.name),
        task_limit_bytes: deployment.task_limits.clone(),
        preload_by_usage: deployment.preload_by_usage,
        models: deployment.models.iter().map(|model| planned_model(model, pins)).collect(),
    }
}

/// Keeps the generation of the plan in force where nothing else differs, so that a change of the spec that no sidecar
/// is concerned with, such as the number of pods, does not reach them.
#[must_use]
pub fn with_generation(mut plan: ServingPlan, current: Option<&ServingPlan>) -> ServingPlan {
    if let Some(current) = current {
        let generation = std::mem::replace(&mut plan.generation, current.generation);
        if plan != *current {
            plan.generation = generation;
        }
    }
    plan
}

fn planned_model(model: &CheckedModel, pins: &Pins) -> PlannedModel {
    PlannedModel {
        name: model.name.clone(),
        task: model.task,
        load: model.load,
        keep: model.keep,
        instances: model.instances,
        max_batch: model.max_batch,
        max_delay_milliseconds: model.max_delay_milliseconds,
        long_form: model.long_form,
        memory_limit_bytes: model.memory_limit_bytes,
        idle_seconds: model.idle_seconds,
        result_cache: model.result_cache,
        default_version: model.default_version.clone(),
        fallback: model.fallback.clone(),
        versions: model.versions.iter().map(|version| planned_version(model, version, pins)).collect(),
    }
}

fn planned_version(model: &CheckedModel, version: &CheckedVersion, pins: &Pins) -> PlannedVersion {
    let key =
        |language_pair| PinKey { model: model.name.clone(), version: version.name.clone(), language_pair };
    let pinned =
        version.artifacts.iter().filter_map(|one| pins.artifacts.get(&key(one.language_pair.clone())));
    PlannedVersion {
        name: version.name.clone(),
        dtype: version.dtype,
        weight: version.weight,
        artifacts: pinned.cloned().collect(),
    }
}

/// The ConfigMap that holds the plan, and with it the memory of the pins.
pub(super) fn config_map(identity: &Identity, plan_text: &str, pins: &Pins) -> Prepared {
    let mut data = Map::from_iter([(PLAN_KEY.to_owned(), json!(plan_text))]);
    if !pins.repin_pending.is_empty() {
        let awaiting = json!(pins.repin_pending).to_string();
        data.insert(names::REPIN_PENDING_KEY.to_owned(), json!(awaiting));
    }
    let repin = pins.repin.iter().map(|repin| (names::OBSERVED_REPIN_ANNOTATION.to_owned(), json!(repin)));
    let annotations = repin.collect();
    let body = Map::from_iter([("data".to_owned(), data.into())]);
    let name = names::plan_name(&identity.name);
    prepare(identity, Draft { kind: Kind::ConfigMap, api_version: "v1", name, annotations, body })
}
