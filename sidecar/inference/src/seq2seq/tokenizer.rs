//! Text to tokens and back, as each family's tokenizer in transformers does it.

mod json;
mod marian;
mod pieces;
mod special;

use std::path::Path;

use serde::Deserialize;

use super::architecture::Architecture;
use super::config::Family;
use super::languages::{Direction, Languages, Marking};
use crate::error::LoadError;
use crate::files;

pub(super) use marian::split_language_code;

/// Text to tokens and back, without what a language or an end adds to them.
pub(super) trait Codec: Send + Sync {
    /// The tokens of a text.
    ///
    /// # Errors
    /// Where the library under it fails.
    fn encode(&self, text: &str) -> Result<Vec<u32>, String>;

    /// The text of generated tokens, special ones left out, without white space around it.
    ///
    /// # Errors
    /// Where the library under it fails.
    fn decode(&self, tokens: &[u32]) -> Result<String, String>;
}

/// What the families' tokenizer_config.json may say.
#[derive(Debug, Default, Deserialize)]
struct TokenizerConfig {
    source_lang: Option<String>,
    target_lang: Option<String>,
    src_lang: Option<String>,
    tgt_lang: Option<String>,
    model_max_length: Option<f64>,
    #[serde(default)]
    separate_vocabs: bool,
    #[serde(default)]
    legacy_behaviour: bool,
    tokenizer_class: Option<String>,
    language_codes: Option<String>,
}

/// The tokenizer of one repository, and the languages that it knows.
pub(super) struct TextTokenizer {
    codec: Box<dyn Codec>,
    pub(super) languages: Languages,
    /// The longest text in tokens that the repository allows.
    pub(super) max_length: Option<usize>,
    /// Whether a text may begin with the code of its target, `>>fr<<`.
    reads_codes: bool,
}

impl TextTokenizer {
    /// Reads the tokenizer's files of a model's folder. `forced_begin` is the repository's `forced_bos_token_id`.
    ///
    /// # Errors
    /// Where one is missing or damaged, or holds tokens beyond the model's vocabularies.
    pub(super) fn read(
        folder: &Path,
        family: Family,
        model: &Architecture,
        forced_begin: Option<u32>,
    ) -> Result<Self, LoadError> {
        let config: TokenizerConfig =
            files::read_optional_json(folder, files::TOKENIZER_CONFIG)?.unwrap_or_default();
        let has = |name: &str| folder.join(name).exists();
        let (codec, languages): (Box<dyn Codec>, Languages) = match family {
            Family::Marian => marian::read(folder, &config, model)?,
            Family::M2m100 if has(files::VOCABULARY) || !has(files::TOKENIZER) => {
                pieces::read_m2m100(folder, &config, model)?
            }
            Family::Mbart if !has(files::TOKENIZER) => pieces::read_mbart50(folder, &config, model)?,
            Family::Mbart | Family::M2m100 => json::read(folder, &config, model, family)?,
        };
        Ok(Self {
            codec,
            languages: match languages.marking {
                Marking::TargetFirst => languages,
                Marking::SourceFirst | Marking::SourceLast => Languages { forced_begin, ..languages },
            },
            // transformers writes 1e30 where there is no limit.
            max_length: config.model_max_length.filter(|length| *length < 1e6).map(|length| length as usize),
            reads_codes: family == Family::Marian,
        })
    }

    /// The tokens of a text with those that `direction` puts around it.
    ///
    /// # Errors
    /// Where the library under it fails.
    pub(super) fn encode(&self, text: &str, direction: &Direction) -> Result<Vec<u32>, String> {
        Ok(direction.around(&self.codec.encode(text)?))
    }

    /// The text of generated tokens, special ones left out.
    ///
    /// # Errors
    /// Where the library under it fails.
    pub(super) fn decode(&self, tokens: &[u32]) -> Result<String, String> {
        self.codec.decode(tokens)
    }

    /// Where a text itself names its target: the tokens that say so, and the rest of the text.
    ///
    /// # Errors
    /// Where the library under it fails.
    pub(super) fn split_own_code<'t>(&self, text: &'t str) -> Result<(Vec<u32>, &'t str), String> {
        match split_language_code(text) {
            (Some(code), rest) if self.reads_codes => Ok((self.codec.encode(code)?, rest)),
            _ => Ok((Vec::new(), text)),
        }
    }
}

/// What sentencepiece writes for a space.
const SPACE: &str = "\u{2581}";

/// Refuses a token that the model's embedding has no row for.
fn check_token(file: &str, token: &str, id: u32, size: usize) -> Result<(), LoadError> {
    if (id as usize) < size {
        return Ok(());
    }
    Err(LoadError::Incompatible(format!(
        "{file}: the token {token:?} has the number {id}, config.json says that the vocabulary has {size}"
    )))
}
