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

#[test]
fn the_shipped_model_translates_english_into_german() {
    let marian = load(&shipped("opus-mt-en-de"), &PicklePolicy::Refused, Purpose::Run).unwrap();
    let texts = ["hello", "We load fourteen houses! stop.  open the left\n", " \n", ""];
    eprintln!("{:?}", translate(&marian, &texts, Some(1)));
    eprintln!("{:?}", translate(&marian, &texts, None));
}
