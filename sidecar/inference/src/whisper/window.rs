//! Decoding one window: the prompt is read once, then tokens are chosen greedily, by beams or at random.

use candle_core::{IndexOp, Tensor};

use super::decoder::{CrossMemory, Decoder, DecoderState};
use super::prompt::Prompt;
use super::rules::DecodingRules;
use super::sampling;
use crate::engine::{Control, EngineError};
use crate::generate::{self, BeamOptions, LogitsProcessor, SearchOptions};

/// What holds for every attempt at a window.
pub(super) struct WindowOptions<'a> {
    /// What the decoder reads first.
    pub(super) prompt: &'a Prompt,
    /// Which tokens may follow, in the order the rules apply.
    pub(super) processors: Vec<Box<dyn LogitsProcessor>>,
    /// How to search; with one beam the search is greedy.
    pub(super) beam: BeamOptions,
    /// The token of "no speech".
    pub(super) no_speech: u32,
}

/// A window whose prompt the decoder has read.
pub(super) struct Window<'a> {
    decoder: &'a Decoder,
    cross: CrossMemory,
    options: WindowOptions<'a>,
    after_prompt: DecoderState,
    first_logits: Vec<f32>,
    /// The probability that the window holds no speech.
    pub(super) no_speech_probability: f32,
}

/// A window's tokens and how sure the model is of them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Attempt {
    /// Without the prompt and the end token.
    pub(super) tokens: Vec<u32>,
    /// The mean log probability of the tokens, the end token included.
    pub(super) average_log_probability: f32,
}

impl<'a> Window<'a> {
    pub(super) fn open(
        decoder: &'a Decoder,
        encoded: &Tensor,
        options: WindowOptions<'a>,
        control: &Control,
    ) -> Result<Self, EngineError> {
        let cross = decoder.remember(encoded)?;
        let mut after_prompt = DecoderState::default();
        let states = decoder.forward(&[&options.prompt.tokens], &cross, &mut after_prompt, control)?;
        let last = options.prompt.tokens.len() - 1;
        let rows = Tensor::cat(&[states.i((.., options.prompt.start_at))?, states.i((.., last))?], 0)?;
        let rows = decoder.logits(&rows)?;
        let (at_start, first_logits) = rows.split_at(rows.len() / 2);
        let no_speech_probability = sampling::probability(at_start, options.no_speech);
        let first_logits = first_logits.to_vec();
        Ok(Self { decoder, cross, options, after_prompt, first_logits, no_speech_probability })
    }

    /// The most probable tokens that the search finds.
    pub(super) fn search(&self, control: &Control) -> Result<Attempt, EngineError> {
        let mut rows = Rows { window: self, state: self.after_prompt.clone(), is_fresh: true };
        let options = SearchOptions { beam: self.options.beam.clone(), processors: &self.options.processors };
        let prompt = std::slice::from_ref(&self.options.prompt.tokens);
        let best = generate::search(&mut rows, prompt, &options, control)?.pop();
        let best = best.ok_or(EngineError::NotFinite("every logit"))?;
        Ok(self.attempt(best.tokens, best.log_probability))
    }

    /// Chooses one token after another where `uniform` draws, at a temperature above 0.
    pub(super) fn sample(
        &self,
        temperature: f32,
        mut uniform: impl FnMut() -> f64,
        control: &Control,
    ) -> Result<Attempt, EngineError> {
        let mut rows = Rows { window: self, state: self.after_prompt.clone(), is_fresh: true };
        let mut tokens = self.options.prompt.tokens.clone();
        let mut feed = tokens.clone();
        let mut log_probability = 0.0;
        loop {
            let mut logits = generate::Decoder::step(&mut rows, &[feed], control)?;
            if logits.iter().any(|logit| !logit.is_finite()) {
                return Err(EngineError::NotFinite("a logit"));
            }
            for processor in &self.options.processors {
                processor.apply(&tokens, &mut logits);
            }
            // The rules never forbid everything: where text is forbidden, the end or a timestamp is left.
            let choice = sampling::at(&logits, temperature, uniform());
            let choice = choice.ok_or(EngineError::NotFinite("every logit"))?;
            log_probability += choice.log_probability;
            tokens.push(choice.token);
            let beam = &self.options.beam;
            if beam.end_tokens.contains(&choice.token) || tokens.len() >= beam.max_length {
                return Ok(self.attempt(tokens.split_off(self.options.prompt.tokens.len()), log_probability));
            }
            feed = vec![choice.token];
        }
    }

    fn attempt(&self, mut tokens: Vec<u32>, log_probability: f32) -> Attempt {
        let average_log_probability = log_probability / tokens.len().max(1) as f32;
        if tokens.last().is_some_and(|last| self.options.beam.end_tokens.contains(last)) {
            tokens.pop();
        }
        Attempt { tokens, average_log_probability }
    }
}

/// The rows of a search over a window. The first step finds the prompt read already.
struct Rows<'a> {
    window: &'a Window<'a>,
    state: DecoderState,
    is_fresh: bool,
}

impl generate::Decoder for Rows<'_> {
    fn vocabulary(&self) -> usize {
        self.window.first_logits.len()
    }

    fn step(&mut self, tokens: &[Vec<u32>], control: &Control) -> Result<Vec<f32>, EngineError> {
        if std::mem::take(&mut self.is_fresh) {
            return Ok(self.window.first_logits.clone());
        }
        let rows: Vec<&[u32]> = tokens.iter().map(Vec::as_slice).collect();
        let decoder = self.window.decoder;
        let states = decoder.forward(&rows, &self.window.cross, &mut self.state, control)?;
        decoder.logits(&states.i((.., states.dim(1)? - 1))?)
    }

    fn reorder(&mut self, parents: &[usize]) -> Result<(), EngineError> {
        Ok(self.state.reorder(parents)?)
    }
}

/// Whisper's own rules, which see the window's tokens without the prompt.
pub(super) struct AfterPrompt {
    pub(super) rules: DecodingRules,
    pub(super) prompt_length: usize,
}

impl LogitsProcessor for AfterPrompt {
    fn apply(&self, tokens: &[u32], scores: &mut [f32]) {
        self.rules.apply(tokens.get(self.prompt_length..).unwrap_or_default(), scores);
    }
}
