//! Which revision of which artifact is resolved now, and which pin stays. Pure.
//!
//! A pin belongs to (model, version, language pair). The plan ConfigMap is its only memory: a revision is resolved
//! once and its commit stays until the spec names another source or the repin annotation changes, whatever
//! restarts or scales in between. Where resolving fails, what served before stays in the plan. A pin that another one
//! replaces goes into the artifact's history, as far as its model's spec keeps one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ostler_crds::checked::Artifact;
use ostler_crds::names::{Commit, LanguagePair, ModelName, RepositoryId, Revision, StorageUri, VersionName};
use ostler_crds::serving_plan::{PlannedArtifact, PlannedVersion, ServingPlan};

use crate::observed::ExistingPlan;
use crate::resolution::{Question, Resolutions, ResolveFailure};
use crate::validated::ValidatedDeployment;
use history::Past;

mod history;
#[cfg(test)]
mod tests;

/// What a pin belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PinKey {
    /// The model.
    pub model: ModelName,
    /// The version.
    pub version: VersionName,
    /// The language pair, where each has its own files.
    pub language_pair: Option<LanguagePair>,
}

impl fmt::Display for PinKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}@{}", self.model, self.version)?;
        self.language_pair.as_ref().map_or(Ok(()), |pair| write!(formatter, "/{pair}"))
    }
}

/// What is to be done about one artifact.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Nothing: this goes into the plan.
    Settled(PlannedArtifact),
    /// The Hub must be asked.
    Resolve {
        /// The repository.
        repository: RepositoryId,
        /// The revision.
        revision: Revision,
        /// What serves until the answer is there.
        meanwhile: Option<PlannedArtifact>,
    },
}

/// The decisions on all artifacts.
#[derive(Debug, Clone, PartialEq)]
pub struct Decisions {
    /// One for each artifact.
    pub artifacts: BTreeMap<PinKey, Decision>,
    /// What each artifact that the plan in force holds was pinned to until now.
    past: BTreeMap<PinKey, Past>,
    /// The repin annotation's value that these decisions follow.
    pub repin: Option<String>,
}

impl Decisions {
    /// The questions for the Hub, each once.
    #[must_use]
    pub fn questions(&self) -> BTreeSet<Question> {
        let question = |decision: &Decision| match decision {
            Decision::Resolve { repository, revision, .. } => Some((repository.clone(), revision.clone())),
            Decision::Settled(_) => None,
        };
        self.artifacts.values().filter_map(question).collect()
    }
}

impl Decisions {
    /// Answers to all questions, with a commit that stands for any: what follows from them is as large as with the
    /// real ones, so that what is too large is refused before the Hub is asked.
    #[must_use]
    pub fn as_if_answered(&self) -> Resolutions {
        let any: Option<Commit> = "0".repeat(40).parse().ok();
        let answer = || any.clone().ok_or_else(unasked);
        self.questions().into_iter().map(|question| (question, answer())).collect()
    }
}

/// Decides for every artifact whether its pin stays or is made.
#[must_use]
pub fn decide(deployment: &ValidatedDeployment, existing: Option<&ExistingPlan>) -> Decisions {
    // Removing the annotation asks for nothing; only a new value does.
    let repinned =
        existing.is_some_and(|existing| deployment.repin.is_some() && existing.repin != deployment.repin);
    let awaiting: BTreeSet<&str> =
        existing.iter().flat_map(|existing| existing.repin_pending.iter().map(String::as_str)).collect();
    let current = existing.and_then(|existing| existing.plan.as_ref());
    let mut artifacts = BTreeMap::new();
    let mut past = BTreeMap::new();
    for model in &deployment.models {
        for version in &model.versions {
            for artifact in &version.artifacts {
                let language_pair = artifact.language_pair.clone();
                let key = PinKey { model: model.name.clone(), version: version.name.clone(), language_pair };
                let anew = repinned || awaiting.contains(key.to_string().as_str());
                let planned = current.and_then(|plan| planned(plan, &key));
                let decision = decide_one(artifact, planned.map(|(_, artifact)| artifact), anew);
                if let Some((version, artifact)) = planned {
                    past.insert(key.clone(), Past::of(artifact, version.dtype, model.history));
                }
                artifacts.insert(key, decision);
            }
        }
    }
    Decisions { artifacts, past, repin: deployment.repin.clone() }
}

fn decide_one(artifact: &Artifact, current: Option<&PlannedArtifact>, anew: bool) -> Decision {
    let settled = |commit: Option<Commit>| {
        Decision::Settled(PlannedArtifact {
            language_pair: artifact.language_pair.clone(),
            source: artifact.source.clone(),
            commit,
            unpinned: None,
            history: Vec::new(),
        })
    };
    let (repository, revision) = match &artifact.source {
        StorageUri::File { .. } => return settled(None),
        StorageUri::Hub { repository, revision } => (repository, revision),
    };
    if let Some(commit) = revision.as_commit() {
        return settled(Some(commit));
    }
    // A file source has no commit and yet serves; a Hub source without one never has.
    let serves = |planned: &&PlannedArtifact| {
        planned.commit.is_some() || matches!(planned.source, StorageUri::File { .. })
    };
    let meanwhile = current.filter(serves);
    match meanwhile {
        Some(planned) if planned.source == artifact.source && !anew => Decision::Settled(planned.clone()),
        _ => Decision::Resolve {
            repository: repository.clone(),
            revision: revision.clone(),
            meanwhile: meanwhile.cloned(),
        },
    }
}

/// The artifact that a plan holds under a key, with its version.
#[must_use]
pub fn planned<'a>(plan: &'a ServingPlan, key: &PinKey) -> Option<(&'a PlannedVersion, &'a PlannedArtifact)> {
    let model = plan.models.iter().find(|model| model.name == key.model)?;
    let version = model.versions.iter().find(|version| version.name == key.version)?;
    let artifact = version.artifacts.iter().find(|artifact| artifact.language_pair == key.language_pair)?;
    Some((version, artifact))
}

/// All pins, made and kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Pins {
    /// What goes into the plan.
    pub artifacts: BTreeMap<PinKey, PlannedArtifact>,
    /// The pins that were made just now.
    pub made: Vec<PinKey>,
    /// What could not be resolved.
    pub failures: Vec<PinFailure>,
    /// The repin annotation's value that they follow.
    pub repin: Option<String>,
    /// The artifacts that a repin could not reach yet.
    pub repin_pending: Vec<String>,
}

/// An artifact whose revision could not be resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct PinFailure {
    /// Which one.
    pub key: PinKey,
    /// Why.
    pub failure: ResolveFailure,
    /// Whether an older pin of it serves.
    pub served_by_older: bool,
}

/// Puts the Hub's answers into the decisions.
#[must_use]
pub fn settle(decisions: Decisions, deployment: &ValidatedDeployment, answers: &Resolutions) -> Pins {
    let mut pins = Pins {
        artifacts: BTreeMap::new(),
        made: Vec::new(),
        failures: Vec::new(),
        repin: decisions.repin,
        repin_pending: Vec::new(),
    };
    let sources = sources(deployment);
    for (key, decision) in decisions.artifacts {
        let (repository, revision, meanwhile) = match decision {
            Decision::Settled(artifact) => {
                pins.artifacts.insert(key, artifact);
                continue;
            }
            Decision::Resolve { repository, revision, meanwhile } => (repository, revision, meanwhile),
        };
        let source = StorageUri::Hub { repository: repository.clone(), revision: revision.clone() };
        let language_pair = key.language_pair.clone();
        match answers.get(&(repository, revision)) {
            Some(Ok(commit)) => {
                pins.made.push(key.clone());
                let commit = Some(commit.clone());
                let (unpinned, history) = (None, Vec::new());
                let artifact = PlannedArtifact { language_pair, source, commit, unpinned, history };
                pins.artifacts.insert(key, artifact);
            }
            answer => {
                let failure =
                    answer.and_then(|answer| answer.as_ref().err()).cloned().unwrap_or_else(unasked);
                let served_by_older = meanwhile.is_some();
                // A pin of the same source that stays for want of an answer must not look settled next time.
                if meanwhile.as_ref().is_some_and(|older| sources.get(&key) == Some(&&older.source)) {
                    pins.repin_pending.push(key.to_string());
                }
                let unpinned = || Some(failure.to_string());
                let artifact = meanwhile.unwrap_or_else(|| PlannedArtifact {
                    language_pair,
                    source,
                    commit: None,
                    unpinned: unpinned(),
                    history: Vec::new(),
                });
                pins.artifacts.insert(key.clone(), artifact);
                pins.failures.push(PinFailure { key, failure, served_by_older });
            }
        }
    }
    for (key, artifact) in &mut pins.artifacts {
        let past = decisions.past.get(key);
        artifact.history = past.map(|past| past.beside(artifact.commit.as_ref())).unwrap_or_default();
    }
    pins
}

fn sources(deployment: &ValidatedDeployment) -> BTreeMap<PinKey, &StorageUri> {
    let mut sources = BTreeMap::new();
    for model in &deployment.models {
        for version in &model.versions {
            for artifact in &version.artifacts {
                let language_pair = artifact.language_pair.clone();
                let key = PinKey { model: model.name.clone(), version: version.name.clone(), language_pair };
                sources.insert(key, &artifact.source);
            }
        }
    }
    sources
}

fn unasked() -> ResolveFailure {
    ResolveFailure {
        reason: "HubUnavailable".to_owned(),
        message: "the Hub has not answered yet".to_owned(),
        retryable: true,
        retry_after_seconds: None,
    }
}
