use std::path::{Path, PathBuf};

use super::*;
use crate::engine::TranslateJob;

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/models").join(name)
}

fn translate(marian: &Marian, texts: &[&str], beams: Option<usize>) -> Vec<String> {
    let job = TranslateJob {
        texts: texts.iter().map(|text| (*text).to_owned()).collect(),
        source: None,
        target: None,
        beams,
        split_sentences: true,
    };
    match marian.run(&Job::Translate(job), &Control::default()).unwrap() {
        Output::Translations(texts) => texts,
        other => panic!("{other:?}"),
    }
}

/// Expected: transformers 5.23.0 on the same files.
#[test]
fn the_shipped_model_translates_as_transformers_does() {
    let marian = load(&shipped("opus-mt-en-de"), &PicklePolicy::Refused, Purpose::Run).unwrap();
    marian.canary().unwrap();
    let texts = ["hello", "We load fourteen houses!  stop.\n\nopen the left\n", " \n", ""];
    let expected = ["hallo", "Wir laden vierzehn Häuser!  stopp\n\nöffnen null bereit links\n", " \n", ""];
    assert_eq!(translate(&marian, &texts, Some(1)), expected);
    assert_eq!(translate(&marian, &texts, None), expected);
}
