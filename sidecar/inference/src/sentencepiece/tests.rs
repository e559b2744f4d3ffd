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
    assert!(pieces.unigram.is_some(), "{} is a unigram model", path.display());
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
        for text in texts {
            assert_eq!(pieces.encode(text).unwrap(), library.encode(text).unwrap(), "{text:?}");
            assert_eq!(pieces.encode_to_ids(text).unwrap(), library.encode_to_ids(text).unwrap(), "{text:?}");
        }
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
}
