//! Files of which anything may be wrong.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ostler_fuzz::{Seed, Target};

use super::*;
use crate::tokenize::parsed;

const TEXT: &str = "  The dog\u{2581}sees 日本 ½ </s> \u{0}x";

/// What is made of a text. Who computes with a model catches panics: a text fails, and the process lives.
fn caught<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err("panicked".to_owned()))
}

/// Reads a model as [`crate::tokenize::read_sentencepiece`] does, and uses what was read.
fn check(bytes: &[u8]) -> String {
    let own = bytes.to_vec();
    let pieces = match parsed(move || SentencePieces::parse(&own)) {
        Ok(pieces) => pieces,
        Err(message) => return message,
    };
    assert!(pieces.count() <= bytes.len());
    let all: Vec<&str> = (0..pieces.count().min(50)).filter_map(|number| pieces.piece(number)).collect();
    let mut told = format!("unigram: {}", matches!(pieces.0, Model::Unigram(_)));
    // A text of the model's own pieces meets more of it than one that is always the same.
    let own: String = all.iter().flat_map(|piece| piece.chars()).take(200).collect();
    for text in [TEXT, &own] {
        let (ids, cut) = (caught(|| pieces.encode_to_ids(text)), caught(|| pieces.encode(text)));
        let decoded = match (&ids, &cut) {
            (Ok(ids), Ok(cut)) => {
                assert!(ids.iter().all(|id| *id < pieces.count()), "{ids:?}");
                assert!(cut.len() <= 256 * (text.len() + 1), "{cut:?}");
                let cut: Vec<&str> = cut.iter().map(String::as_str).collect();
                caught(|| pieces.decode(&cut)).err()
            }
            _ => None,
        };
        told.push_str(&format!("; {:?} {:?} {decoded:?}", ids.err(), cut.err()));
    }
    told.push_str(&format!("; {:?}", caught(|| pieces.decode(&all)).err()));
    told
}

fn piece(text: &str, score: f32, kind: i32) -> PieceMessage {
    PieceMessage { piece: Some(text.to_owned()), score: Some(score), type_number: Some(kind) }
}

/// A model with few pieces and without rules of its own.
fn model(pieces: Vec<PieceMessage>, kind: u8) -> Vec<u8> {
    let normalizer = Some(vec![0x0a, 8, b'i', b'd', b'e', b'n', b't', b'i', b't', b'y']);
    let message = ModelMessage { pieces, trainer: Some(vec![0x18, kind]), normalizer, denormalizer: None };
    prost::Message::encode_to_vec(&message)
}

fn seeds() -> Vec<Seed> {
    let special = || vec![piece("<unk>", 0.0, 2), piece("<s>", 0.0, 3), piece("</s>", 0.0, 3)];
    let words = || {
        [piece("\u{2581}The", -1.0, 1), piece("\u{2581}", -2.0, 1), piece("do", -3.0, 1), piece("g", -4.0, 1)]
    };
    let all = || special().into_iter().chain(words()).collect::<Vec<_>>();
    let with = |more: PieceMessage| all().into_iter().chain([more]).collect::<Vec<_>>();
    vec![
        ("unigram", model(all(), 1)),
        ("pairs", model(all(), 2)),
        ("pairs-unused", model(with(piece("dog", 1.0, 5)), 2)),
        ("words", model(all(), 3)),
        ("characters", model(all(), 4)),
        ("bytes", model(with(piece("<0x41>", 0.0, 6)), 2)),
        ("defined", model(with(piece("dog", 0.0, 4)), 1)),
        ("twice", model(with(piece("do", -1.0, 1)), 1)),
        ("not-finite", model(with(piece("dog", f32::NAN, 1)), 1)),
        ("no-unknown", model(words().to_vec(), 1)),
        ("nothing", Vec::new()),
    ]
}

/// Row 34 for sentencepiece models.
#[test]
fn row_34_no_model_makes_texts_panic() {
    ostler_fuzz::run!(Target {
        seeds,
        tokens: &[
            b"\x0a\x03\x0a\x01a",
            b"\x18\x01",
            b"\x18\x02",
            b"\x18\x06",
            b"\x15\x00\x00\xc0\x7f",
            b"\x15\x00\x00\x80\x7f",
            b"\xe2\x96\x81",
            b"\x1a\x04\x12\x02\x00\x00",
            b"<0x41>",
            b"\x20\x00",
            b"\x12\x02\x18\x02",
            b"\xff\xff\xff\xff\x0f",
        ],
        longest: 2 << 10,
        inputs: 3_000,
        ..Target::new("sentencepiece", check)
    });
}
