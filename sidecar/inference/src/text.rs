//! Texts into sentences, and sentences that are too long into parts, with nothing lost between them.

pub mod html;
mod sentences;

pub use sentences::{Part, split_long, split_sentences};
