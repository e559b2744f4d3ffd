//! Texts into tokens, cut to what a model takes.

use std::path::Path;

use tokenizers::normalizers::{Lowercase, NormalizerWrapper, Sequence};
use tokenizers::{PostProcessor, Tokenizer, TruncationDirection};

use super::{Config, MAX_TEXTS};
use crate::engine::{Control, EngineError};
use crate::error::LoadError;
use crate::{files, tokenize};

/// What of a text is read for each token that the model takes, in bytes. Few tokens are as long as a tenth of it.
const BYTES_PER_TOKEN: usize = 64;
/// What of a text is read at least, in bytes.
const MIN_TEXT_BYTES: usize = 32 << 10;

/// The tokenizer of an encoder, with the longest text that the encoder takes.
pub struct Tokens {
    tokenizer: Tokenizer,
    /// The most tokens of a text, the special ones included.
    longest: usize,
}

impl Tokens {
    /// Reads `tokenizer.json` of a folder. `longest` is the most tokens of a text; `lowercase` makes texts lower-case
    /// before whatever else the tokenizer does to them.
    ///
    /// # Errors
    /// Where there is none, or it has tokens that the model has not.
    pub fn read(folder: &Path, config: &Config, longest: usize, lowercase: bool) -> Result<Self, LoadError> {
        let mut tokenizer = tokenize::read_tokenizer(folder)?;
        let tokens = tokenizer.get_vocab(true);
        if let Some((token, id)) = tokens.iter().find(|(_, id)| **id as usize >= config.vocabulary()) {
            let message = format!(
                "{}: the token {token:?} has the number {id}, config.json says that the vocabulary has {}",
                files::TOKENIZER,
                config.vocabulary()
            );
            return Err(LoadError::Incompatible(message));
        }
        if lowercase {
            let own = tokenizer.get_normalizer().cloned();
            let all = std::iter::once(NormalizerWrapper::Lowercase(Lowercase)).chain(own).collect();
            tokenizer
                .with_normalizer(Some(Sequence::new(all)))
                .map_err(|error| LoadError::corrupted(files::TOKENIZER, error))?;
        }
        Ok(Self { tokenizer, longest: longest.clamp(1, config.max_tokens()) })
    }

    /// The most tokens of a text.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// The tokens of each text of a job.
    ///
    /// # Errors
    /// Where there are more than [`MAX_TEXTS`], or the job was cancelled.
    pub fn of_all(&self, texts: &[String], control: &Control) -> Result<Vec<Vec<u32>>, EngineError> {
        if texts.len() > MAX_TEXTS {
            let message = format!("there are {}, at most {MAX_TEXTS} are taken at once", texts.len());
            return Err(EngineError::InvalidInput { parameter: "texts", message });
        }
        let mut all = Vec::with_capacity(texts.len());
        for text in texts {
            control.check()?;
            all.push(self.of(text)?);
        }
        Ok(all)
    }

    /// The tokens of a text, cut to what the model takes as transformers cuts them: the special ones at both ends
    /// stay.
    ///
    /// # Errors
    /// Where the tokenizer fails, or nothing is left of the text, not even special tokens.
    pub fn of(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        let end = text.floor_char_boundary(MIN_TEXT_BYTES.max(self.longest.saturating_mul(BYTES_PER_TOKEN)));
        let failed = |error: tokenizers::Error| EngineError::Tokenizer(error.to_string());
        let mut encoding = self.tokenizer.encode(&text[..end], false).map_err(failed)?;
        let special =
            self.tokenizer.get_post_processor().map_or(0, |processor| processor.added_tokens(false));
        let own = self.longest.saturating_sub(special).max(1);
        encoding.truncate(own, 0, TruncationDirection::Right);
        let encoding = self.tokenizer.post_process(encoding, None, true).map_err(failed)?;
        match encoding.get_ids() {
            [] => {
                let message = "a text holds nothing that the model reads".to_owned();
                Err(EngineError::InvalidInput { parameter: "texts", message })
            }
            tokens => Ok(tokens.to_vec()),
        }
    }
}
