//! `tokenizer.json`: text to tokens and back.

use std::path::Path;
use std::sync::Arc;

use tokenizers::Tokenizer;

use crate::engine::EngineError;
use crate::error::LoadError;
use crate::processor::Processor;
use crate::tokenize::{self, TokenizerInWork};

/// The tokenizer of a Whisper repository.
pub(super) struct Vocabulary {
    tokenizer: Tokenizer,
}

impl Vocabulary {
    /// Begins to read it, which takes about as long as reading the weights.
    pub(super) fn begin(folder: &Path, processor: &Arc<Processor>) -> Result<TokenizerInWork, LoadError> {
        tokenize::begin_tokenizer(folder, processor)
    }

    /// What was begun.
    pub(super) fn read(begun: TokenizerInWork) -> Result<Self, LoadError> {
        Ok(Self { tokenizer: begun.wait()? })
    }

    /// The id of a token, special tokens included.
    pub(super) fn id(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }

    /// The tokens of a text, with none added around it.
    pub(super) fn encode(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        let encoding =
            self.tokenizer.encode(text, false).map_err(|error| EngineError::Tokenizer(error.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of tokens. Special tokens must have been left out.
    pub(super) fn decode(&self, tokens: &[u32]) -> Result<String, EngineError> {
        self.tokenizer.decode(tokens, false).map_err(|error| EngineError::Tokenizer(error.to_string()))
    }
}
