//! Decoding windows: the prompt is read once, then tokens are chosen greedily, by beams or at random.

use super::forward::{Forward, Session};
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

/// Windows whose prompt the decoder has read.
pub(super) struct Windows<'a, F: Forward + 'a> {
    vocabulary: usize,
    options: WindowOptions<'a>,
    /// A row for each window.
    after_prompt: F::Session<'a>,
    /// The logits of the first token, window after window.
    first_logits: Vec<f32>,
    /// For each window the probability that it holds no speech.
    pub(super) no_speech_probabilities: Vec<f32>,
}

/// A window's tokens and how sure the model is of them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Attempt {
    /// Without the prompt and the end token.
    pub(super) tokens: Vec<u32>,
    /// The mean log probability of the tokens, the end token included.
    pub(super) average_log_probability: f32,
}

impl<'a, F: Forward> Windows<'a, F> {
    pub(super) fn open(
        forward: &'a F,
        memories: &[&'a F::Memory],
        options: WindowOptions<'a>,
        control: &Control,
    ) -> Result<Self, EngineError> {
        let Prompt { tokens, start_at } = options.prompt;
        let vocabulary = forward.vocabulary();
        let mut after_prompt = forward.session(memories, options.beam.max_length)?;
        let prompts = vec![&tokens[..]; memories.len()];
        let mut logits = Vec::new();
        after_prompt.feed(&prompts, &[*start_at, tokens.len() - 1], &mut logits, control)?;
        let (mut first_logits, mut no_speech_probabilities) = (Vec::new(), Vec::new());
        for (place, row) in logits.chunks_exact(vocabulary).enumerate() {
            if place % 2 == 0 {
                no_speech_probabilities.push(sampling::probability(row, options.no_speech));
            } else {
                first_logits.extend_from_slice(row);
            }
        }
        Ok(Self { vocabulary, options, after_prompt, first_logits, no_speech_probabilities })
    }

    /// For each of `windows` the most probable tokens that the search finds.
    pub(super) fn search(&self, windows: &[usize], control: &Control) -> Result<Vec<Attempt>, EngineError> {
        let mut rows = self.rows(windows)?;
        let options = SearchOptions { beam: self.options.beam.clone(), processors: &self.options.processors };
        let prompts = vec![self.options.prompt.tokens.clone(); windows.len()];
        let found = generate::search(&mut rows, &prompts, &options, control)?;
        Ok(found.into_iter().map(|best| self.attempt(best.tokens, best.log_probability)).collect())
    }

    /// Draws a window's tokens `samples` times at a temperature above 0, one after another where `uniform` says so
    /// for the sample.
    pub(super) fn sample(
        &self,
        window: usize,
        temperature: f32,
        samples: usize,
        mut uniform: impl FnMut(usize) -> f64,
        control: &Control,
    ) -> Result<Vec<Attempt>, EngineError> {
        let WindowOptions { prompt, processors, beam, .. } = &self.options;
        let mut rows = self.rows(&vec![window; samples])?;
        let mut drawn = vec![(prompt.tokens.clone(), 0.0); samples];
        let mut going_on: Vec<usize> = (0..samples).collect();
        let mut logits = Vec::new();
        while !going_on.is_empty() {
            control.check()?;
            let feed: Vec<Vec<u32>> = going_on
                .iter()
                .map(|sample| drawn[*sample].0.last().copied().into_iter().collect())
                .collect();
            generate::Decoder::step(&mut rows, &feed, &mut logits, control)?;
            if logits.iter().any(|logit| !logit.is_finite()) {
                return Err(EngineError::NotFinite("a logit"));
            }
            let mut kept = Vec::with_capacity(going_on.len());
            for (row, logits) in logits.chunks_exact_mut(self.vocabulary).enumerate() {
                let (tokens, log_probability) = &mut drawn[going_on[row]];
                for processor in processors {
                    processor.apply(tokens, logits);
                }
                // The rules never forbid everything: where text is forbidden, the end or a timestamp is left.
                let choice = sampling::at(logits, temperature, uniform(going_on[row]));
                let choice = choice.ok_or(EngineError::NotFinite("every logit"))?;
                *log_probability += choice.log_probability;
                tokens.push(choice.token);
                if !beam.end_tokens.contains(&choice.token) && tokens.len() < beam.max_length {
                    kept.push(row);
                }
            }
            if kept.len() < going_on.len() && !kept.is_empty() {
                generate::Decoder::reorder(&mut rows, &kept)?;
            }
            going_on = kept.into_iter().map(|row| going_on[row]).collect();
        }
        let prompt = prompt.tokens.len();
        Ok(drawn.into_iter().map(|(mut tokens, sum)| self.attempt(tokens.split_off(prompt), sum)).collect())
    }

    fn rows(&self, windows: &[usize]) -> Result<Rows<F::Session<'a>>, EngineError> {
        let first = windows.iter().flat_map(|window| {
            self.first_logits[window * self.vocabulary..].iter().take(self.vocabulary).copied()
        });
        Ok(Rows {
            vocabulary: self.vocabulary,
            session: self.after_prompt.fork(windows)?,
            first_logits: Some(first.collect()),
        })
    }

    fn attempt(&self, mut tokens: Vec<u32>, log_probability: f32) -> Attempt {
        let average_log_probability = log_probability / tokens.len().max(1) as f32;
        if tokens.last().is_some_and(|last| self.options.beam.end_tokens.contains(last)) {
            tokens.pop();
        }
        Attempt { tokens, average_log_probability }
    }
}

/// The rows of a search over windows. The first step finds the prompt read already.
struct Rows<S> {
    vocabulary: usize,
    session: S,
    first_logits: Option<Vec<f32>>,
}

impl<S: Session> generate::Decoder for Rows<S> {
    fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    fn step(
        &mut self,
        tokens: &[Vec<u32>],
        logits: &mut Vec<f32>,
        control: &Control,
    ) -> Result<(), EngineError> {
        if let Some(first) = self.first_logits.take() {
            *logits = first;
            return Ok(());
        }
        let rows: Vec<&[u32]> = tokens.iter().map(Vec::as_slice).collect();
        let last = rows.first().map_or(0, |row| row.len().saturating_sub(1));
        self.session.feed(&rows, &[last], logits, control)
    }

    fn reorder(&mut self, parents: &[usize]) -> Result<(), EngineError> {
        self.session.reorder(parents)
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
