//! A ModelDeployment in a YAML file becomes a plan, under the rules that the cluster has for it. Pure.

use std::collections::BTreeSet;

use kube_quantity::ParsedQuantity;
use ostler_crds::model_deployment::{MemorySpec, ModelDeployment, ModelSpec, VersionSpec};
use ostler_crds::names::{LANGUAGE_PAIR_PLACEHOLDER, LanguagePair, NameError, VersionName, Weight};
use ostler_crds::serving_plan::{PLAN_FORMAT, PlannedArtifact, PlannedModel, PlannedVersion, ServingPlan};
use serde::Deserialize;

use crate::residency::Budget;

/// The most models, versions of a model and language pairs, as the definition of the kind has them.
const MAX_MODELS: usize = 32;
const MAX_VERSIONS: usize = 8;
const MAX_LANGUAGE_PAIRS: usize = 64;
const MAX_INSTANCES: u32 = 64;

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
    /// A value is not allowed.
    #[error("{field}: {expectation}")]
    Field {
        /// The field, such as `spec.models[0].versions`.
        field: String,
        /// What is wrong and what to write instead.
        expectation: String,
    },
    /// A name or an address is not well formed.
    #[error("{field}")]
    Name {
        /// The field.
        field: String,
        /// What is wrong and what to write instead.
        #[source]
        source: NameError,
    },
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
        check(!name.is_empty(), "metadata.name", "is missing: write a name, such as video-translation")?;
        let namespace = metadata.namespace.as_deref().unwrap_or("default");
        let specs = &deployment.spec.models;
        count("spec.models", specs.len(), 1, MAX_MODELS)?;
        unique("spec.models", specs.iter().map(|model| model.name.as_str()))?;
        let models =
            specs.iter().enumerate().map(|(index, spec)| model(&format!("spec.models[{index}]"), spec));
        let plan = ServingPlan {
            format: PLAN_FORMAT,
            generation: 0,
            salt: format!("{namespace}/{name}"),
            models: models.collect::<Result<_, _>>()?,
        };
        Ok(Self { plan, budget: budget(&deployment.spec.memory)? })
    }
}

fn budget(spec: &MemorySpec) -> Result<Budget, ManifestError> {
    let bytes = ParsedQuantity::try_from(&spec.host).ok().and_then(|quantity| quantity.to_bytes_u64());
    let bytes = bytes.filter(|bytes| *bytes > 0).ok_or_else(|| ManifestError::Field {
        field: "spec.memory.host".to_owned(),
        expectation: format!("{:?} is no amount of memory: write one, such as 8Gi", spec.host.0),
    })?;
    let percent = |field: &str, value: i32| {
        let percent = u8::try_from(value).ok().filter(|percent| (1..=100).contains(percent));
        percent.ok_or_else(|| field_error(field, "must be a percentage from 1 to 100"))
    };
    let evict_above_percent = percent("spec.memory.evictAbove", spec.evict_above)?;
    let evict_to_percent = percent("spec.memory.evictTo", spec.evict_to)?;
    check(
        evict_to_percent < evict_above_percent,
        "spec.memory.evictTo",
        "must be less than memory.evictAbove",
    )?;
    Ok(Budget { bytes, evict_above_percent, evict_to_percent })
}

fn model(field: &str, spec: &ModelSpec) -> Result<PlannedModel, ManifestError> {
    let at = |name: &str| format!("{field}.{name}");
    count(&at("versions"), spec.versions.len(), 1, MAX_VERSIONS)?;
    unique(&at("versions"), spec.versions.iter().map(|version| version.name.as_str()))?;
    count(&at("languagePairs"), spec.language_pairs.len(), 0, MAX_LANGUAGE_PAIRS)?;
    unique(&at("languagePairs"), spec.language_pairs.iter().map(String::as_str))?;
    let pairs: Vec<LanguagePair> = parse_all(&at("languagePairs"), &spec.language_pairs)?;
    let mut versions = Vec::with_capacity(spec.versions.len());
    for (index, spec) in spec.versions.iter().enumerate() {
        versions.push(version(&at(&format!("versions[{index}]")), spec, &pairs)?);
    }
    let default_version = match (&spec.default_version, versions.as_slice()) {
        (Some(name), _) => parse(&at("defaultVersion"), name)?,
        (None, [only]) => only.name.clone(),
        (None, _) => {
            let expectation =
                "is needed from two versions on: name the version that takes what the weights leave";
            return Err(field_error(&at("defaultVersion"), expectation));
        }
    };
    let is_known = |name: &VersionName| versions.iter().any(|version| version.name == *name);
    check(
        is_known(&default_version),
        &at("defaultVersion"),
        "must be the name of one of this model's versions",
    )?;
    let fallback: Vec<VersionName> = parse_all(&at("fallback"), &spec.fallback)?;
    check(fallback.iter().all(is_known), &at("fallback"), "must hold names of this model's versions only")?;
    give_the_default_the_rest(&at("versions"), &default_version, &mut versions)?;
    let instances = u32::try_from(spec.instances).ok().filter(|count| (1..=MAX_INSTANCES).contains(count));
    Ok(PlannedModel {
        name: parse(&at("name"), &spec.name)?,
        task: spec.task,
        load: spec.load,
        keep: spec.keep,
        instances: instances.ok_or_else(|| field_error(&at("instances"), "must be from 1 to 64"))?,
        default_version,
        fallback,
        versions,
    })
}

fn version(field: &str, spec: &VersionSpec, pairs: &[LanguagePair]) -> Result<PlannedVersion, ManifestError> {
    let weight = u8::try_from(spec.weight).ok().and_then(|percent| Weight::try_from(percent).ok());
    let weight = weight
        .ok_or_else(|| field_error(&format!("{field}.weight"), "must be a percentage from 0 to 100"))?;
    let uri_field = format!("{field}.storageUri");
    let artifact = |language_pair: Option<LanguagePair>| -> Result<PlannedArtifact, ManifestError> {
        let pair = language_pair.as_ref().map_or("", |pair| pair.as_str());
        let source = parse(&uri_field, &spec.storage_uri.replace(LANGUAGE_PAIR_PLACEHOLDER, pair))?;
        Ok(PlannedArtifact { language_pair, source, commit: None, unpinned: None })
    };
    let artifacts = if spec.storage_uri.contains(LANGUAGE_PAIR_PLACEHOLDER) {
        check(
            !pairs.is_empty(),
            &uri_field,
            "with {languagePair} needs languagePairs: list them, such as [en-de]",
        )?;
        pairs.iter().map(|pair| artifact(Some(pair.clone()))).collect::<Result<_, _>>()?
    } else {
        vec![artifact(None)?]
    };
    Ok(PlannedVersion {
        name: parse(&format!("{field}.name"), &spec.name)?,
        dtype: spec.dtype,
        weight,
        artifacts,
    })
}

/// The default version takes what the weights of the others leave of 100.
fn give_the_default_the_rest(
    field: &str,
    default_version: &VersionName,
    versions: &mut [PlannedVersion],
) -> Result<(), ManifestError> {
    let others = versions.iter().filter(|version| version.name != *default_version);
    let others: u32 = others.map(|version| u32::from(version.weight.percent())).sum();
    let rest = u8::try_from(others).ok().and_then(|others| 100u8.checked_sub(others));
    let rest = rest.and_then(|rest| Weight::try_from(rest).ok()).ok_or_else(|| {
        let expectation = "weights of the versions beside the default one must add up to at most 100";
        field_error(field, expectation)
    })?;
    for version in versions.iter_mut().filter(|version| version.name == *default_version) {
        version.weight = rest;
    }
    Ok(())
}

fn parse<Name: std::str::FromStr<Err = NameError>>(field: &str, text: &str) -> Result<Name, ManifestError> {
    text.parse().map_err(|source| ManifestError::Name { field: field.to_owned(), source })
}

fn parse_all<Name: std::str::FromStr<Err = NameError>>(
    field: &str,
    texts: &[String],
) -> Result<Vec<Name>, ManifestError> {
    texts.iter().enumerate().map(|(index, text)| parse(&format!("{field}[{index}]"), text)).collect()
}

fn field_error(field: &str, expectation: &str) -> ManifestError {
    ManifestError::Field { field: field.to_owned(), expectation: expectation.to_owned() }
}

fn check(is_right: bool, field: &str, expectation: &str) -> Result<(), ManifestError> {
    if is_right { Ok(()) } else { Err(field_error(field, expectation)) }
}

fn count(field: &str, length: usize, least: usize, most: usize) -> Result<(), ManifestError> {
    check(
        (least..=most).contains(&length),
        field,
        &format!("must hold {least} to {most}, and holds {length}"),
    )
}

fn unique<'text>(field: &str, names: impl Iterator<Item = &'text str>) -> Result<(), ManifestError> {
    let mut seen = BTreeSet::new();
    for name in names {
        check(seen.insert(name), field, &format!("{name:?} is there twice: names must be unique"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
