//! Tokenizers from the files of a repository: `tokenizer.json` and sentencepiece models.

use std::path::Path;

use sentencepiece_rs::SentencePieceProcessor;
use tokenizers::Tokenizer;

use crate::error::LoadError;
use crate::files;

/// The longest text that a sentencepiece model is asked to cut up, in bytes: its time grows faster than the
/// text where the model merges pairs.
pub const MAX_PIECE_TEXT_BYTES: usize = 16 << 10;

/// Reads `tokenizer.json` of a model's folder, without truncation and padding: callers do both.
///
/// # Errors
/// Where it is missing, too large, or no tokenizer.
pub fn read_tokenizer(folder: &Path) -> Result<Tokenizer, LoadError> {
    let bytes = files::read_capped(folder, files::TOKENIZER)?;
    let parsed = quietly(|| Tokenizer::from_bytes(&bytes).map_err(|error| error.to_string()));
    let mut tokenizer = parsed.map_err(|message| LoadError::corrupted(files::TOKENIZER, message))?;
    tokenizer.with_padding(None);
    tokenizer.with_truncation(None).map_err(|error| LoadError::corrupted(files::TOKENIZER, error))?;
    Ok(tokenizer)
}

/// Reads a sentencepiece model of a model's folder.
///
/// # Errors
/// Where it is missing, too large, or no sentencepiece model.
pub fn read_sentencepiece(folder: &Path, name: &str) -> Result<SentencePieceProcessor, LoadError> {
    let bytes = files::read_capped(folder, name)?;
    quietly(|| SentencePieceProcessor::from_serialized_model(&bytes).map_err(|error| error.to_string()))
        .map_err(|message| LoadError::corrupted(name, message))
}

/// Runs a parser of a library. A file from anywhere may hit an assertion in it, which is that file's fault and
/// must not end the thread.
fn quietly<T>(parse: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(parse))
        .unwrap_or_else(|_| Err("the parser gave up on it".to_owned()))
}
