//! Which languages are served, and which model and pair a translation takes. Pure, over the plan.

use std::collections::{BTreeMap, BTreeSet};

use ostler_crds::names::{LanguagePair, ModelName, Task};
use ostler_crds::serving_plan::{PlannedModel, ServingPlan};
use ostler_inference::engine::LabelScore;
use ostler_inference::languages;
use serde::Serialize;

use super::error::ApiError;
use super::excerpt::excerpt;
use crate::snapshot::Snapshot;

/// A language in the answer of `/languages`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct ServedLanguage {
    code: String,
    name: String,
    targets: Vec<String>,
}

/// A language that a text may be in, in LibreTranslate's shape.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Detection {
    /// In percent.
    pub(super) confidence: f64,
    /// Its code.
    pub(super) language: String,
}

/// Every language that some pair of the plan, or a model that knows its languages itself and was loaded, translates
/// from or into, with its targets. A language is its own target too, as in LibreTranslate, where such a translation
/// gives the text back.
pub(super) fn served(plan: &ServingPlan, snapshot: &Snapshot) -> Vec<ServedLanguage> {
    let mut targets: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for pair in plan.models.iter().flat_map(pairs) {
        targets.entry(pair.target()).or_default();
        targets.entry(pair.source()).or_default().insert(pair.target());
    }
    let universal = snapshot.versions.iter().filter(|version| version.key.language_pair.is_none());
    for languages in universal.filter_map(|version| version.languages.as_deref()) {
        for target in &languages.targets {
            targets.entry(target).or_default();
        }
        for source in &languages.sources {
            targets.entry(source).or_default().extend(languages.targets.iter().map(String::as_str));
        }
    }
    let own = |(code, mut targets): (&str, BTreeSet<&str>)| {
        targets.insert(code);
        let targets = targets.into_iter().map(str::to_owned).collect();
        ServedLanguage { code: code.to_owned(), name: name(code), targets }
    };
    targets.into_iter().map(own).collect()
}

/// Who translates: the model, and the pair where the model has files for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Translator {
    pub(super) model: ModelName,
    pub(super) language_pair: Option<LanguagePair>,
}

/// The model and the pair for a translation: of the asked model, else of the first one that has the pair.
///
/// # Errors
/// [`ApiError::UnknownModel`], [`ApiError::UnknownLanguagePair`], each naming what there is.
pub(super) fn translator(
    plan: &ServingPlan,
    model: Option<&ModelName>,
    source: &str,
    target: &str,
) -> Result<Translator, ApiError> {
    let candidates = of_task(plan, Task::Translation, model)?;
    let choose = |candidate: &&PlannedModel| {
        let same = |pair: &&LanguagePair| is_same(pair.source(), source) && is_same(pair.target(), target);
        let pair = pairs(candidate).find(same).cloned();
        // One set of files without a pair knows its languages itself and refuses the others.
        let is_universal = candidate
            .versions
            .iter()
            .flat_map(|version| &version.artifacts)
            .any(|artifact| artifact.language_pair.is_none());
        (pair.is_some() || is_universal)
            .then(|| Translator { model: candidate.name.clone(), language_pair: pair })
    };
    candidates.iter().find_map(choose).ok_or_else(|| {
        let known: BTreeSet<&str> =
            candidates.iter().flat_map(|model| pairs(model)).map(LanguagePair::as_str).collect();
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        let message = format!(
            "{} is not available as a target language from {}; there are: {known}",
            excerpt(target),
            excerpt(source)
        );
        ApiError::UnknownLanguagePair { message }
    })
}

/// The models that do a task: the asked one, else all of them.
///
/// # Errors
/// As [`of_tasks`].
pub(super) fn of_task<'plan>(
    plan: &'plan ServingPlan,
    task: Task,
    asked: Option<&ModelName>,
) -> Result<Vec<&'plan PlannedModel>, ApiError> {
    of_tasks(plan, &[task], asked)
}

/// The models that do one of some tasks: the asked one, else all of them.
///
/// # Errors
/// [`ApiError::UnknownModel`] where there is none, [`ApiError::InvalidParameter`] where the asked one does
/// something else.
pub(super) fn of_tasks<'plan>(
    plan: &'plan ServingPlan,
    tasks: &[Task],
    asked: Option<&ModelName>,
) -> Result<Vec<&'plan PlannedModel>, ApiError> {
    let needed = || tasks.iter().map(Task::to_string).collect::<Vec<_>>().join(" or ");
    let capable = plan.models.iter().filter(|model| tasks.contains(&model.task));
    let Some(asked) = asked else {
        let capable: Vec<_> = capable.collect();
        if capable.is_empty() {
            return Err(ApiError::UnknownModel {
                message: format!("no model with the task {} is served here", needed()),
            });
        }
        return Ok(capable);
    };
    match plan.models.iter().find(|model| model.name == *asked) {
        Some(model) if tasks.contains(&model.task) => Ok(vec![model]),
        Some(model) => {
            let (name, task) = (asked.as_str(), model.task);
            let message = format!("{name:?} has the task {task}, and this endpoint needs {}", needed());
            Err(ApiError::InvalidParameter { parameter: "model".to_owned(), message })
        }
        None => {
            let known = capable.map(|model| model.name.as_str()).collect::<Vec<_>>().join(", ");
            let message =
                format!("there is no model {:?}; for {} there are: {known}", asked.as_str(), needed());
            Err(ApiError::UnknownModel { message })
        }
    }
}

/// Whether two codes name the same language: clients write `pt-BR` for what opus-mt calls `pt_br`.
pub(super) fn is_same(left: &str, right: &str) -> bool {
    let plain = |code: &str| code.replace('-', "_").to_ascii_lowercase();
    plain(left) == plain(right)
}

/// Whether some pair of the plan translates from or into the language.
pub(super) fn is_served(plan: &ServingPlan, language: &str) -> bool {
    let has = |pair: &LanguagePair| is_same(pair.source(), language) || is_same(pair.target(), language);
    plan.models.iter().flat_map(pairs).any(has)
}

/// The labels of one text, or the mean over several, as detections: most probable first, without those under 1 %
/// unless there is no other.
pub(super) fn detections(labels: &[&[LabelScore]]) -> Vec<Detection> {
    let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
    for label in labels.iter().copied().flatten() {
        *sums.entry(&label.label).or_default() += f64::from(label.score);
    }
    let count = labels.len().max(1) as f64;
    // A tenth of a percent is all that such a score can mean.
    let percent = |sum: f64| (sum / count * 1000.0).round() / 10.0;
    let mut all: Vec<_> = sums
        .into_iter()
        .map(|(language, sum)| Detection { confidence: percent(sum), language: language.to_owned() })
        .collect();
    all.sort_by(|left, right| right.confidence.total_cmp(&left.confidence));
    let kept = all.iter().filter(|detection| detection.confidence >= 1.0).count().max(1);
    all.truncate(kept);
    all
}

/// The language of each text: its own most probable one, but for a short text that leaves doubt the one of all texts
/// together. Only languages that are served come into question, where any of them does.
pub(super) fn detected(
    plan: &ServingPlan,
    texts: &[String],
    labels: &[Vec<LabelScore>],
) -> Vec<Option<Detection>> {
    /// LibreTranslate's own bound for a text that is judged alone, in characters.
    const LONG_ENOUGH: usize = 40;
    /// From this percentage on a short text is judged alone too: it is then rarely wrong, and texts of one request
    /// may well be in different languages.
    const SURE: f64 = 80.0;
    let best = |labels: &[&[LabelScore]]| {
        let all = detections(labels);
        all.iter().find(|detection| is_served(plan, &detection.language)).or(all.first()).cloned()
    };
    let every: Vec<&[LabelScore]> = labels.iter().map(Vec::as_slice).collect();
    let overall = best(&every);
    let judge = |(text, labels): (&String, &Vec<LabelScore>)| {
        let own = best(&[labels]);
        let is_sure = own.as_ref().is_some_and(|detection| detection.confidence >= SURE);
        if is_sure || text.chars().count() > LONG_ENOUGH { own } else { overall.clone() }
    };
    texts.iter().zip(labels).map(judge).collect()
}

fn pairs(model: &PlannedModel) -> impl Iterator<Item = &LanguagePair> {
    model
        .versions
        .iter()
        .flat_map(|version| &version.artifacts)
        .filter_map(|artifact| artifact.language_pair.as_ref())
}

/// The English name of a language, its code where it has none here.
fn name(code: &str) -> String {
    languages::english_name(code).unwrap_or_else(|| code.to_owned())
}

#[cfg(test)]
mod tests;
