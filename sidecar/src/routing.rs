//! Which version answers a request: the one asked for, else a salted weighted hash of the subject.
//!
//! The hash is weighted rendezvous hashing (Schindelhauer and Schomaker, "Weighted Distributed Hash Tables",
//! 2005): each version draws a uniform number `u` from the hash of (salt, model, version, subject) and scores
//! `weight / -ln u`; the highest score wins. Every pod computes the same answer from the same plan, shares follow
//! the weights, and when one weight changes only subjects that the new shares need to move do move.

mod subject;

pub use subject::Subject;

use std::hash::Hasher;

use ostler_crds::names::{Commit, LanguagePair, ModelName, VersionName};
use ostler_crds::serving_plan::{PlannedArtifact, PlannedModel, PlannedVersion, ServingPlan};
use siphasher::sip::SipHasher24;
use siphasher::sip128::{Hasher128, SipHasher24 as SipHasher128};

use crate::target::VersionKey;

/// The most pins that an error lists: a model may have thousands of language pairs and commits.
const MOST_LISTED: usize = 64;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The model.
    pub model: ModelName,
    /// The languages to translate between, for translation.
    pub language_pair: Option<LanguagePair>,
    /// The version, where the client insists on one. Then no other version answers in its place.
    pub version: Option<VersionChoice>,
    /// Whoever asks: the same subject gets the same version on every pod.
    pub subject: Subject,
}

/// A version that a client insists on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionChoice {
    /// By its name in the plan.
    Name(VersionName),
    /// By a commit that it is pinned to, or was.
    Commit(Commit),
    /// By both, since several versions may have one commit.
    Pin(VersionName, Commit),
}

impl VersionChoice {
    /// The commit asked for.
    #[must_use]
    pub fn commit(&self) -> Option<&Commit> {
        match self {
            Self::Name(_) => None,
            Self::Commit(commit) | Self::Pin(_, commit) => Some(commit),
        }
    }
}

impl std::str::FromStr for VersionChoice {
    type Err = ostler_crds::names::NameError;

    /// 40 hexadecimal digits are a commit, `VERSION@COMMIT` is both, anything else a version's name.
    fn from_str(value: &str) -> Result<Self, Self::Err> {
        if let Some((name, commit)) = value.split_once('@') {
            return Ok(Self::Pin(name.parse()?, commit.parse()?));
        }
        match value.parse() {
            Ok(commit) => Ok(Self::Commit(commit)),
            Err(_) => Ok(Self::Name(value.parse()?)),
        }
    }
}

/// Why no version can answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// The plan has no such model.
    #[error("there is no model {model:?}; there are: {}", known.join(", "))]
    UnknownModel {
        /// What was asked for.
        model: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The model has no such version.
    #[error("the model {model:?} has no version {version:?}; it has: {}", known.join(", "))]
    UnknownVersion {
        /// The model.
        model: String,
        /// What was asked for.
        version: String,
        /// What there is.
        known: Vec<String>,
    },
    /// No version of the model is at this commit, or not any more, and it is in no history.
    #[error("no version of the model {model:?} is at {commit} any more; there are: {}", known.join(", "))]
    CommitGone {
        /// The model, and the version where one was asked for.
        model: String,
        /// What was asked for.
        commit: String,
        /// The versions and what they are at.
        known: Vec<String>,
    },
    /// The model does not translate between these languages.
    #[error("the model {model:?} does not translate {language_pair:?}; it translates: {}", known.join(", "))]
    UnknownLanguagePair {
        /// The model.
        model: String,
        /// What was asked for.
        language_pair: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The model has files for each language pair, and the request names none.
    #[error("the model {model:?} needs a language pair; it translates: {}", known.join(", "))]
    LanguagePairNeeded {
        /// The model.
        model: String,
        /// What there is.
        known: Vec<String>,
    },
}

/// The versions that may answer a request: the chosen one, then its fallbacks in order.
///
/// # Errors
/// See [`RouteError`].
pub fn candidates(plan: &ServingPlan, request: &Request) -> Result<Vec<VersionKey>, RouteError> {
    let model = plan.models.iter().find(|model| model.name == request.model).ok_or_else(|| {
        let known = plan.models.iter().map(|model| model.name.to_string()).collect();
        RouteError::UnknownModel { model: request.model.to_string(), known }
    })?;
    let pair = request.language_pair.as_ref();
    let chosen = match &request.version {
        Some(choice) => vec![explicit(model, choice, pair)?],
        None => {
            let assigned = assign(&plan.salt, model, request.subject.as_str());
            let fallbacks = model.fallback.iter().filter(|name| *name != assigned);
            std::iter::once(assigned).chain(fallbacks).filter_map(|name| version(model, name)).collect()
        }
    };
    let commit = request.version.as_ref().and_then(VersionChoice::commit);
    let mut candidates = Vec::with_capacity(chosen.len());
    for version in chosen {
        match artifact(version, pair) {
            Some(artifact) => candidates.push(VersionKey {
                model: model.name.clone(),
                version: version.name.clone(),
                language_pair: artifact.language_pair.clone(),
                retired: commit.filter(|commit| artifact.commit.as_ref() != Some(commit)).cloned(),
            }),
            // A fallback that lacks the pair is no candidate; the chosen version must have it.
            None if !candidates.is_empty() => {}
            None => return Err(missing_pair(model, version, pair)),
        }
    }
    Ok(candidates)
}

/// The version that the weights assign to a subject.
#[must_use]
pub fn assign<'plan>(salt: &str, model: &'plan PlannedModel, subject: &str) -> &'plan VersionName {
    let (first_key, second_key) = keys(salt);
    let mut best: Option<(f64, &VersionName)> = None;
    for version in model.versions.iter().filter(|version| version.weight.percent() > 0) {
        let mut hasher = SipHasher24::new_with_keys(first_key, second_key);
        // 0xff occurs in no UTF-8 text, so that no two different triples hash the same bytes.
        for part in [model.name.as_str(), version.name.as_str(), subject] {
            hasher.write(part.as_bytes());
            hasher.write_u8(0xff);
        }
        let score = f64::from(version.weight.percent()) / -uniform(hasher.finish()).ln();
        if best.is_none_or(|(highest, _)| score > highest) {
            best = Some((score, &version.name));
        }
    }
    best.map_or(&model.default_version, |(_, name)| name)
}

/// The hash's keys, so that two deployments with the same versions split differently.
fn keys(salt: &str) -> (u64, u64) {
    let mut hasher = SipHasher128::new();
    hasher.write(salt.as_bytes());
    let key = hasher.finish128();
    (key.h1, key.h2)
}

/// The upper 53 bits, which an `f64` holds exactly, as a number strictly between 0 and 1.
fn uniform(hash: u64) -> f64 {
    ((hash >> 11) as f64 + 0.5) / (1u64 << 53) as f64
}

fn version<'plan>(model: &'plan PlannedModel, name: &VersionName) -> Option<&'plan PlannedVersion> {
    model.versions.iter().find(|version| version.name == *name)
}

/// The files of a version for a pair: those of the pair, or the one set that serves every pair.
fn artifact<'plan>(
    version: &'plan PlannedVersion,
    pair: Option<&LanguagePair>,
) -> Option<&'plan PlannedArtifact> {
    let has_pair = |artifact: &&PlannedArtifact| pair.is_some() && artifact.language_pair.as_ref() == pair;
    let artifacts = &version.artifacts;
    artifacts
        .iter()
        .find(has_pair)
        .or_else(|| artifacts.iter().find(|artifact| artifact.language_pair.is_none()))
}

fn explicit<'plan>(
    model: &'plan PlannedModel,
    choice: &VersionChoice,
    pair: Option<&LanguagePair>,
) -> Result<&'plan PlannedVersion, RouteError> {
    let named = |name: &VersionName| {
        version(model, name).ok_or_else(|| RouteError::UnknownVersion {
            model: model.name.to_string(),
            version: name.to_string(),
            known: model.versions.iter().map(|version| version.name.to_string()).collect(),
        })
    };
    match choice {
        VersionChoice::Name(name) => named(name),
        VersionChoice::Commit(commit) => {
            let found = at_commit(&model.versions, commit, pair);
            found.ok_or_else(|| commit_gone(model.name.to_string(), &model.versions, commit, pair))
        }
        VersionChoice::Pin(name, commit) => {
            let only = std::slice::from_ref(named(name)?);
            let found = at_commit(only, commit, pair);
            found.ok_or_else(|| commit_gone(format!("{}@{name}", model.name), only, commit, pair))
        }
    }
}

/// The version that is at a commit, else the one that was.
fn at_commit<'plan>(
    versions: &'plan [PlannedVersion],
    commit: &Commit,
    pair: Option<&LanguagePair>,
) -> Option<&'plan PlannedVersion> {
    let is_at = |version: &&PlannedVersion| {
        artifacts(version, pair).any(|artifact| artifact.commit.as_ref() == Some(commit))
    };
    let was_at = |version: &&PlannedVersion| {
        artifacts(version, pair).any(|artifact| artifact.history.iter().any(|pin| pin.commit == *commit))
    };
    versions.iter().find(is_at).or_else(|| versions.iter().find(was_at))
}

fn commit_gone(
    model: String,
    versions: &[PlannedVersion],
    commit: &Commit,
    pair: Option<&LanguagePair>,
) -> RouteError {
    let known = versions.iter().flat_map(|version| pins(version, pair)).take(MOST_LISTED).collect();
    RouteError::CommitGone { model, commit: commit.to_string(), known }
}

/// The files of a version that come into question for a pair: all of them where none is named.
fn artifacts<'plan>(
    version: &'plan PlannedVersion,
    pair: Option<&LanguagePair>,
) -> impl Iterator<Item = &'plan PlannedArtifact> {
    let one = pair.and_then(|_| artifact(version, pair));
    let all = version.artifacts.iter().filter(move |_| pair.is_none());
    one.into_iter().chain(all)
}

/// `version at commit` for each pin of a version, or for those of a pair.
fn pins(version: &PlannedVersion, pair: Option<&LanguagePair>) -> impl Iterator<Item = String> {
    let commits = artifacts(version, pair)
        .flat_map(|artifact| artifact.commit.iter().chain(artifact.history.iter().map(|pin| &pin.commit)));
    commits.map(|commit| format!("{} at {commit}", version.name))
}

fn missing_pair(model: &PlannedModel, version: &PlannedVersion, pair: Option<&LanguagePair>) -> RouteError {
    let pairs = version.artifacts.iter().filter_map(|artifact| artifact.language_pair.as_ref());
    let known = pairs.map(ToString::to_string).collect();
    let model = model.name.to_string();
    match pair {
        Some(pair) => RouteError::UnknownLanguagePair { model, language_pair: pair.to_string(), known },
        None => RouteError::LanguagePairNeeded { model, known },
    }
}

#[cfg(test)]
mod tests;
