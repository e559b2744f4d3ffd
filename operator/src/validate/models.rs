//! The models, their versions and their weights.

use std::collections::BTreeSet;

use ostler_crds::model_deployment::{ModelSpec, VersionSpec};
use ostler_crds::names::{LANGUAGE_PAIR_PLACEHOLDER, LanguagePair, NameError, VersionName, Weight};

use super::error::ValidateError;
use crate::validated::{Artifact, ValidatedModel, ValidatedVersion};

/// Most models in one `ModelDeployment`, as in the CRD.
const MAX_MODELS: usize = 32;
/// Most versions of one model, as in the CRD.
const MAX_VERSIONS: usize = 8;
/// Most language pairs of one model, as in the CRD.
const MAX_LANGUAGE_PAIRS: usize = 64;

/// Checks all models.
pub(super) fn models(specs: &[ModelSpec]) -> Result<Vec<ValidatedModel>, ValidateError> {
    count("spec.models", specs.len(), 1..=MAX_MODELS, "write 1 to 32 models")?;
    unique("spec.models", "name", specs.iter().map(|spec| spec.name.as_str()))?;
    specs.iter().enumerate().map(|(index, spec)| model(&format!("spec.models[{index}]"), spec)).collect()
}

fn model(path: &str, spec: &ModelSpec) -> Result<ValidatedModel, ValidateError> {
    let versions_path = format!("{path}.versions");
    count(&versions_path, spec.versions.len(), 1..=MAX_VERSIONS, "write 1 to 8 versions")?;
    let pairs_path = format!("{path}.languagePairs");
    count(&pairs_path, spec.language_pairs.len(), 0..=MAX_LANGUAGE_PAIRS, "write at most 64 language pairs")?;
    unique(&versions_path, "name", spec.versions.iter().map(|version| version.name.as_str()))?;
    unique(&pairs_path, "", spec.language_pairs.iter().map(String::as_str))?;
    let pairs = spec
        .language_pairs
        .iter()
        .enumerate()
        .map(|(index, text)| text.parse().map_err(named(format!("{pairs_path}[{index}]"))))
        .collect::<Result<Vec<LanguagePair>, _>>()?;
    let mut versions = spec
        .versions
        .iter()
        .enumerate()
        .map(|(index, version)| self::version(&format!("{versions_path}[{index}]"), version, &pairs))
        .collect::<Result<Vec<_>, _>>()?;
    let default_version = default_version(path, spec, &versions)?;
    give_the_default_the_rest(&versions_path, &default_version, &mut versions)?;
    let instances = u32::try_from(spec.instances).ok().filter(|instances| *instances >= 1);
    let instances = instances.ok_or_else(|| ValidateError::OutOfRange {
        field: format!("{path}.instances"),
        value: spec.instances.to_string(),
        expectation: "write 1 or more",
    })?;
    let fallback = spec
        .fallback
        .iter()
        .enumerate()
        .map(|(index, name)| known_version(format!("{path}.fallback[{index}]"), name, &versions))
        .collect::<Result<Vec<_>, _>>()?;
    unique(&format!("{path}.fallback"), "", spec.fallback.iter().map(String::as_str))?;
    Ok(ValidatedModel {
        name: spec.name.parse().map_err(named(format!("{path}.name")))?,
        task: spec.task,
        load: spec.load,
        keep: spec.keep,
        instances,
        default_version,
        fallback,
        versions,
    })
}

fn version(
    path: &str,
    spec: &VersionSpec,
    pairs: &[LanguagePair],
) -> Result<ValidatedVersion, ValidateError> {
    let field = format!("{path}.storageUri");
    let uri = &spec.storage_uri;
    let artifacts = if !uri.contains(LANGUAGE_PAIR_PLACEHOLDER) {
        vec![Artifact { language_pair: None, source: uri.parse().map_err(named(field))? }]
    } else if pairs.is_empty() {
        return Err(ValidateError::PlaceholderWithoutPairs { field });
    } else {
        let artifact = |pair: &LanguagePair| {
            let source = uri.replace(LANGUAGE_PAIR_PLACEHOLDER, pair.as_str()).parse();
            Ok(Artifact { language_pair: Some(pair.clone()), source: source.map_err(named(field.clone()))? })
        };
        pairs.iter().map(artifact).collect::<Result<Vec<_>, ValidateError>>()?
    };
    let weight = u8::try_from(spec.weight).ok().and_then(|weight| Weight::try_from(weight).ok());
    Ok(ValidatedVersion {
        name: spec.name.parse().map_err(named(format!("{path}.name")))?,
        dtype: spec.dtype,
        weight: weight.ok_or_else(|| ValidateError::OutOfRange {
            field: format!("{path}.weight"),
            value: spec.weight.to_string(),
            expectation: "write a percentage from 0 to 100",
        })?,
        artifacts,
    })
}

fn default_version(
    path: &str,
    spec: &ModelSpec,
    versions: &[ValidatedVersion],
) -> Result<VersionName, ValidateError> {
    let field = format!("{path}.defaultVersion");
    match (&spec.default_version, versions) {
        (Some(name), _) => known_version(field, name, versions),
        (None, [only]) => Ok(only.name.clone()),
        (None, _) => Err(ValidateError::MissingDefault { field }),
    }
}

fn known_version(
    field: String,
    name: &str,
    versions: &[ValidatedVersion],
) -> Result<VersionName, ValidateError> {
    let found = versions.iter().find(|version| version.name.as_str() == name);
    found.map(|version| version.name.clone()).ok_or_else(|| {
        let known: Vec<&str> = versions.iter().map(|version| version.name.as_str()).collect();
        ValidateError::UnknownVersion { field, name: name.to_owned(), known: known.join(", ") }
    })
}

/// Sets the default version's weight to what the others leave of 100.
fn give_the_default_the_rest(
    field: &str,
    default_version: &VersionName,
    versions: &mut [ValidatedVersion],
) -> Result<(), ValidateError> {
    let total: i64 = versions.iter().map(|version| i64::from(version.weight.percent())).sum();
    if total > 100 {
        return Err(ValidateError::WeightsExceed { field: field.to_owned(), total });
    }
    // The sum is at most 100, so neither this sum nor the difference can leave the range.
    let others: u8 =
        versions.iter().filter(|version| version.name != *default_version).map(|v| v.weight.percent()).sum();
    for version in versions.iter_mut().filter(|version| version.name == *default_version) {
        version.weight = Weight::try_from(100 - others).unwrap_or(Weight::ZERO);
    }
    Ok(())
}

fn named(field: String) -> impl Fn(NameError) -> ValidateError {
    move |source| ValidateError::Name { field: field.clone(), source }
}

fn count(
    field: &str,
    length: usize,
    allowed: std::ops::RangeInclusive<usize>,
    expectation: &'static str,
) -> Result<(), ValidateError> {
    if allowed.contains(&length) {
        return Ok(());
    }
    Err(ValidateError::OutOfRange { field: field.to_owned(), value: length.to_string(), expectation })
}

fn unique<'a>(path: &str, key: &str, names: impl Iterator<Item = &'a str>) -> Result<(), ValidateError> {
    let mut seen = BTreeSet::new();
    for (index, name) in names.enumerate() {
        if !seen.insert(name) {
            let dot = if key.is_empty() { "" } else { "." };
            return Err(ValidateError::Duplicate {
                field: format!("{path}[{index}]{dot}{key}"),
                name: name.to_owned(),
            });
        }
    }
    Ok(())
}
