//! Sentences of tokens in, sentences of tokens out: the model with the search that its repository asks for.

use super::architecture::Architecture;
use super::forward::Forward;
use crate::engine::{Control, EngineError};
use crate::error::LoadError;
use crate::files;
use crate::generate::{self, Decoder, GenerationConfig, Hypothesis, SearchOptions};
use ostler_kernels::Lanes;

/// The most sentences that are translated at once.
const MAX_SENTENCES: usize = 32;
/// The most rows that are decoded at once: a row is a beam of a sentence.
const MAX_ROWS: usize = 64;
/// The most tokens of all sentences that are translated at once, where one alone does not have more.
const MAX_TOKENS: usize = 1024;
/// What the caches of the sentences that are translated at once may take together, in bytes, as long as one
/// sentence alone does not need more.
const CACHE_BUDGET_BYTES: u64 = 64 << 20;
/// The most beams that a job may ask for, where the repository does not ask for more.
const MAX_JOB_BEAMS: usize = 12;

/// The sequences of tokens that a search found for a sentence, best first.
pub(super) type Found = Vec<Vec<u32>>;

pub(super) struct Translator {
    pub(super) architecture: Architecture,
    pub(super) model: Box<dyn Forward>,
    pub(super) generation: GenerationConfig,
    pub(super) limits: Limits,
}

/// The special tokens and the greatest lengths, checked against the model's sizes.
pub(super) struct Limits {
    pub(super) start: u32,
    /// The longest sentence in tokens, the one that ends it included.
    pub(super) source_tokens: usize,
    /// The longest translation in tokens, the ones that start and end it included.
    pub(super) target_tokens: usize,
    pub(super) beams: usize,
}

impl Limits {
    /// # Errors
    /// Where the token that starts a text is missing or beyond its vocabulary.
    pub(super) fn new(
        generation: &GenerationConfig,
        model: &Architecture,
        longest_source: Option<usize>,
    ) -> Result<Self, LoadError> {
        let start = generation.decoder_start_token_id.or(generation.bos_token_id);
        let start = match start {
            Some(token) if (token as usize) < model.target_vocabulary => token,
            Some(token) => {
                return Err(LoadError::Incompatible(format!(
                    "decoder_start_token_id is {token}, but the vocabulary has {} tokens",
                    model.target_vocabulary
                )));
            }
            None => return Err(LoadError::corrupted(files::CONFIG, "it has no decoder_start_token_id")),
        };
        Ok(Self {
            start,
            source_tokens: longest_source.unwrap_or(usize::MAX).clamp(2, model.longest),
            // The table of positions ends there: transformers fails beyond it.
            target_tokens: generation.max_length(1).clamp(2, model.longest),
            beams: MAX_JOB_BEAMS.max(generation.num_beams.unwrap_or(1)),
        })
    }
}

impl Translator {
    /// The beams that a job asks for, else the repository; more where `alternatives` are to be found beside the best.
    ///
    /// # Errors
    /// [`EngineError::InvalidInput`] where there are none or too many.
    pub(super) fn beams(&self, asked: Option<usize>, alternatives: usize) -> Result<usize, EngineError> {
        let most = self.limits.beams;
        let refused = |parameter, message| Err(EngineError::InvalidInput { parameter, message });
        if alternatives >= most {
            return refused("alternatives", format!("{alternatives} must be at most {}", most - 1));
        }
        let beams = asked.or(self.generation.num_beams).unwrap_or(1);
        if !(1..=most).contains(&beams) {
            return refused("beams", format!("{beams} must be 1 to {most}"));
        }
        Ok(beams.max(alternatives + 1))
    }

    /// How many of the first of these lengths, in tokens, are translated together; at least one.
    pub(super) fn sentences_at_once(&self, lengths: impl Iterator<Item = usize>, beams: usize) -> usize {
        let most = (MAX_ROWS / beams).clamp(1, MAX_SENTENCES);
        let sums = lengths.scan(0, |sum, length| {
            *sum += length;
            Some(*sum)
        });
        sums.take(most).take_while(|sum| *sum <= MAX_TOKENS).count().max(1)
    }

    /// The most that a job takes beside the weights, in bytes: what the encoder works on and leaves behind, the
    /// caches of the decoder (of which one is twice there while it grows), and the logits with their prompt's.
    pub(super) fn scratch_bytes(&self) -> u64 {
        let model = &self.architecture;
        let number = |size: usize| size as u64;
        let inner = model.encoder.feed_forward.max(model.decoder.feed_forward);
        let cached = model.cache_row();
        let row = number(3 * model.width + cached + inner + model.width.max(inner));
        let memory = number(cached * model.decoder.layers * self.model.cached_number_bytes());
        let tokens = number(MAX_TOKENS.max(self.limits.source_tokens));
        let beams = number(self.limits.beams);
        let longest = beams * number(self.limits.target_tokens) * self.cache_row_bytes();
        let logits = 2 * number(MAX_ROWS).max(beams) * number(model.target_vocabulary);
        tokens * (4 * row + memory) + 4 * logits + CACHE_BUDGET_BYTES.max(longest)
    }

    /// What one token of one row takes in the decoder's caches, with what they grow ahead.
    fn cache_row_bytes(&self) -> u64 {
        let numbers = self.architecture.cache_row() * self.architecture.decoder.layers;
        2 * (self.model.cached_number_bytes() * numbers) as u64
    }

    /// The sequences of tokens that the search finds for each sentence of tokens, best first, without the one that
    /// starts a text. Each begins with `forced_begin`, where there is one.
    ///
    /// # Errors
    /// [`EngineError::Cancelled`] where `control` says so, [`EngineError::NotFinite`] where the weights are
    /// damaged.
    pub(super) fn generate(
        &self,
        sentences: &[&[u32]],
        forced_begin: Option<u32>,
        beams: usize,
        control: &Control,
    ) -> Result<Vec<Found>, EngineError> {
        let mut generation = self.generation.clone();
        generation.forced_bos_token_id = forced_begin.or(generation.forced_bos_token_id);
        let mut beam = generation.beam_options(Some(beams), 1);
        beam.max_length = self.limits.target_tokens;
        let processors = generation.processors(1, self.limits.target_tokens);
        let options = SearchOptions { beam, processors: &processors };
        self.search(sentences, &options, CACHE_BUDGET_BYTES / self.cache_row_bytes().max(1), control)
    }

    /// Searches all sentences together, or, where they come to more than `most_rows` tokens in the decoder's caches,
    /// each half on its own: nothing changes but how long it takes, and few texts are so long.
    pub(super) fn search(
        &self,
        sentences: &[&[u32]],
        options: &SearchOptions<'_>,
        most_rows: u64,
        control: &Control,
    ) -> Result<Vec<Found>, EngineError> {
        let decoder = self.model.start(sentences, control)?;
        let bound = if sentences.len() > 1 { most_rows } else { u64::MAX };
        let mut bounded = Bounded { decoder, rows: 0, most_rows: bound, is_over: false };
        let prompts = vec![vec![self.limits.start]; sentences.len()];
        let found = generate::search_all(&mut bounded, &prompts, options, control);
        if bounded.is_over {
            let (first, second) = sentences.split_at(sentences.len() / 2);
            drop(bounded);
            let mut found = self.search(first, options, most_rows, control)?;
            found.extend(self.search(second, options, most_rows, control)?);
            return Ok(found);
        }
        let tokens = |found: Vec<Hypothesis>| found.into_iter().map(|hypothesis| hypothesis.tokens).collect();
        Ok(found?.into_iter().map(tokens).collect())
    }

    /// One step through every layer for a sentence of tokens.
    ///
    /// # Errors
    /// [`EngineError::NotFinite`] where it gives a number that is none.
    pub(super) fn check(&self, sentence: &[u32]) -> Result<(), EngineError> {
        let control = Control::default();
        let mut logits = Vec::new();
        self.model.start(&[sentence], &control)?.step(&[vec![self.limits.start]], &mut logits, &control)?;
        if logits.iter().all(|logit| logit.is_finite()) {
            Ok(())
        } else {
            Err(EngineError::NotFinite("the output of the first step"))
        }
    }
}

/// A decoder that gives up when its caches have too many rows.
struct Bounded<'a> {
    decoder: Box<dyn Decoder + 'a>,
    rows: u64,
    most_rows: u64,
    is_over: bool,
}

impl Decoder for Bounded<'_> {
    fn vocabulary(&self) -> usize {
        self.decoder.vocabulary()
    }

    fn step(
        &mut self,
        tokens: &[Vec<u32>],
        logits: &mut Vec<f32>,
        control: &Control,
    ) -> Result<(), EngineError> {
        self.rows += tokens.len() as u64;
        if self.rows > self.most_rows {
            self.is_over = true;
            return Err(EngineError::Cancelled);
        }
        self.decoder.step(tokens, logits, control)
    }

    fn reorder(&mut self, parents: &[usize]) -> Result<(), EngineError> {
        self.decoder.reorder(parents)
    }

    fn lanes(&self) -> Option<&Lanes<'_>> {
        self.decoder.lanes()
    }
}
