//! MarianMT: translation models of the `opus-mt` family, straight from their files.

mod config;
mod decoding;
mod layers;
mod model;
mod tokenizer;
mod translate;

use std::path::Path;

use crate::engine::{Control, Engine, EngineError, Job, Output};
use crate::error::LoadError;
use crate::files;
use crate::footprint::Footprint;
use crate::generate::{GenerationConfig, LogitsProcessor};
use crate::weights::pickle::PicklePolicy;
use crate::weights::{Purpose, Usage, Weights};
use config::Config;
use model::Model;
use tokenizer::MarianTokenizer;

/// The most sentences that are translated at once.
const MAX_SENTENCES: usize = 16;
/// What the caches of the sentences that are translated at once may take together, in bytes, as long as one
/// sentence alone does not need more.
const CACHE_BUDGET_BYTES: u64 = 192 << 20;
/// The most beams that a job may ask for, where the repository does not ask for more.
const MAX_JOB_BEAMS: usize = 12;

/// A loaded translation model.
pub struct Marian {
    model: Model,
    tokenizer: MarianTokenizer,
    generation: GenerationConfig,
    processors: Vec<Box<dyn LogitsProcessor>>,
    pad: u32,
    start: u32,
    max_source_tokens: usize,
    max_target_tokens: usize,
    max_beams: usize,
}

/// Measures a model from config.json and the headers of its weights.
///
/// # Errors
/// As [`load`], but for what only the weights' numbers show.
pub fn inspect(folder: &Path, pickle: &PicklePolicy) -> Result<Footprint, LoadError> {
    let (marian, usage) = assemble(folder, pickle, Purpose::Measure)?;
    Ok(Footprint::new(usage, marian.scratch_bytes()))
}

/// Loads a model.
///
/// # Errors
/// Where a file is missing or damaged, or asks for what there is no code for.
pub fn load(folder: &Path, pickle: &PicklePolicy, purpose: Purpose) -> Result<Marian, LoadError> {
    assemble(folder, pickle, purpose).map(|(marian, _)| marian)
}

fn assemble(folder: &Path, pickle: &PicklePolicy, purpose: Purpose) -> Result<(Marian, Usage), LoadError> {
    let config = Config::read(folder)?;
    let generation = GenerationConfig::read(folder)?;
    let tokenizer = MarianTokenizer::read(folder, config.source_vocabulary, config.target_vocabulary)?;
    let needed = |field: &str, value: Option<u32>, size: usize| match value {
        Some(token) if (token as usize) < size => Ok(token),
        Some(token) => {
            Err(LoadError::Incompatible(format!("{field} is {token}, but the vocabulary has {size} tokens")))
        }
        None => Err(LoadError::corrupted(files::CONFIG, format!("it has no {field}"))),
    };
    let start = generation.decoder_start_token_id.or(generation.bos_token_id);
    let start = needed("decoder_start_token_id", start, config.target_vocabulary)?;
    let pad = needed("pad_token_id", generation.pad_token_id, config.source_vocabulary)?;
    // The position table ends there: transformers fails beyond it.
    let max_target_tokens = generation.max_length(1).clamp(2, config.positions);
    let max_source_tokens = tokenizer.max_length.unwrap_or(usize::MAX).min(config.positions);
    let weights = Weights::open(folder, pickle, purpose)?;
    let model = Model::load(&weights, config)?;
    let usage = weights.finish(model::is_ignorable)?;
    let marian = Marian {
        processors: generation.processors(1, max_target_tokens),
        max_beams: MAX_JOB_BEAMS.max(generation.num_beams.unwrap_or(1)),
        model,
        tokenizer,
        generation,
        pad,
        start,
        max_source_tokens,
        max_target_tokens,
    };
    Ok((marian, usage))
}

impl Marian {
    /// How many sentences go through the model at once, so that their caches stay within the budget.
    fn sentences_at_once(&self, beams: usize) -> usize {
        let one = self.sentence_bytes(beams).max(1);
        usize::try_from(CACHE_BUDGET_BYTES / one).unwrap_or(MAX_SENTENCES).clamp(1, MAX_SENTENCES)
    }

    /// The most that one sentence takes while it is translated with `beams`: its self-attention keys and values
    /// (once more while rows change places), those of cross-attention, the encoder's and decoder's passing
    /// states and scores, and the logits with their copies.
    fn sentence_bytes(&self, beams: usize) -> u64 {
        let config = &self.model.config;
        let [width, source, target] =
            [config.width, self.max_source_tokens, self.max_target_tokens].map(|size| size as u64);
        let beams = beams as u64;
        let layers = config.decoder.layers as u64;
        let past = 2 * beams * target * width * (layers + 1);
        let memory = 2 * source * width * layers;
        let encoder_states = source * (8 * width + 2 * config.encoder.feed_forward as u64);
        let encoder_scores = 3 * config.encoder.heads as u64 * source * source;
        let cross_scores = 3 * beams * config.decoder.heads as u64 * source.max(target);
        let logits = 4 * beams * config.target_vocabulary as u64;
        4 * (past + memory + encoder_states.max(logits + cross_scores) + encoder_scores)
    }

    fn scratch_bytes(&self) -> u64 {
        (1..=self.max_beams)
            .map(|beams| self.sentence_bytes(beams) * self.sentences_at_once(beams) as u64)
            .max()
            .unwrap_or(0)
    }
}

impl Engine for Marian {
    fn run(&self, job: &Job, control: &Control) -> Result<Output, EngineError> {
        match job {
            Job::Translate(job) => self.translate(job, control).map(Output::Translations),
            Job::Transcribe(_) => Err(EngineError::WrongTask("transcribe")),
            Job::Classify(_) => Err(EngineError::WrongTask("classify")),
        }
    }

    fn canary(&self) -> Result<(), EngineError> {
        let tokens = self.tokenizer.encode("1").map_err(EngineError::Tokenizer)?;
        // The search refuses logits that are not finite; one step through every layer is enough.
        let control = Control::default();
        let encoded = self.model.encode(&[tokens], self.pad, &control)?;
        let mut past = vec![None; self.model.config.decoder.layers];
        let logits = self.model.decode(&[self.start], 0, &encoded, &mut past, &control)?;
        let logits: Vec<f32> = logits.flatten_all()?.to_vec1()?;
        if logits.iter().all(|logit| logit.is_finite()) {
            Ok(())
        } else {
            Err(EngineError::NotFinite("the output of the first step"))
        }
    }
}

#[cfg(test)]
mod tests;
