//! From logits to tokens, for every model that generates: rules over scores, greedy and beam search.
//!
//! Nothing here knows a model: a [`Decoder`] turns rows of tokens into rows of logits, all else is numbers.

pub mod beam;
pub mod config;
pub mod processors;
mod search;

pub use beam::{BeamOptions, EarlyStopping, Hypothesis};
pub use config::GenerationConfig;
pub use processors::LogitsProcessor;
pub use search::{Decoder, SearchOptions, search};

/// The natural logarithm of the softmax of `logits`, in place, as transformers takes it before beam search.
pub fn log_softmax(logits: &mut [f32]) {
    let maximum = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if maximum == f32::NEG_INFINITY {
        return;
    }
    let sum: f64 = logits.iter().map(|logit| f64::from((logit - maximum).exp())).sum();
    let logarithm = sum.ln() as f32;
    for logit in logits {
        *logit = *logit - maximum - logarithm;
    }
}

/// The place of the largest number, the first of equal ones; 0 where there is none.
#[must_use]
pub fn argmax(scores: &[f32]) -> usize {
    let mut best = 0;
    for (place, score) in scores.iter().enumerate() {
        if *score > scores[best] {
            best = place;
        }
    }
    best
}
