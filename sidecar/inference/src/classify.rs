//! Text classification with XLM-R and BERT.

mod labels;
mod model;

use crate::encoder::{Architecture, Computation, Config, MAX_BATCH_TOKENS, Tokens, in_batches};
use crate::engine::{ClassifyJob, Control, Engine, EngineError, Job, LabelScore, Output};
use crate::error::LoadError;
use crate::footprint::Footprint;
use crate::weights::{self, Purpose, Source, Usage};
use model::Model;

/// A loaded classifier.
pub struct Classifier {
    model: Model,
    tokens: Tokens,
    /// In the order of the outputs.
    labels: Vec<String>,
}

/// Measures a classifier from config.json and the headers of its weights.
///
/// # Errors
/// As [`load`], but for what only the weights' numbers show.
pub fn inspect(
    source: &Source<'_>,
    architecture: Architecture,
    computation: &Computation,
) -> Result<Footprint, LoadError> {
    let (classifier, usage) = assemble(source, architecture, computation, Purpose::Measure)?;
    let longest = classifier.tokens.longest();
    let scratch = classifier.model.network.scratch_bytes(MAX_BATCH_TOKENS.max(longest), longest);
    Ok(Footprint::new(usage, scratch))
}

/// Loads a classifier.
///
/// # Errors
/// Where a file is missing or damaged, or asks for what there is no code for.
pub fn load(
    source: &Source<'_>,
    architecture: Architecture,
    computation: &Computation,
    purpose: Purpose,
) -> Result<Classifier, LoadError> {
    assemble(source, architecture, computation, purpose).map(|(classifier, _)| classifier)
}

fn assemble(
    source: &Source<'_>,
    architecture: Architecture,
    computation: &Computation,
    purpose: Purpose,
) -> Result<(Classifier, Usage), LoadError> {
    let folder = source.folder;
    let config = Config::read(folder, architecture)?;
    let labels = labels::read(folder)?;
    let tokens = Tokens::read(folder, &config, config.max_tokens(), false)?;
    let ignorable = |name: &str| model::is_ignorable(architecture, name);
    let (model, usage) = weights::assemble(source, purpose, ignorable, |weights| {
        Model::load(weights, config.clone(), labels.len(), computation.clone())
    })?;
    Ok((Classifier { model, tokens, labels }, usage))
}

impl Classifier {
    fn classify(&self, job: &ClassifyJob, control: &Control) -> Result<Vec<Vec<LabelScore>>, EngineError> {
        let texts = self.tokens.of_all(&job.texts, control)?;
        let lengths: Vec<usize> = texts.iter().map(Vec::len).collect();
        let mut answers = Vec::with_capacity(texts.len());
        for batch in in_batches(&lengths) {
            let texts: Vec<&[u32]> = texts[batch].iter().map(Vec::as_slice).collect();
            let probabilities = self.probabilities(&texts, control)?;
            answers.extend(probabilities.into_iter().map(|probabilities| self.labelled(probabilities)));
        }
        Ok(answers)
    }

    /// For each text the probability of each label.
    fn probabilities(&self, texts: &[&[u32]], control: &Control) -> Result<Vec<Vec<f32>>, EngineError> {
        let mut texts = self.model.logits(texts, control)?;
        if texts.iter().flatten().any(|logit| !logit.is_finite()) {
            return Err(EngineError::NotFinite("a logit"));
        }
        texts.iter_mut().for_each(|logits| softmax(logits));
        Ok(texts)
    }

    /// Every label with its probability, most probable first; the earlier of equal ones first.
    fn labelled(&self, probabilities: Vec<f32>) -> Vec<LabelScore> {
        let mut labels: Vec<LabelScore> = self
            .labels
            .iter()
            .zip(probabilities)
            .map(|(label, score)| LabelScore { label: label.clone(), score })
            .collect();
        labels.sort_by(|left, right| right.score.total_cmp(&left.score));
        labels
    }
}

impl Engine for Classifier {
    fn run(&self, job: &Job, control: &Control) -> Result<Output, EngineError> {
        match job {
            Job::Classify(job) => self.classify(job, control).map(Output::Labels),
            other => Err(EngineError::WrongTask(other.verb())),
        }
    }

    fn canary(&self) -> Result<(), EngineError> {
        let tokens = self.tokens.of("1")?;
        self.probabilities(&[&tokens], &Control::default()).map(drop)
    }
}

/// Logits become probabilities.
fn softmax(logits: &mut [f32]) {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    logits.iter_mut().for_each(|logit| *logit = (*logit - largest).exp());
    let sum: f32 = logits.iter().sum();
    logits.iter_mut().for_each(|probability| *probability /= sum);
}

#[cfg(test)]
mod tests;
