//! The models, their versions and their weights.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::SpecError;
use super::memory::amount;
use super::result_cache::result_cache;
use crate::model_deployment::{ModelSpec, VersionSpec};
use crate::names::{
    Dtype, LANGUAGE_PAIR_PLACEHOLDER, LanguagePair, LoadPolicy, LongForm, ModelName, NameError, StorageUri,
    Task, VersionName, Weight,
};
use crate::serving_plan::PlannedResultCache;

/// Most models in one `ModelDeployment`, as in the CRD.
const MAX_MODELS: usize = 32;
/// Most versions of one model, as in the CRD.
const MAX_VERSIONS: usize = 8;
/// Most language pairs of one model, as in the CRD.
const MAX_LANGUAGE_PAIRS: usize = 64;
/// Most requests worked on at once, as in the CRD.
const MAX_INSTANCES: u32 = 64;
/// The most texts that are worked on as one.
const MAX_BATCH: u32 = 256;
/// The longest that requests wait for others.
const MAX_DELAY_MILLISECONDS: u32 = 1000;
/// The longest idle time in seconds, as in the CRD: a year.
const MAX_IDLE_SECONDS: u32 = 31_536_000;

/// Most earlier commits of each version, as in the CRD.
const MAX_HISTORY: usize = 8;

/// A checked model.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedModel {
    /// The name that clients ask for.
    pub name: ModelName,
    /// What it does.
    pub task: Task,
    /// When its versions are loaded.
    pub load: LoadPolicy,
    /// Never evicted once loaded.
    pub keep: bool,
    /// Requests worked on at once, at least 1.
    pub instances: u32,
    /// The most texts that are worked on as one.
    pub max_batch: Option<u32>,
    /// How long a request waits for others to be worked on with.
    pub max_delay_milliseconds: Option<u32>,
    /// How long speech is worked on where a request does not say; `None` of other tasks, and where nobody said.
    pub long_form: Option<LongForm>,
    /// The most bytes that all its versions and language pairs take together.
    pub memory_limit_bytes: Option<u64>,
    /// A version that nobody has used for so long is unloaded.
    pub idle_seconds: Option<u32>,
    /// How many earlier commits of each version, and of each language pair of it, stay loadable.
    pub history: usize,
    /// How many answers are kept; `None` keeps none.
    pub result_cache: Option<PlannedResultCache>,
    /// Takes what the other versions leave of 100 percent.
    pub default_version: VersionName,
    /// Tried in order when the chosen version cannot load.
    pub fallback: Vec<VersionName>,
    /// The versions, with weights that add up to 100.
    pub versions: Vec<CheckedVersion>,
}

/// A checked version.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedVersion {
    /// Its name.
    pub name: VersionName,
    /// The number format asked for.
    pub dtype: Dtype,
    /// The share of traffic asked for; the default version's is what the others leave.
    pub weight: Weight,
    /// Its sets of files: one, or one for each language pair.
    pub artifacts: Vec<Artifact>,
}

/// One set of files.
#[derive(Debug, Clone, PartialEq)]
pub struct Artifact {
    /// The language pair that it translates, where there is one set for each.
    pub language_pair: Option<LanguagePair>,
    /// Where it comes from, placeholder replaced.
    pub source: StorageUri,
}

/// Checks all models.
///
/// # Errors
/// The first field that is wrong; see [`SpecError`].
pub fn models(specs: &[ModelSpec]) -> Result<Vec<CheckedModel>, SpecError> {
    count("spec.models", specs.len(), 1..=MAX_MODELS, "write 1 to 32 models")?;
    unique("spec.models", "name", specs.iter().map(|spec| spec.name.as_str()))?;
    specs.iter().enumerate().map(|(index, spec)| model(&format!("spec.models[{index}]"), spec)).collect()
}

fn model(path: &str, spec: &ModelSpec) -> Result<CheckedModel, SpecError> {
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
    let instances =
        u32::try_from(spec.instances).ok().filter(|instances| (1..=MAX_INSTANCES).contains(instances));
    let instances = instances.ok_or_else(|| {
        SpecError::out_of_range(&format!("{path}.instances"), spec.instances, "write 1 to 64")
    })?;
    let (max_batch, max_delay_milliseconds) = batching(path, spec)?;
    if let (Some(long_form), true) = (spec.long_form, spec.task != Task::AutomaticSpeechRecognition) {
        let expectation = "it is for models of task automatic-speech-recognition, leave it out";
        return Err(SpecError::out_of_range(&format!("{path}.longForm"), long_form, expectation));
    }
    let memory_limit = |quantity| {
        let expectation = "write an amount above 0, or leave it out for no limit but memory.host";
        amount(&format!("{path}.memoryLimit"), quantity, expectation)
    };
    let fallback = spec
        .fallback
        .iter()
        .enumerate()
        .map(|(index, name)| known_version(format!("{path}.fallback[{index}]"), name, &versions))
        .collect::<Result<Vec<_>, _>>()?;
    unique(&format!("{path}.fallback"), "", spec.fallback.iter().map(String::as_str))?;
    Ok(CheckedModel {
        name: spec.name.parse().map_err(named(format!("{path}.name")))?,
        task: spec.task,
        load: spec.load,
        keep: spec.keep,
        instances,
        max_batch,
        max_delay_milliseconds,
        long_form: spec.long_form,
        memory_limit_bytes: spec.memory_limit.as_ref().map(memory_limit).transpose()?,
        idle_seconds: spec.idle_seconds.map(|seconds| idle_seconds(path, seconds)).transpose()?,
        history: history(path, spec.history)?,
        result_cache: spec.result_cache.as_ref().map(|spec| result_cache(path, spec)).transpose()?,
        default_version,
        fallback,
        versions,
    })
}

/// The fields that say how requests of texts are worked on together.
fn batching(path: &str, spec: &ModelSpec) -> Result<(Option<u32>, Option<u32>), SpecError> {
    let read = |field: &str, value: i32, range: RangeInclusive<u32>, expectation| {
        let field = format!("{path}.{field}");
        if spec.task == Task::AutomaticSpeechRecognition {
            let expectation = "it is for models that read texts, leave it out";
            return Err(SpecError::out_of_range(&field, value, expectation));
        }
        let checked = u32::try_from(value).ok().filter(|value| range.contains(value));
        checked.ok_or_else(|| SpecError::out_of_range(&field, value, expectation))
    };
    let most = spec.max_batch.map(|value| read("maxBatch", value, 1..=MAX_BATCH, "write 1 to 256"));
    let delay = spec.max_delay_milliseconds;
    let delay =
        delay.map(|value| read("maxDelayMilliseconds", value, 0..=MAX_DELAY_MILLISECONDS, "write 0 to 1000"));
    Ok((most.transpose()?, delay.transpose()?))
}

fn idle_seconds(path: &str, seconds: i32) -> Result<u32, SpecError> {
    let checked = u32::try_from(seconds).ok().filter(|seconds| (1..=MAX_IDLE_SECONDS).contains(seconds));
    checked.ok_or_else(|| {
        let expectation =
            "write 1 to 31536000 seconds, or leave it out to keep versions until memory runs short";
        SpecError::out_of_range(&format!("{path}.idleSeconds"), seconds, expectation)
    })
}

fn history(path: &str, pins: i32) -> Result<usize, SpecError> {
    let checked = usize::try_from(pins).ok().filter(|pins| *pins <= MAX_HISTORY);
    checked.ok_or_else(|| SpecError::out_of_range(&format!("{path}.history"), pins, "write 0 to 8"))
}

fn version(path: &str, spec: &VersionSpec, pairs: &[LanguagePair]) -> Result<CheckedVersion, SpecError> {
    let field = format!("{path}.storageUri");
    let uri = &spec.storage_uri;
    let artifacts = if !uri.contains(LANGUAGE_PAIR_PLACEHOLDER) {
        vec![Artifact { language_pair: None, source: uri.parse().map_err(named(field))? }]
    } else if pairs.is_empty() {
        return Err(SpecError::PlaceholderWithoutPairs { field });
    } else {
        let artifact = |pair: &LanguagePair| {
            let source = uri.replace(LANGUAGE_PAIR_PLACEHOLDER, pair.as_str()).parse();
            Ok(Artifact { language_pair: Some(pair.clone()), source: source.map_err(named(field.clone()))? })
        };
        pairs.iter().map(artifact).collect::<Result<Vec<_>, SpecError>>()?
    };
    let weight = u8::try_from(spec.weight).ok().and_then(|weight| Weight::try_from(weight).ok());
    Ok(CheckedVersion {
        name: spec.name.parse().map_err(named(format!("{path}.name")))?,
        dtype: spec.dtype,
        weight: weight.ok_or_else(|| {
            let expectation = "write a percentage from 0 to 100";
            SpecError::out_of_range(&format!("{path}.weight"), spec.weight, expectation)
        })?,
        artifacts,
    })
}

fn default_version(
    path: &str,
    spec: &ModelSpec,
    versions: &[CheckedVersion],
) -> Result<VersionName, SpecError> {
    let field = format!("{path}.defaultVersion");
    match (&spec.default_version, versions) {
        (Some(name), _) => known_version(field, name, versions),
        (None, [only]) => Ok(only.name.clone()),
        (None, _) => Err(SpecError::MissingDefault { field }),
    }
}

fn known_version(field: String, name: &str, versions: &[CheckedVersion]) -> Result<VersionName, SpecError> {
    let found = versions.iter().find(|version| version.name.as_str() == name);
    found.map(|version| version.name.clone()).ok_or_else(|| {
        let known: Vec<&str> = versions.iter().map(|version| version.name.as_str()).collect();
        SpecError::UnknownVersion { field, name: name.to_owned(), known: known.join(", ") }
    })
}

/// Sets the default version's weight to what the others leave of 100.
fn give_the_default_the_rest(
    field: &str,
    default_version: &VersionName,
    versions: &mut [CheckedVersion],
) -> Result<(), SpecError> {
    let others = versions.iter().filter(|version| version.name != *default_version);
    let total: u32 = others.map(|version| u32::from(version.weight.percent())).sum();
    let rest = u8::try_from(total).ok().and_then(|total| 100_u8.checked_sub(total));
    let rest = rest.and_then(|rest| Weight::try_from(rest).ok());
    let rest = rest.ok_or_else(|| SpecError::WeightsExceed { field: field.to_owned(), total })?;
    for version in versions.iter_mut().filter(|version| version.name == *default_version) {
        version.weight = rest;
    }
    Ok(())
}

fn named(field: String) -> impl Fn(NameError) -> SpecError {
    move |source| SpecError::Name { field: field.clone(), source }
}

fn count(
    field: &str,
    length: usize,
    allowed: std::ops::RangeInclusive<usize>,
    expectation: &'static str,
) -> Result<(), SpecError> {
    if allowed.contains(&length) {
        return Ok(());
    }
    Err(SpecError::out_of_range(field, length, expectation))
}

fn unique<'a>(path: &str, key: &str, names: impl Iterator<Item = &'a str>) -> Result<(), SpecError> {
    let mut seen = BTreeSet::new();
    for (index, name) in names.enumerate() {
        if !seen.insert(name) {
            let dot = if key.is_empty() { "" } else { "." };
            return Err(SpecError::Duplicate {
                field: format!("{path}[{index}]{dot}{key}"),
                name: name.to_owned(),
            });
        }
    }
    Ok(())
}
