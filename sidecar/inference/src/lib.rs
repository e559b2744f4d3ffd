//! Pure compute for speech and translation models: PCM or text in, text out.
//!
//! No async runtime and no network: [`files`] says which files of a repository a task needs, [`load`] turns a
//! folder of them into an [`engine::Engine`], which turns a [`engine::Job`] into an [`engine::Output`] on the
//! calling thread.

pub mod audio;
mod charsmap;
pub mod classify;
pub mod embed;
pub mod encoder;
pub mod engine;
pub mod error;
pub mod fasttext;
pub mod files;
pub mod footprint;
pub mod generate;
pub mod languages;
pub mod load;
pub mod processor;
pub mod sentencepiece;
pub mod seq2seq;
pub mod text;
pub mod token_table;
pub mod tokenize;
pub mod weights;
pub mod whisper;
