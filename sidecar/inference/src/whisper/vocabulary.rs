//! `tokenizer.json`: text to tokens and back.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use tokenizers::Tokenizer;

use super::byte_level;
use crate::engine::EngineError;
use crate::error::LoadError;
use crate::files;
use crate::processor::Processor;
use crate::token_table::TokenTable;
use crate::tokenize::{self, FileInWork};

/// The tokenizer of a Whisper repository.
pub(super) struct Vocabulary(Kind);

enum Kind {
    /// Texts of tokens are bytes, as in every published repository. The library reads the file only for the first
    /// text that is to be cut.
    Bytes { tokens: TokenTable, file: Arc<Vec<u8>>, cutter: Box<OnceLock<Result<Tokenizer, String>>> },
    /// The library does everything.
    Other(Box<Tokenizer>),
}

impl Vocabulary {
    /// Begins to read it, beside the weights.
    pub(super) fn begin(folder: &Path, processor: &Arc<Processor>) -> Result<FileInWork<Self>, LoadError> {
        FileInWork::begin(folder, files::TOKENIZER, Some(processor), |file| match byte_level::tokens(&file) {
            Some(tokens) => Ok(Self(Kind::Bytes { tokens, file: Arc::new(file), cutter: Box::default() })),
            None => Ok(Self(Kind::Other(Box::new(tokenize::parse_tokenizer(&file)?)))),
        })
    }

    /// The id of a token, special tokens included.
    pub(super) fn id(&self, token: &str) -> Option<u32> {
        match &self.0 {
            Kind::Bytes { tokens, .. } => tokens.number(token),
            Kind::Other(tokenizer) => tokenizer.token_to_id(token),
        }
    }

    /// The tokens of a text, with none added around it.
    pub(super) fn encode(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        let tokenizer = match &self.0 {
            Kind::Bytes { file, cutter, .. } => {
                let read = || {
                    let file = Arc::clone(file);
                    tokenize::parsed(move || tokenize::parse_tokenizer(&file))
                };
                cutter.get_or_init(read).as_ref().map_err(|error| EngineError::Tokenizer(error.clone()))?
            }
            Kind::Other(tokenizer) => tokenizer,
        };
        let encoding =
            tokenizer.encode(text, false).map_err(|error| EngineError::Tokenizer(error.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of tokens. Special tokens must have been left out.
    pub(super) fn decode(&self, tokens: &[u32]) -> Result<String, EngineError> {
        match &self.0 {
            Kind::Bytes { tokens: table, .. } => Ok(byte_level::text(table, tokens)),
            Kind::Other(tokenizer) => {
                tokenizer.decode(tokens, false).map_err(|error| EngineError::Tokenizer(error.to_string()))
            }
        }
    }
}
