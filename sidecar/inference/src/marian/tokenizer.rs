//! Text to tokens and back, as transformers' `MarianTokenizer` does it, without normalising punctuation.

use std::collections::HashMap;
use std::path::Path;

use sentencepiece_rs::SentencePieceProcessor;
use serde::Deserialize;

use crate::error::LoadError;
use crate::files;
use crate::tokenize;

/// What stands for a token that the vocabulary lacks.
const UNKNOWN: &str = "<unk>";
/// What ends every text.
const END: &str = "</s>";
/// What fills up rows.
const PAD: &str = "<pad>";
/// What sentencepiece writes for a space.
const SPACE: &str = "\u{2581}";

#[derive(Debug, Default, Deserialize)]
struct TokenizerConfig {
    source_lang: Option<String>,
    target_lang: Option<String>,
    model_max_length: Option<f64>,
    #[serde(default)]
    separate_vocabs: bool,
}

/// The tokenizer of one Marian repository.
pub(super) struct MarianTokenizer {
    source: SentencePieceProcessor,
    /// The model that puts pieces together again: transformers takes the source's, unless the vocabularies are
    /// apart.
    joiner: SentencePieceProcessor,
    encoder: HashMap<String, u32>,
    decoder: HashMap<u32, String>,
    unknown: u32,
    end: u32,
    /// The language of the texts, where the repository says it.
    pub(super) source_language: Option<String>,
    /// The language of the translations, where the repository says it.
    pub(super) target_language: Option<String>,
    /// The longest text in tokens that the repository allows.
    pub(super) max_length: Option<usize>,
}

impl MarianTokenizer {
    /// Reads the tokenizer's files of a model's folder.
    ///
    /// # Errors
    /// Where one is missing or damaged, or holds tokens beyond the model's vocabularies.
    pub(super) fn read(folder: &Path, source_size: usize, target_size: usize) -> Result<Self, LoadError> {
        let config: TokenizerConfig =
            files::read_optional_json(folder, files::TOKENIZER_CONFIG)?.unwrap_or_default();
        let encoder = read_vocabulary(folder, files::VOCABULARY, source_size)?;
        let unknown = special(&encoder, UNKNOWN)?;
        let end = special(&encoder, END)?;
        let target = if config.separate_vocabs {
            &read_vocabulary(folder, files::TARGET_VOCABULARY, target_size)?
        } else {
            &encoder
        };
        let decoder = target.iter().map(|(token, id)| (*id, token.clone())).collect();
        let joiner_name =
            if config.separate_vocabs { files::TARGET_SENTENCEPIECE } else { files::SOURCE_SENTENCEPIECE };
        Ok(Self {
            source: tokenize::read_sentencepiece(folder, files::SOURCE_SENTENCEPIECE)?,
            joiner: tokenize::read_sentencepiece(folder, joiner_name)?,
            decoder,
            unknown,
            end,
            encoder,
            source_language: config.source_lang,
            target_language: config.target_lang,
            // transformers writes 1e30 where there is no limit.
            max_length: config.model_max_length.filter(|length| *length < 1e6).map(|length| length as usize),
        })
    }

    /// The tokens of a text, with the one that ends it.
    ///
    /// # Errors
    /// Where the sentencepiece model fails.
    pub(super) fn encode(&self, text: &str) -> Result<Vec<u32>, String> {
        let mut tokens = Vec::new();
        for part in split_special(text) {
            match part {
                Part::Special(token) => tokens.push(self.id(token)),
                Part::Text(text) => {
                    let (code, text) = split_language_code(text);
                    tokens.extend(code.map(|code| self.id(code)));
                    let pieces = self.source.encode(text).map_err(|error| error.to_string())?;
                    tokens.extend(pieces.iter().map(|piece| self.id(piece)));
                }
            }
        }
        tokens.push(self.end);
        Ok(tokens)
    }

    /// The text of generated tokens, special ones left out.
    ///
    /// # Errors
    /// Where the sentencepiece model fails.
    pub(super) fn decode(&self, tokens: &[u32]) -> Result<String, String> {
        let is_special = |token: &str| [UNKNOWN, END, PAD].contains(&token);
        let pieces: Vec<&str> = tokens
            .iter()
            .filter_map(|token| self.decoder.get(token).map(String::as_str))
            .filter(|token| !is_special(token))
            .collect();
        let text = self.joiner.decode_pieces(&pieces).map_err(|error| error.to_string())?;
        Ok(text.replace(SPACE, " ").trim().to_owned())
    }

    /// Whether the model translates into several languages and knows this one as `>>code<<`.
    pub(super) fn has_target_code(&self, code: &str) -> bool {
        self.encoder.contains_key(&format!(">>{code}<<"))
    }

    /// The codes of the languages that a model for several of them translates into, in order.
    pub(super) fn target_codes(&self) -> Vec<&str> {
        let code = |token: &'_ String| -> Option<(usize, usize)> {
            token.starts_with(">>").then_some(())?;
            token.ends_with("<<").then(|| (2, token.len() - 2)).filter(|(start, end)| start < end)
        };
        let mut codes: Vec<&str> = self
            .encoder
            .keys()
            .filter_map(|token| code(token).map(|(start, end)| &token[start..end]))
            .collect();
        codes.sort_unstable();
        codes
    }

    fn id(&self, token: &str) -> u32 {
        self.encoder.get(token).copied().unwrap_or(self.unknown)
    }
}

fn read_vocabulary(folder: &Path, name: &str, size: usize) -> Result<HashMap<String, u32>, LoadError> {
    let vocabulary: HashMap<String, u32> = files::read_json(folder, name)?;
    let beyond = vocabulary.iter().find(|(_, id)| **id as usize >= size);
    match beyond {
        None => Ok(vocabulary),
        Some((token, id)) => Err(LoadError::Incompatible(format!(
            "{name}: the token {token:?} has the number {id}, config.json says that the vocabulary has {size}"
        ))),
    }
}

fn special(vocabulary: &HashMap<String, u32>, token: &str) -> Result<u32, LoadError> {
    let missing = || LoadError::corrupted(files::VOCABULARY, format!("it lacks the token {token:?}"));
    vocabulary.get(token).copied().ok_or_else(missing)
}

enum Part<'a> {
    Special(&'static str),
    Text(&'a str),
}

/// Tokens that stand in the text in full are taken as such, as transformers' tokenizers do.
fn split_special(mut text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    loop {
        let first = [UNKNOWN, END, PAD]
            .into_iter()
            .filter_map(|token| text.find(token).map(|at| (at, token)))
            .min_by_key(|(at, _)| *at);
        let (before, rest) = match first {
            Some((at, token)) => (&text[..at], Some((token, &text[at + token.len()..]))),
            None => (text, None),
        };
        if !before.is_empty() {
            parts.push(Part::Text(before));
        }
        let Some((token, rest)) = rest else { return parts };
        parts.push(Part::Special(token));
        text = rest;
    }
}

/// The `>>code<<` that a text begins with, and the rest.
pub(super) fn split_language_code(text: &str) -> (Option<&str>, &str) {
    match text.strip_prefix(">>").and_then(|rest| rest.find("<<")) {
        Some(length) => {
            let (code, rest) = text.split_at(length + 4);
            (Some(code), rest)
        }
        None => (None, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_code_is_split_off_only_at_the_beginning() {
        assert_eq!(split_language_code(">>fra<< Hello"), (Some(">>fra<<"), " Hello"));
        assert_eq!(split_language_code("a >>fra<< b"), (None, "a >>fra<< b"));
        assert_eq!(split_language_code(">>fra Hello"), (None, ">>fra Hello"));
    }

    #[test]
    fn special_tokens_in_a_text_are_found_in_order() {
        let shown: Vec<String> = split_special("a</s>b<unk></s>")
            .into_iter()
            .map(|part| match part {
                Part::Special(token) => format!("[{token}]"),
                Part::Text(text) => text.to_owned(),
            })
            .collect();
        assert_eq!(shown, ["a", "[</s>]", "b", "[<unk>]", "[</s>]"]);
    }
}
