//! `MarianTokenizer`: two sentencepiece models and a vocabulary, without normalising punctuation.

use std::path::Path;

use super::special::{Part, SpecialTokens};
use super::{Codec, SPACE, TokenizerConfig, check_token};
use crate::error::LoadError;
use crate::files;
use crate::sentencepiece::SentencePieces;
use crate::seq2seq::architecture::Architecture;
use crate::seq2seq::languages::{Languages, Marking};
use crate::token_table::TokenTable;
use crate::tokenize;

/// What stands for a token that the vocabulary lacks.
const UNKNOWN: &str = "<unk>";
/// What ends every text.
const END: &str = "</s>";
/// What fills up rows.
const PAD: &str = "<pad>";

struct MarianCodec {
    source: SentencePieces,
    /// The model that puts pieces together again, where the vocabularies are apart: else transformers takes the
    /// source's.
    target: Option<SentencePieces>,
    vocabulary: TokenTable,
    /// Of translations, where it is not the texts' own.
    target_vocabulary: Option<TokenTable>,
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
    let vocabulary = read_vocabulary(folder, files::VOCABULARY, model.source_vocabulary)?;
    let unknown = special_token(&vocabulary, UNKNOWN)?;
    let end = special_token(&vocabulary, END)?;
    let (target, target_vocabulary) = match config.separate_vocabs {
        true => (
            Some(tokenize::read_sentencepiece(folder, files::TARGET_SENTENCEPIECE)?),
            Some(read_vocabulary(folder, files::TARGET_VOCABULARY, model.target_vocabulary)?),
        ),
        false => (None, None),
    };
    let languages = Languages {
        marking: Marking::TargetFirst,
        codes: target_codes(&vocabulary),
        end,
        source: config.source_lang.clone(),
        target: config.target_lang.clone(),
        forced_begin: None,
    };
    let codec = MarianCodec {
        source: tokenize::read_sentencepiece(folder, files::SOURCE_SENTENCEPIECE)?,
        target,
        special: SpecialTokens::new(&SPECIAL.map(str::to_owned))?,
        unknown,
        vocabulary,
        target_vocabulary,
    };
    Ok((Box::new(codec), languages))
}

impl MarianCodec {
    fn id(&self, token: &str) -> u32 {
        self.vocabulary.number(token).unwrap_or(self.unknown)
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
                    let pieces = self.source.encode(text)?;
                    tokens.extend(pieces.iter().map(|piece| self.id(piece)));
                }
            }
        }
        Ok(tokens)
    }

    fn decode(&self, tokens: &[u32]) -> Result<String, String> {
        let vocabulary = self.target_vocabulary.as_ref().unwrap_or(&self.vocabulary);
        let pieces: Vec<&str> = tokens
            .iter()
            .filter_map(|token| vocabulary.text(*token))
            .filter(|token| !token.is_empty() && !SPECIAL.contains(token))
            .collect();
        let text = self.target.as_ref().unwrap_or(&self.source).decode(&pieces)?;
        Ok(text.replace(SPACE, " ").trim().to_owned())
    }
}

/// The languages that a model for several of them translates into, in order of their codes.
fn target_codes(vocabulary: &TokenTable) -> Vec<(String, u32)> {
    let code = |token: &str| token.strip_prefix(">>")?.strip_suffix("<<").map(str::to_owned);
    let coded = vocabulary.by_text().filter_map(|(id, token)| Some((code(token)?, id)));
    let mut codes: Vec<(String, u32)> = coded.filter(|(code, _)| !code.is_empty()).collect();
    codes.sort_unstable();
    codes
}

fn read_vocabulary(folder: &Path, name: &str, size: usize) -> Result<TokenTable, LoadError> {
    let vocabulary: TokenTable = files::read_json(folder, name)?;
    vocabulary.iter().try_for_each(|(id, token)| check_token(name, token, id, size))?;
    Ok(vocabulary)
}

fn special_token(vocabulary: &TokenTable, token: &str) -> Result<u32, LoadError> {
    let missing = || LoadError::corrupted(files::VOCABULARY, format!("it lacks the token {token:?}"));
    vocabulary.number(token).ok_or_else(missing)
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
