//! Sentences of tokens in, sentences of tokens out: the model with the search that its repository asks for.

use super::decoding::Decoding;
use super::model::Model;
use crate::engine::{Control, EngineError};
use crate::error::LoadError;
use crate::files;
use crate::generate::{self, GenerationConfig, LogitsProcessor, SearchOptions};

/// The most sentences that are translated at once.
const MAX_SENTENCES: usize = 16;
/// What the caches of the sentences that are translated at once may take together, in bytes, as long as one
/// sentence alone does not need more.
const CACHE_BUDGET_BYTES: u64 = 192 << 20;
/// The most beams that a job may ask for, where the repository does not ask for more.
const MAX_JOB_BEAMS: usize = 12;

pub(super) struct Translator {
    pub(super) model: Model,
    pub(super) generation: GenerationConfig,
    pub(super) limits: Limits,
    processors: Vec<Box<dyn LogitsProcessor>>,
}

/// The special tokens and the greatest lengths, checked against the model's sizes.
pub(super) struct Limits {
    pub(super) pad: u32,
    pub(super) start: u32,
    /// The longest sentence in tokens, the one that ends it included.
    pub(super) source_tokens: usize,
    /// The longest translation in tokens, the ones that start and end it included.
    pub(super) target_tokens: usize,
    pub(super) beams: usize,
}

impl Limits {
    /// # Errors
    /// Where a special token is missing or beyond its vocabulary.
    pub(super) fn new(
        generation: &GenerationConfig,
        (source_size, target_size): (usize, usize),
        positions: usize,
        longest_source: Option<usize>,
    ) -> Result<Self, LoadError> {
        let needed = |field: &str, value: Option<u32>, size: usize| match value {
            Some(token) if (token as usize) < size => Ok(token),
            Some(token) => Err(LoadError::Incompatible(format!(
                "{field} is {token}, but the vocabulary has {size} tokens"
            ))),
            None => Err(LoadError::corrupted(files::CONFIG, format!("it has no {field}"))),
        };
        let start = generation.decoder_start_token_id.or(generation.bos_token_id);
        Ok(Self {
            start: needed("decoder_start_token_id", start, target_size)?,
            pad: needed("pad_token_id", generation.pad_token_id, source_size)?,
            source_tokens: longest_source.unwrap_or(usize::MAX).clamp(2, positions),
            // The table of positions ends there: transformers fails beyond it.
            target_tokens: generation.max_length(1).clamp(2, positions),
            beams: MAX_JOB_BEAMS.max(generation.num_beams.unwrap_or(1)),
        })
    }
}

impl Translator {
    pub(super) fn new(model: Model, generation: GenerationConfig, limits: Limits) -> Self {
        let processors = generation.processors(1, limits.target_tokens);
        Self { model, generation, limits, processors }
    }

    /// The beams that a job asks for, else the repository.
    ///
    /// # Errors
    /// [`EngineError::InvalidInput`] where there are none or too many.
    pub(super) fn beams(&self, asked: Option<usize>) -> Result<usize, EngineError> {
        let most = self.limits.beams;
        match asked {
            None => Ok(self.generation.num_beams.unwrap_or(1)),
            Some(beams) if (1..=most).contains(&beams) => Ok(beams),
            Some(beams) => Err(EngineError::InvalidInput {
                parameter: "beams",
                message: format!("{beams} must be 1 to {most}"),
            }),
        }
    }

    /// How many sentences go through the model at once, so that their caches stay within the budget.
    pub(super) fn sentences_at_once(&self, beams: usize) -> usize {
        let one = self.sentence_bytes(beams).max(1);
        usize::try_from(CACHE_BUDGET_BYTES / one).unwrap_or(MAX_SENTENCES).clamp(1, MAX_SENTENCES)
    }

    /// The most that a job takes beside the weights, in bytes.
    pub(super) fn scratch_bytes(&self) -> u64 {
        (1..=self.limits.beams)
            .map(|beams| self.sentence_bytes(beams) * self.sentences_at_once(beams) as u64)
            .max()
            .unwrap_or(0)
    }

    /// The most that one sentence takes while it is translated with `beams`: its self-attention keys and values
    /// (those of one layer once more while they grow), those of cross-attention, the encoder's and decoder's
    /// passing states and scores, and the logits with their copies.
    fn sentence_bytes(&self, beams: usize) -> u64 {
        let config = &self.model.config;
        let [width, source, target] =
            [config.width, self.limits.source_tokens, self.limits.target_tokens].map(|size| size as u64);
        let beams = beams as u64;
        let layers = config.decoder.layers as u64;
        let past = 2 * beams * target * width * (layers + 1);
        let memory = 2 * source * width * layers;
        let encoder_states = source * (8 * width + 2 * config.encoder.feed_forward as u64);
        let encoder_scores = 3 * config.encoder.heads as u64 * source * source;
        let decoder_scores = 3 * beams * config.decoder.heads as u64 * source.max(target);
        let logits = 4 * beams * config.target_vocabulary as u64;
        4 * (past + memory + (encoder_states + encoder_scores).max(logits + decoder_scores))
    }

    /// The tokens that the search finds for each sentence of tokens, without the one that starts a text.
    ///
    /// # Errors
    /// [`EngineError::Cancelled`] where `control` says so, [`EngineError::NotFinite`] where the weights are
    /// damaged.
    pub(super) fn generate(
        &self,
        sentences: &[Vec<u32>],
        beams: usize,
        control: &Control,
    ) -> Result<Vec<Vec<u32>>, EngineError> {
        let encoded = self.model.encode(sentences, self.limits.pad, control)?;
        let mut decoding = Decoding::new(&self.model, encoded, sentences.len());
        let mut beam = self.generation.beam_options(Some(beams), 1);
        beam.max_length = self.limits.target_tokens;
        let options = SearchOptions { beam, processors: &self.processors };
        let prompts = vec![vec![self.limits.start]; sentences.len()];
        let found = generate::search(&mut decoding, &prompts, &options, control)?;
        Ok(found.into_iter().map(|hypothesis| hypothesis.tokens).collect())
    }

    /// One step through every layer for a sentence of tokens.
    ///
    /// # Errors
    /// [`EngineError::NotFinite`] where it gives a number that is none.
    pub(super) fn check(&self, sentence: Vec<u32>) -> Result<(), EngineError> {
        let control = Control::default();
        let encoded = self.model.encode(&[sentence], self.limits.pad, &control)?;
        let mut past = vec![None; self.model.config.decoder.layers];
        let logits = self.model.decode(&[self.limits.start], 0, &encoded, &mut past, &control)?;
        let logits: Vec<f32> = logits.flatten_all()?.to_vec1()?;
        if logits.iter().all(|logit| logit.is_finite()) {
            Ok(())
        } else {
            Err(EngineError::NotFinite("the output of the first step"))
        }
    }
}
