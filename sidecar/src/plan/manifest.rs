//! A ModelDeployment in a YAML file becomes a plan, under the rules that the cluster has for it. Pure.

use ostler_crds::checked::{self, CheckedMemory, CheckedModel, CheckedVersion, SpecError};
use ostler_crds::model_deployment::ModelDeployment;
use ostler_crds::serving_plan::{PLAN_FORMAT, PlannedArtifact, PlannedModel, PlannedVersion, ServingPlan};
use serde::Deserialize;

use crate::residency::Budget;

/// What a manifest asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The plan. Sources of the Hub are pinned only where the manifest names a commit.
    pub plan: ServingPlan,
    /// The memory for models.
    pub budget: Budget,
}

/// Why a manifest cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is not YAML.
    #[error("it is not YAML")]
    Yaml(#[source] serde_yaml_ng::Error),
    /// The ModelDeployment has a field that does not exist, is missing or has the wrong type.
    #[error("the ModelDeployment is not of the right shape")]
    Shape(#[source] serde_yaml_ng::Error),
    /// There is no ModelDeployment in it.
    #[error("it holds no object of apiVersion ostler.dev/v1alpha1 and kind ModelDeployment")]
    NoDeployment,
    /// There is more than one.
    #[error("it holds {0} ModelDeployments: serve takes exactly one")]
    SeveralDeployments(usize),
    /// A field of it is wrong.
    #[error(transparent)]
    Spec(#[from] SpecError),
}

impl Manifest {
    /// Reads the one ModelDeployment of a file that may hold other objects too.
    ///
    /// # Errors
    /// See [`ManifestError`].
    pub fn from_yaml(text: &str) -> Result<Self, ManifestError> {
        let mut found = Vec::new();
        for document in serde_yaml_ng::Deserializer::from_str(text) {
            let value = serde_yaml_ng::Value::deserialize(document).map_err(ManifestError::Yaml)?;
            let is = |field: &str, wanted: &str| value.get(field).and_then(|it| it.as_str()) == Some(wanted);
            if is("apiVersion", "ostler.dev/v1alpha1") && is("kind", "ModelDeployment") {
                found.push(value);
            }
        }
        let count = found.len();
        match (found.pop(), count) {
            (Some(value), 1) => {
                let deployment = serde_yaml_ng::from_value(value).map_err(ManifestError::Shape)?;
                Self::from_deployment(&deployment)
            }
            (None, _) => Err(ManifestError::NoDeployment),
            (Some(_), count) => Err(ManifestError::SeveralDeployments(count)),
        }
    }

    fn from_deployment(deployment: &ModelDeployment) -> Result<Self, ManifestError> {
        let metadata = &deployment.metadata;
        let name = metadata.name.as_deref().unwrap_or_default();
        checked::name(name)?;
        let namespace = metadata.namespace.as_deref().unwrap_or("default");
        let models = checked::models(&deployment.spec.models)?;
        let memory = checked::memory(&deployment.spec.memory)?;
        checked::result_caches(&models, &memory)?;
        let plan = ServingPlan {
            format: PLAN_FORMAT,
            generation: 0,
            salt: format!("{namespace}/{name}"),
            task_limit_bytes: checked::task_limits(&deployment.spec.memory)?,
            preload_by_usage: checked::preload_by_usage(deployment.spec.preload_by_usage.as_ref())?,
            models: models.into_iter().map(planned_model).collect(),
        };
        Ok(Self { plan, budget: budget(memory) })
    }
}

fn budget(memory: CheckedMemory) -> Budget {
    Budget {
        bytes: memory.host_bytes,
        evict_above_percent: memory.evict_above,
        evict_to_percent: memory.evict_to,
    }
}

fn planned_model(model: CheckedModel) -> PlannedModel {
    PlannedModel {
        name: model.name,
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
        default_version: model.default_version,
        fallback: model.fallback,
        versions: model.versions.into_iter().map(planned_version).collect(),
    }
}

fn planned_version(version: CheckedVersion) -> PlannedVersion {
    let artifacts = version.artifacts.into_iter().map(|artifact| PlannedArtifact {
        language_pair: artifact.language_pair,
        source: artifact.source,
        commit: None,
        unpinned: None,
        history: Vec::new(),
    });
    PlannedVersion {
        name: version.name,
        dtype: version.dtype,
        weight: version.weight,
        artifacts: artifacts.collect(),
    }
}

#[cfg(test)]
mod tests;
