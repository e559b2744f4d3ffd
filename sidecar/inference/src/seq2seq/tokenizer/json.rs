//! A whole tokenizer in `tokenizer.json`: NLLB's, and those of mBART-50 models that were saved anew.

use std::path::Path;

use tokenizers::Tokenizer;

use super::{Codec, TokenizerConfig, check_token};
use crate::error::LoadError;
use crate::files;
use crate::seq2seq::architecture::Architecture;
use crate::seq2seq::config::Family;
use crate::seq2seq::languages::{Languages, Marking};
use crate::tokenize;

/// What ends every text.
const END: &str = "</s>";

struct JsonCodec(Tokenizer);

/// Reads the tokenizer of a repository that has one in a single file.
pub(super) fn read(
    folder: &Path,
    config: &TokenizerConfig,
    model: &Architecture,
    family: Family,
) -> Result<(Box<dyn Codec>, Languages), LoadError> {
    let class = config.tokenizer_class.as_deref().unwrap_or_default();
    if family == Family::Mbart && class.starts_with("MBartTokenizer") {
        return Err(LoadError::Incompatible(format!(
            "{}: tokenizer_class {class:?} is that of mBART-25; of the mbart models mBART-50 is supported",
            files::TOKENIZER_CONFIG
        )));
    }
    let tokenizer = tokenize::read_tokenizer(folder)?;
    for (token, id) in tokenizer.get_vocab(true) {
        check_token(files::TOKENIZER, &token, id, model.source_vocabulary)?;
    }
    let missing = |what: &str| LoadError::corrupted(files::TOKENIZER, format!("it lacks {what}"));
    let end = tokenizer.token_to_id(END).ok_or_else(|| missing("the token \"</s>\""))?;
    let codes = language_codes(&tokenizer, family);
    if codes.is_empty() {
        return Err(missing("the tokens of languages"));
    }
    let languages = Languages {
        marking: if config.legacy_behaviour { Marking::SourceLast } else { Marking::SourceFirst },
        codes,
        end,
        source: config.src_lang.clone(),
        target: config.tgt_lang.clone(),
        forced_begin: None,
    };
    Ok((Box::new(JsonCodec(tokenizer)), languages))
}

/// The special tokens that have the shape of the family's language codes, in the order of their numbers.
fn language_codes(tokenizer: &Tokenizer, family: Family) -> Vec<(String, u32)> {
    let mut codes: Vec<(String, u32)> = tokenizer
        .get_added_tokens_decoder()
        .into_iter()
        .filter(|(_, token)| token.special && is_language_code(&token.content, family))
        .map(|(id, token)| (token.content, id))
        .collect();
    codes.sort_unstable_by_key(|(_, id)| *id);
    codes
}

/// `de_DE` for mBART-50, `deu_Latn` for NLLB.
fn is_language_code(token: &str, family: Family) -> bool {
    let Some((language, rest)) = token.split_once('_') else { return false };
    let is_lower = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_upper = |text: &str| text.bytes().all(|byte| byte.is_ascii_uppercase());
    if !is_lower(language) || !rest.is_ascii() {
        return false;
    }
    match family {
        Family::Mbart => language.len() == 2 && rest.len() == 2 && is_upper(rest),
        Family::Marian | Family::M2m100 => {
            language.len() == 3 && rest.len() == 4 && is_upper(&rest[..1]) && is_lower(&rest[1..])
        }
    }
}

impl Codec for JsonCodec {
    fn encode(&self, text: &str) -> Result<Vec<u32>, String> {
        let encoding = self.0.encode_fast(text, false).map_err(|error| error.to_string())?;
        Ok(encoding.get_ids().to_vec())
    }

    fn decode(&self, tokens: &[u32]) -> Result<String, String> {
        self.0.decode(tokens, true).map(|text| text.trim().to_owned()).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_shape_that_their_family_gives_them() {
        for (token, family, expected) in [
            ("de_DE", Family::Mbart, true),
            ("de_XX", Family::Mbart, true),
            ("deu_Latn", Family::Mbart, false),
            ("deu_Latn", Family::M2m100, true),
            ("de_DE", Family::M2m100, false),
            ("<mask>", Family::M2m100, false),
            ("deu_\u{e9}at", Family::M2m100, false),
        ] {
            assert_eq!(is_language_code(token, family), expected, "{token}");
        }
    }
}
