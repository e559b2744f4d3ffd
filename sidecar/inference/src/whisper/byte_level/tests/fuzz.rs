//! Files of which anything may be wrong.

use ostler_fuzz::{Seed, Target};

use super::*;

fn check(bytes: &[u8]) -> String {
    let Some(table) = tokens(bytes) else {
        return serde_json::from_slice::<TokenizerFile>(bytes)
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default();
    };
    assert!(table.count() <= bytes.len());
    let numbers: Vec<u32> = table.iter().map(|token| token.0).chain([0, u32::MAX]).collect();
    // Each byte of a token's text becomes U+FFFD at the worst.
    assert!(text(&table, &numbers).len() <= 3 * bytes.len());
    format!("{} tokens", "+".repeat(table.count().min(9)))
}

fn file(more: &str, vocabulary: &str, added: &str) -> Vec<u8> {
    format!(
        "{{{more}\"added_tokens\":[{added}],\"decoder\":{{\"type\":\"ByteLevel\"}},\
         \"model\":{{\"type\":\"BPE\",\"vocab\":{{{vocabulary}}}}}}}"
    )
    .into_bytes()
}

fn seeds() -> Vec<Seed> {
    let words = "\"!\":0,\"Ġthe\":1,\"ä¸\":2,\"日\":3";
    let added = "{\"id\":4,\"content\":\"<|de|>\"}";
    vec![
        ("sound", file("\"normalizer\":null,", words, added)),
        ("same-number", file("", words, "{\"id\":0,\"content\":\"!\"},{\"id\":0,\"content\":\"?\"}")),
        ("last-number", file("", "\"a\":4294967295", added)),
        ("normalized", file("\"normalizer\":{\"type\":\"NFC\"},", words, added)),
        ("deep", [&b"{\"model\":"[..], &b"[".repeat(3_000)].concat()),
    ]
}

/// Row 34 for what is read of Whisper's `tokenizer.json`.
#[test]
fn row_34_no_list_of_tokens_makes_texts_panic() {
    ostler_fuzz::run!(Target {
        seeds,
        tokens: &[
            b"\xc4\xa0",
            b"\xc5\x82",
            b"\\u0143",
            b"\"id\":",
            b"\"content\":",
            b"4294967296",
            b"null",
            b"{",
            b"}",
            b"\xff"
        ],
        longest: 1_000,
        inputs: 20_000,
        ..Target::new("byte-level-tokens", check)
    });
}
