//! Files of tokenizers of which anything may be wrong.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ostler_fuzz::{Seed, Target};

use super::super::growth::MAX_GROWTH;
use super::*;
use crate::token_table::TokenTable;

const TEXT: &str = "  The dog\u{2581}sees 日本 ½ </s> \u{0}x ein\u{301}";

/// What a library makes of a text. Who computes with a model catches panics: a text fails, and the process lives.
fn caught<T>(work: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    let outcome = catch_unwind(AssertUnwindSafe(work)).map_err(|_| "panicked".to_owned())?;
    outcome.map_err(|error| error.to_string())
}

fn check_tokenizer(bytes: &[u8]) -> String {
    let own = bytes.to_vec();
    let tokenizer = match parsed(move || parse_tokenizer(&own)) {
        Ok(tokenizer) => tokenizer,
        Err(message) => return message,
    };
    assert!(tokenizer.get_vocab_size(true) <= 16 * bytes.len() + 256);
    let ids = match caught(|| tokenizer.encode_fast(TEXT, true)) {
        Ok(encoding) => encoding.get_ids().to_vec(),
        Err(message) => return format!("no tokens: {message}"),
    };
    assert!(ids.len() <= MAX_GROWTH * TEXT.len() + bytes.len(), "{} tokens", ids.len());
    match caught(|| tokenizer.decode(&ids, false)) {
        Ok(text) => format!("{} tokens, {} letters", "+".repeat(ids.len().min(40)), text.len().min(1)),
        Err(message) => format!("no text: {message}"),
    }
}

/// A tokenizer with a small model and what else is given.
fn tokenizer(model: &str, more: &str) -> Vec<u8> {
    format!("{{\"version\":\"1.0\",\"added_tokens\":[{{\"id\":0,\"content\":\"</s>\",\"single_word\":false,\"lstrip\":false,\
        \"rstrip\":false,\"normalized\":false,\"special\":true}}],{more}\"model\":{model}}}")
    .into_bytes()
}

const WORDS: &str =
    r#"{"type":"WordLevel","vocab":{"</s>":0,"[UNK]":1,"The":2,"dog":3},"unk_token":"[UNK]"}"#;
const PIECES: &str = r###"{"type":"WordPiece","vocab":{"</s>":0,"[UNK]":1,"The":2,"do":3,"##g":4},"unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":100}"###;
const PAIRS: &str = r#"{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":false,"byte_fallback":false,"vocab":{"</s>":0,"T":1,"h":2,"e":3,"Th":4,"The":5},"merges":[["T","h"],["Th","e"]]}"#;
const UNIGRAM: &str = r#"{"type":"Unigram","unk_id":1,"vocab":[["</s>",0.0],["<unk>",0.0],["▁The",-1.0],["▁",-2.0],["do",-3.0],["g",-4.0]],"byte_fallback":false}"#;

/// Row 34.
fn tokenizers() -> Vec<Seed> {
    let normalizer = |json: &str| {
        tokenizer(WORDS, &format!("\"normalizer\":{json},\"pre_tokenizer\":{{\"type\":\"Whitespace\"}},"))
    };
    let replace = |from: &str, to: &str| {
        format!("{{\"type\":\"Replace\",\"pattern\":{{\"String\":\"{from}\"}},\"content\":\"{to}\"}}")
    };
    let laughs: Vec<String> = (0..40).map(|_| replace("e", "ee")).collect();
    let sequence = format!("{{\"type\":\"Sequence\",\"normalizers\":[{}]}}", laughs.join(","));
    let template = r#""post_processor":{"type":"TemplateProcessing","single":[{"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"</s>","type_id":0}}],"pair":[],"special_tokens":{"</s>":{"id":"</s>","ids":[0],"tokens":["</s>"]}}},"#;
    let split = r#""pre_tokenizer":{"type":"Split","pattern":{"Regex":"(a{1000}){1000}"},"behavior":"Isolated","invert":false},"#;
    let backtracking = r#""pre_tokenizer":{"type":"Split","pattern":{"Regex":"(?=(\\w+)+$)x"},"behavior":"Isolated","invert":false},"#;
    vec![
        ("words", tokenizer(WORDS, &format!("{template}\"pre_tokenizer\":{{\"type\":\"Whitespace\"}},"))),
        (
            "pieces",
            tokenizer(
                PIECES,
                "\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true,\"strip_accents\":null,\"lowercase\":true},\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},\"decoder\":{\"type\":\"WordPiece\",\"prefix\":\"##\",\"cleanup\":true},",
            ),
        ),
        (
            "pairs",
            tokenizer(
                PAIRS,
                "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true},\"decoder\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true,\"use_regex\":true},",
            ),
        ),
        (
            "unigram",
            tokenizer(
                UNIGRAM,
                &format!(
                    "{template}\"normalizer\":{{\"type\":\"Sequence\",\"normalizers\":[{{\"type\":\"NFKC\"}},{{\"type\":\"Strip\",\"strip_left\":false,\"strip_right\":true}}]}},\"pre_tokenizer\":{{\"type\":\"Metaspace\",\"replacement\":\"▁\",\"prepend_scheme\":\"always\",\"split\":true}},\"decoder\":{{\"type\":\"Metaspace\",\"replacement\":\"▁\",\"prepend_scheme\":\"always\",\"split\":true}},"
                ),
            ),
        ),
        ("replace", normalizer(&replace("dog", "cat"))),
        ("laughs", normalizer(&sequence)),
        ("replaced-by-much", normalizer(&replace("", &"x".repeat(2_000)))),
        ("regex-of-a-million", tokenizer(WORDS, split)),
        ("backtracking", tokenizer(WORDS, backtracking)),
        ("broken-character-map", normalizer("{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"//8A\"}")),
        ("no-unknown-token", tokenizer(r#"{"type":"Unigram","unk_id":7,"vocab":[]}"#, "")),
        ("merge-of-nothing", tokenizer(&PAIRS.replace("[\"T\",\"h\"]", "[\"\",\"\"]"), "")),
        ("other-model", tokenizer(r#"{"type":"Oracle"}"#, "")),
        ("deep", [&b"{\"model\":"[..], &b"[".repeat(3_000)].concat()),
    ]
}

#[test]
fn row_34_no_tokenizer_takes_much_or_ends_the_process() {
    ostler_fuzz::run!(Target {
        seeds: tokenizers,
        tokens: &[
            b"\"type\":\"NFKC\"",
            b"\"type\":\"Prepend\",\"prepend\":\"x\"",
            b"\"normalizer\":null,",
            b"\"decoder\":null,",
            b"\"vocab\":{}",
            b"\"unk_id\":null",
            b"\"max_input_chars_per_word\":0",
            b"\"\"",
            b"null",
            b"-1",
            b"[]",
            b"{}",
            b"\\u0000",
            b"\\ud800",
            b"\\\\p{L}",
            b"(?i)",
            b"*",
            b"\"ids\":[9]",
            b"true",
            b"\"special\":false",
        ],
        inputs: 3_000,
        memory: 160 << 20,
        ..Target::new("tokenizer", check_tokenizer)
    });
}

fn check_vocabulary(bytes: &[u8]) -> String {
    let table: TokenTable = match serde_json::from_slice(bytes) {
        Ok(table) => table,
        Err(error) => return error.to_string(),
    };
    assert!(table.count() <= bytes.len());
    for (number, text) in table.iter() {
        // Of two tokens with a number one is its text, of two with a text one is its number.
        assert!(table.text(number).is_some(), "{number}");
        let found = table.number(text).unwrap();
        assert!(table.iter().any(|token| token == (found, text)), "{text:?}");
    }
    let texts: Vec<&str> = table.by_text().map(|token| token.1).collect();
    assert!(texts.windows(2).all(|pair| pair[0] < pair[1]));
    format!("{} tokens, {} texts", "+".repeat(table.count().min(9)), "-".repeat(texts.len().min(9)))
}

/// Row 34 for vocab.json.
#[test]
fn row_34_every_token_of_a_vocabulary_is_found() {
    ostler_fuzz::run!(Target {
        tokens: &[
            b"\"<unk>\":0,",
            b"\"\":1,",
            b"4294967295",
            b"4294967296",
            b"-1",
            b"1.0",
            b"\\u2581",
            b"\\ud800",
            b"null",
            b"{",
            b"}",
            b"\xff"
        ],
        longest: 1_000,
        inputs: 20_000,
        ..Target::new("vocabulary", check_vocabulary)
    });
}
