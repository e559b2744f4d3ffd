//! `MarianTokenizer`: two sentencepiece models and a vocabulary, without normalising punctuation.

use std::collections::HashMap;
use std::path::Path;

use sentencepiece_rs::SentencePieceProcessor;

use super::special::{Part, SpecialTokens};
use super::{Codec, SPACE, TokenizerConfig, check_token};
use crate::error::LoadError;
use crate::files;
use crate::seq2seq::architecture::Architecture;
use crate::seq2seq::languages::{Languages, Marking};
use crate::tokenize;

/// What stands for a token that the vocabulary lacks.
const UNKNOWN: &str = "<unk>";
/// What ends every text.
const END: &str = "</s>";
/// What fills up rows.
const PAD: &str = "<pad>";

struct MarianCodec {
    source: SentencePieceProcessor,
    /// The model that puts pieces together again: transformers takes the source's, unless the vocabularies are
    /// apart.
    joiner: SentencePieceProcessor,
    encoder: HashMap<String, u32>,
    decoder: HashMap<u32, String>,
    special: SpecialTokens,
    unknown: u32,
}

/// The special tokens that a text may hold and a translation leaves out.
const SPECIAL: [&str; 3] = [UNKNOWN, END, PAD];

/// Reads the tokenizer of a Marian repository.
pub(super) fn read(
    folder: &Path,
    config: &TokenizerConfig,
    model: &Architecture,
) -> Result<(Box<dyn Codec>, Languages), LoadError> {
    let encoder = read_vocabulary(folder, files::VOCABULARY, model.source_vocabulary)?;
    let unknown = special_token(&encoder, UNKNOWN)?;
    let end = special_token(&encoder, END)?;
    let target = if config.separate_vocabs {
        &read_vocabulary(folder, files::TARGET_VOCABULARY, model.target_vocabulary)?
    } else {
        &encoder
    };
    let decoder = target.iter().map(|(token, id)| (*id, token.clone())).collect();
    let joiner_name =
        if config.separate_vocabs { files::TARGET_SENTENCEPIECE } else { files::SOURCE_SENTENCEPIECE };
    let languages = Languages {
        marking: Marking::TargetFirst,
        codes: target_codes(&encoder),
        end,
        source: config.source_lang.clone(),
        target: config.target_lang.clone(),
        forced_begin: None,
    };
    let codec = MarianCodec {
        source: tokenize::read_sentencepiece(folder, files::SOURCE_SENTENCEPIECE)?,
        joiner: tokenize::read_sentencepiece(folder, joiner_name)?,
        decoder,
        special: SpecialTokens::new(&SPECIAL.map(str::to_owned))?,
        unknown,
        encoder,
    };
    Ok((Box::new(codec), languages))
}

impl MarianCodec {
    fn id(&self, token: &str) -> u32 {
        self.encoder.get(token).copied().unwrap_or(self.unknown)
    }
}

impl Codec for MarianCodec {
    fn encode(&self, text: &str) -> Result<Vec<u32>, String> {
        let mut tokens = Vec::new();
        for part in self.special.split(text) {
            match part {
                Part::Special(number) => tokens.push(self.id(SPECIAL[number])),
                Part::Text(text) => {
                    let (code, text) = split_language_code(text);
                    tokens.extend(code.map(|code| self.id(code)));
                    let pieces = self.source.encode(text).map_err(|error| error.to_string())?;
                    tokens.extend(pieces.iter().map(|piece| self.id(piece)));
                }
            }
        }
        Ok(tokens)
    }

    fn decode(&self, tokens: &[u32]) -> Result<String, String> {
        let pieces: Vec<&String> = tokens
            .iter()
            .filter_map(|token| self.decoder.get(token))
            .filter(|token| !SPECIAL.contains(&token.as_str()))
            .collect();
        let text = self.joiner.decode_pieces(&pieces).map_err(|error| error.to_string())?;
        Ok(text.replace(SPACE, " ").trim().to_owned())
    }
}

/// The languages that a model for several of them translates into, in order of their codes.
fn target_codes(vocabulary: &HashMap<String, u32>) -> Vec<(String, u32)> {
    let code = |token: &str| token.strip_prefix(">>")?.strip_suffix("<<").map(str::to_owned);
    let coded = vocabulary.iter().filter_map(|(token, id)| Some((code(token)?, *id)));
    let mut codes: Vec<(String, u32)> = coded.filter(|(code, _)| !code.is_empty()).collect();
    codes.sort_unstable();
    codes
}

fn read_vocabulary(folder: &Path, name: &str, size: usize) -> Result<HashMap<String, u32>, LoadError> {
    let vocabulary: HashMap<String, u32> = files::read_json(folder, name)?;
    vocabulary.iter().try_for_each(|(token, id)| check_token(name, token, *id, size))?;
    Ok(vocabulary)
}

fn special_token(vocabulary: &HashMap<String, u32>, token: &str) -> Result<u32, LoadError> {
    let missing = || LoadError::corrupted(files::VOCABULARY, format!("it lacks the token {token:?}"));
    vocabulary.get(token).copied().ok_or_else(missing)
}

/// The `>>code<<` that a text begins with, and the rest.
pub(in crate::seq2seq) fn split_language_code(text: &str) -> (Option<&str>, &str) {
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
}
