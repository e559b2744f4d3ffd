//! Tokens whose texts are bytes, each byte written as a printable character (GPT-2's `bytes_to_unicode`).
//!
//! To write tokens as text takes the list of them alone. The library's tokenizer takes ten times as long to read, and
//! some 20 MB: it is for cutting texts into tokens, which only prompts need.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::token_table::{TokenTable, TokenTableBuilder};

/// `tokenizer.json`, as far as it says how tokens are written.
#[derive(Deserialize)]
struct TokenizerFile {
    normalizer: Option<IgnoredAny>,
    decoder: Typed,
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    model: Model,
}

#[derive(Deserialize)]
struct Typed {
    r#type: String,
}

#[derive(Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
}

#[derive(Deserialize)]
struct Model {
    r#type: String,
    vocab: TokenTableBuilder,
}

/// The tokens of a `tokenizer.json`; `None` where their texts are not simply bytes, or where it is no tokenizer.
pub(super) fn tokens(bytes: &[u8]) -> Option<TokenTable> {
    let file: TokenizerFile = serde_json::from_slice(bytes).ok()?;
    if file.normalizer.is_some() || file.decoder.r#type != "ByteLevel" || file.model.r#type != "BPE" {
        return None;
    }
    let mut tokens = file.model.vocab;
    file.added_tokens.iter().for_each(|token| tokens.push(&token.content, token.id));
    Some(tokens.finish())
}

/// The text of tokens. What is no UTF-8 together becomes U+FFFD; a token that holds other characters than those for
/// bytes is written as it is.
pub(super) fn text(table: &TokenTable, tokens: &[u32]) -> String {
    let mut bytes = Vec::new();
    for token in tokens.iter().filter_map(|token| table.text(*token)) {
        let start = bytes.len();
        for character in token.chars() {
            match byte(character) {
                Some(byte) => bytes.push(byte),
                None => {
                    bytes.truncate(start);
                    bytes.extend(token.as_bytes());
                    break;
                }
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The byte that a character stands for: printable ones of Latin-1 for themselves, and from U+0100 on the others in
/// their order.
fn byte(character: char) -> Option<u8> {
    let code = u32::from(character);
    let byte = match code {
        0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF => code,
        0x100..=0x120 => code - 0x100,
        0x121..=0x142 => code - 0x121 + 0x7F,
        0x143 => 0xAD,
        _ => return None,
    };
    u8::try_from(byte).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use proptest::prelude::*;
    use tokenizers::Tokenizer;

    use super::*;

    mod fuzz;

    fn read() -> (TokenTable, Tokenizer) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/models/whisper-v1");
        let bytes = std::fs::read(folder.join("tokenizer.json")).unwrap();
        (tokens(&bytes).unwrap(), Tokenizer::from_bytes(&bytes).unwrap())
    }

    #[test]
    fn every_byte_has_one_character() {
        let bytes: BTreeSet<u8> = (0..=0x200).filter_map(char::from_u32).filter_map(byte).collect();
        assert_eq!(bytes.len(), 256);
        assert_eq!((0..=0x200).filter_map(char::from_u32).filter_map(byte).count(), 256);
        assert_eq!((byte('Ġ'), byte('a'), byte('ł')), (Some(b' '), Some(b'a'), Some(0xA0)));
    }

    #[test]
    fn numbers_and_texts_of_tokens_are_those_of_the_library() {
        let (table, library) = read();
        for number in 0..library.get_vocab_size(true) as u32 + 2 {
            assert_eq!(table.text(number), library.id_to_token(number).as_deref());
            assert_eq!(text(&table, &[number]), library.decode(&[number], false).unwrap(), "{number}");
        }
        for token in ["<|endoftext|>", "<|de|>", "a", "no token"] {
            assert_eq!(table.number(token), library.token_to_id(token), "{token}");
        }
    }

    #[test]
    fn other_tokenizers_are_left_to_the_library() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/models");
        let other = std::fs::read(folder.join("xlm-roberta-language-detection/tokenizer.json")).unwrap();
        assert!(tokens(&other).is_none());
        assert!(tokens(b"{}").is_none());
    }

    proptest! {
        #[test]
        fn texts_of_any_tokens_are_those_of_the_library(numbers in prop::collection::vec(0..2200_u32, 0..20)) {
            let (table, library) = read();
            prop_assert_eq!(text(&table, &numbers), library.decode(&numbers, false).unwrap());
        }
    }
}
