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
pub use search::{Decoder, SearchOptions, search, search_all};
