use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::sentencepiece::message::PieceMessage;

mod fuzz;

/// The source and target models of the small translation models.
fn models() -> Vec<PathBuf> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/models");
    ["opus-mt-en-de", "opus-mt-de-en", "opus-mt-en-fr"]
        .iter()
        .flat_map(|name| ["source.spm", "target.spm"].map(|file| examples.join(name).join(file)))
        .collect()
}

fn read(path: &Path) -> (SentencePieces, SentencePieceProcessor) {
    let bytes = std::fs::read(path).unwrap();
    let processor = SentencePieceProcessor::from_serialized_model(&bytes).unwrap();
    let pieces = SentencePieces::parse(&bytes).unwrap();
    assert!(matches!(pieces.0, Model::Unigram(_)), "{} is a unigram model", path.display());
    (pieces, processor)
}

#[test]
fn pieces_of_texts_are_those_of_the_library() {
    let texts = [
        "",
        " ",
        "a",
        "The dog sees the sun.",
        "Der Hund sieht die Sonne.",
        "  two  spaces ",
        "ein\u{301}",
        "日本語",
        "x日y本z",
        "🙂🙂 🙂",
        "<unk> </s> >>fra<<",
        "ﬁne ½ Ⅷ",
        "\u{2581}already\u{2581}",
        "aaaaaaaaaaaaaaaaaaaaaaaa",
    ];
    for path in models() {
        let (pieces, library) = read(&path);
        assert_eq!(pieces.count(), library.model().vocab_size());
        for number in 0..=pieces.count() {
            assert_eq!(pieces.piece(number), library.id_to_piece(number).ok());
        }
        for text in texts {
            assert_eq!(pieces.encode(text).unwrap(), library.encode(text).unwrap(), "{text:?}");
            assert_eq!(pieces.encode_to_ids(text).unwrap(), library.encode_to_ids(text).unwrap(), "{text:?}");
        }
    }
}

/// A model's file with something changed.
fn changed(change: impl Fn(&mut ModelMessage)) -> Vec<u8> {
    let bytes = std::fs::read(&models()[0]).unwrap();
    let mut message = ModelMessage::read(&bytes).unwrap();
    change(&mut message);
    prost::Message::encode_to_vec(&message)
}

#[test]
fn spaces_and_pieces_of_the_user_are_those_of_the_library() {
    // Neither spaces in front nor their removal; spaces in front alone.
    for spaces in [[0x18, 0, 0x20, 0].as_slice(), &[0x20, 0]] {
        let bytes = changed(|model| {
            model.normalizer.get_or_insert_default().extend(spaces);
            for piece in &mut model.pieces[40..50] {
                piece.type_number = Some(4);
            }
        });
        let library = SentencePieceProcessor::from_serialized_model(&bytes).unwrap();
        let pieces = SentencePieces::parse(&bytes).unwrap();
        for text in [
            "The dog  sees the sun.",
            "  a",
            "\u{2581}\u{2581}b ",
            &library.id_to_piece(45).unwrap().repeat(3),
        ] {
            let cut = library.encode(text).unwrap();
            assert_eq!(pieces.encode(text).unwrap(), cut, "{text:?}");
            let cut: Vec<&str> = cut.iter().map(String::as_str).collect();
            assert_eq!(pieces.decode(&cut).unwrap(), library.decode_pieces(&cut).unwrap(), "{text:?}");
        }
    }
}

/// Row 34: a small file, or a sound one, may make a text take all memory, or never end.
#[test]
fn row_34_models_that_take_too_much_are_refused() {
    let many: Vec<u8> = [0x0a, 0].repeat((1 << 20) + 1);
    let long = changed(|model| model.pieces[30].piece = Some("a".repeat(1_025)));
    let defined = changed(|model| {
        let piece =
            |number| PieceMessage { piece: Some(format!("<{number}>")), score: None, type_number: Some(4) };
        model.pieces.extend((0..4_097).map(piece));
    });
    let unused = changed(|model| {
        model.trainer = Some(vec![0x18, 2]);
        model.pieces[30].type_number = Some(5);
    });
    // A table with a trie of nothing and one replacement of 300 bytes.
    let table = [&[0_u8; 4][..], &[b'x'; 300], &[0]].concat();
    let rules = [&[0x12, 0xb1, 0x02][..], &table].concat();
    let replaced = changed(|model| model.normalizer = Some(rules.clone()));
    let replaced_after = changed(|model| model.denormalizer = Some(rules.clone()));
    for (bytes, expected) in [
        (many, "1048577 pieces"),
        (long, "piece 30 has more than 1024 bytes"),
        (defined, "4096 pieces of the user's own"),
        (unused, "unused pieces"),
        (replaced, "300 bytes"),
        (replaced_after, "300 bytes"),
    ] {
        let error = SentencePieces::parse(&bytes).err().unwrap();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn damaged_models_are_refused() {
    let twice = changed(|model| model.pieces[30].piece = model.pieces[31].piece.clone());
    let empty = changed(|model| model.pieces[30].piece = None);
    let no_unknown = changed(|model| model.pieces.retain(|piece| piece.type_number != Some(2)));
    let two_unknown = changed(|model| model.pieces[30].type_number = Some(2));
    for (bytes, expected) in [
        (twice.as_slice(), "twice"),
        (&empty, "empty"),
        (&no_unknown, "unknown"),
        (&two_unknown, "unk"),
        (b"no model", ""),
    ] {
        let error = SentencePieces::parse(bytes).err().unwrap();
        assert!(error.contains(expected), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn pieces_of_any_text_are_those_of_the_library(
        words in prop::collection::vec(prop_oneof!["[a-zäöüß]{1,12}", "[A-Z][a-z]{0,8}[.,!?]?", "\\PC{0,6}"], 0..12),
    ) {
        let text = words.join(" ");
        for path in models() {
            let (pieces, library) = read(&path);
            prop_assert_eq!(pieces.encode(&text).unwrap(), library.encode(&text).unwrap());
        }
    }

    #[test]
    fn texts_of_any_pieces_are_those_of_the_library(
        choices in prop::collection::vec((any::<prop::sample::Index>(), "[\u{2581}a ]{0,2}"), 0..12),
    ) {
        for path in models() {
            let (pieces, library) = read(&path);
            // Some are special pieces, some no pieces at all.
            let chosen: Vec<&str> = choices
                .iter()
                .map(|(index, other)| match index.index(5) {
                    0 => other.as_str(),
                    1 => pieces.piece(index.index(3)).unwrap(),
                    _ => pieces.piece(index.index(pieces.count())).unwrap(),
                })
                .collect();
            prop_assert_eq!(pieces.decode(&chosen).unwrap(), library.decode_pieces(&chosen).unwrap());
        }
    }
}
