use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;

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
