//! Text classification with XLM-R and BERT, whose computation is candle-transformers'.

mod config;
mod model;

use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use candle_nn::ops::softmax_last_dim;
use tokenizers::Tokenizer;

use crate::engine::{ClassifyJob, Control, Engine, EngineError, Job, LabelScore, Output};
use crate::error::LoadError;
use crate::files;
use crate::footprint::Footprint;
use crate::tokenize;
use crate::weights::pickle::PicklePolicy;
use crate::weights::{Purpose, Usage, Weights};
pub use config::Architecture;
use config::Config;
use model::Model;

/// The most tokens that are classified at once, padding included, unless one text alone has more. A job can be
/// cancelled between batches, so they are short.
const MAX_BATCH_TOKENS: usize = 1024;
/// The most texts that are classified at once.
const MAX_BATCH: usize = 32;
/// The most texts of a job.
const MAX_TEXTS: usize = 4096;
/// What of a text is read, in bytes: far more than the most tokens hold.
const MAX_TEXT_BYTES: usize = 32 << 10;

/// A loaded classifier.
pub struct Classifier {
    model: Model,
    tokenizer: Tokenizer,
    config: Config,
    max_tokens: usize,
}

/// Measures a classifier from config.json and the headers of its weights.
///
/// # Errors
/// As [`load`], but for what only the weights' numbers show.
pub fn inspect(
    folder: &Path,
    architecture: Architecture,
    pickle: &PicklePolicy,
) -> Result<Footprint, LoadError> {
    let (classifier, usage) = assemble(folder, architecture, pickle, Purpose::Measure)?;
    let longest = classifier.max_tokens;
    let numbers = classifier.config.states(MAX_BATCH_TOKENS.max(longest), longest);
    Ok(Footprint::new(usage, 4 * numbers))
}

/// Loads a classifier.
///
/// # Errors
/// Where a file is missing or damaged, or asks for what there is no code for.
pub fn load(
    folder: &Path,
    architecture: Architecture,
    pickle: &PicklePolicy,
    purpose: Purpose,
) -> Result<Classifier, LoadError> {
    assemble(folder, architecture, pickle, purpose).map(|(classifier, _)| classifier)
}

fn assemble(
    folder: &Path,
    architecture: Architecture,
    pickle: &PicklePolicy,
    purpose: Purpose,
) -> Result<(Classifier, Usage), LoadError> {
    let config = Config::read(folder)?;
    let tokenizer = tokenize::read_tokenizer(folder)?;
    let tokens = tokenizer.get_vocab(true);
    if let Some((token, id)) = tokens.iter().find(|(_, id)| **id as usize >= config.vocabulary()) {
        let message = format!(
            "{}: the token {token:?} has the number {id}, config.json says that the vocabulary has {}",
            files::TOKENIZER,
            config.vocabulary()
        );
        return Err(LoadError::Incompatible(message));
    }
    let weights = Arc::new(Weights::open(folder, pickle, purpose)?);
    let model = Model::load(&weights, &config, architecture)?;
    let usage = weights.finish(|name| model::is_ignorable(architecture, name))?;
    let max_tokens = config.max_tokens(architecture);
    Ok((Classifier { model, tokenizer, config, max_tokens }, usage))
}

impl Classifier {
    fn classify(&self, job: &ClassifyJob, control: &Control) -> Result<Vec<Vec<LabelScore>>, EngineError> {
        if job.texts.len() > MAX_TEXTS {
            let message =
                format!("there are {}, at most {MAX_TEXTS} are classified at once", job.texts.len());
            return Err(EngineError::InvalidInput { parameter: "texts", message });
        }
        let mut texts = Vec::with_capacity(job.texts.len());
        for text in &job.texts {
            control.check()?;
            texts.push(self.tokens(text)?);
        }
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|text| std::cmp::Reverse(texts[*text].len()));
        let mut answers = vec![Vec::new(); texts.len()];
        let mut rest = order.as_slice();
        while let Some(longest) = rest.first() {
            control.check()?;
            // The longest of them comes first, and the others are filled up to it.
            let fitting = MAX_BATCH_TOKENS / texts[*longest].len().max(1);
            let (batch, others) = rest.split_at(fitting.clamp(1, MAX_BATCH).min(rest.len()));
            rest = others;
            let tokens: Vec<&[u32]> = batch.iter().map(|text| texts[*text].as_slice()).collect();
            for (text, probabilities) in batch.iter().zip(self.probabilities(&tokens)?) {
                answers[*text] = self.labelled(probabilities);
            }
        }
        Ok(answers)
    }

    /// The tokens of a text, cut to what the model takes as transformers' pipeline cuts them: the special ones
    /// at both ends stay.
    fn tokens(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        let end = text.floor_char_boundary(MAX_TEXT_BYTES);
        let failed = |error: tokenizers::Error| EngineError::Tokenizer(error.to_string());
        let mut encoding = self.tokenizer.encode(&text[..end], false).map_err(failed)?;
        let special = self.tokenizer.get_post_processor().map_or(0, |processor| {
            use tokenizers::PostProcessor;
            processor.added_tokens(false)
        });
        encoding.truncate(
            self.max_tokens.saturating_sub(special).max(1),
            0,
            tokenizers::TruncationDirection::Right,
        );
        let encoding = self.tokenizer.post_process(encoding, None, true).map_err(failed)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// For each text the probability of each label.
    fn probabilities(&self, texts: &[&[u32]]) -> Result<Vec<Vec<f32>>, EngineError> {
        let logits = self.logits(texts)?;
        let logits_are_finite = logits.flatten_all()?.to_vec1::<f32>()?.iter().all(|logit| logit.is_finite());
        if !logits_are_finite {
            return Err(EngineError::NotFinite("a logit"));
        }
        Ok(softmax_last_dim(&logits)?.to_vec2()?)
    }

    /// Texts x labels. Shorter texts are filled up and masked.
    fn logits(&self, texts: &[&[u32]]) -> Result<Tensor, EngineError> {
        let longest = texts.iter().map(|text| text.len()).max().unwrap_or(0).max(1);
        let shape = (texts.len(), longest);
        let pad = self.config.pad();
        let filled = |text: &&[u32]| {
            let missing = longest - text.len();
            text.iter().copied().chain(std::iter::repeat_n(pad, missing)).collect::<Vec<_>>()
        };
        let shown = |text: &&[u32]| {
            let missing = longest - text.len();
            std::iter::repeat_n(1u32, text.len()).chain(std::iter::repeat_n(0, missing))
        };
        let tokens =
            Tensor::from_vec(texts.iter().flat_map(filled).collect::<Vec<_>>(), shape, &Device::Cpu)?;
        let mask = Tensor::from_vec(texts.iter().flat_map(shown).collect::<Vec<_>>(), shape, &Device::Cpu)?;
        let kinds = Tensor::zeros(shape, DType::U32, &Device::Cpu)?;
        Ok(self.model.logits(&tokens, &mask, &kinds)?)
    }

    /// Every label with its probability, most probable first; the earlier of equal ones first.
    fn labelled(&self, probabilities: Vec<f32>) -> Vec<LabelScore> {
        let mut labels: Vec<LabelScore> = self
            .config
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
            Job::Transcribe(_) => Err(EngineError::WrongTask("transcribe")),
            Job::Translate(_) => Err(EngineError::WrongTask("translate")),
        }
    }

    fn canary(&self) -> Result<(), EngineError> {
        let tokens = self.tokens("1")?;
        self.probabilities(&[&tokens]).map(drop)
    }
}

#[cfg(test)]
mod tests;
