//! The recordings of `tests/real-models`, what is said in them, and the weights.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::speech::Clip;

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/real-models")
}

/// The folder of the weights, fetched where it is not there.
pub(crate) fn weights(model: &str) -> PathBuf {
    if let Some(folder) = std::env::var_os("OSTLER_REAL_MODELS") {
        return PathBuf::from(folder).join(model);
    }
    let cache = std::env::var_os("OSTLER_CACHE").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").expect("HOME or OSTLER_CACHE")).join(".cache/ostler"),
        PathBuf::from,
    );
    let weights = cache.join("real-models").join(model);
    if !weights.exists() {
        let status = Command::new(folder().join("fetch.sh")).status().expect("fetch.sh starts");
        assert!(status.success(), "tests/real-models/fetch.sh could not get the weights: {status}");
    }
    weights
}

pub(crate) fn clip(file: &str) -> Clip {
    Clip::read(&folder().join("audio").join(file))
}

/// The lines of a file of expected answers.
pub(crate) fn answers(file: &str) -> Vec<Value> {
    let lines = std::fs::read_to_string(folder().join(file)).expect(file);
    lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// A line of `expected.tsv`: a recording, what is said in it, and what a model hears in its first 30 s.
pub(crate) struct Expected {
    pub(crate) file: String,
    pub(crate) model: String,
    pub(crate) language: String,
    pub(crate) probability: f32,
    pub(crate) text: String,
    pub(crate) tokens: Vec<u64>,
    pub(crate) said: String,
}

/// The lines of `expected.tsv`.
pub(crate) fn expected() -> Vec<Expected> {
    let table = std::fs::read_to_string(folder().join("expected.tsv")).expect("expected.tsv");
    let line = |line: &str| {
        let columns: Vec<&str> = line.split('\t').collect();
        let [file, model, _, language, probability, text, tokens, said] = columns[..] else {
            panic!("eight columns: {line}");
        };
        Expected {
            file: file.to_owned(),
            model: model.to_owned(),
            language: language.to_owned(),
            probability: probability.parse().expect("a probability"),
            text: text.to_owned(),
            tokens: tokens.split(' ').map(|token| token.parse().expect("an id")).collect(),
            said: said.to_owned(),
        }
    };
    table.lines().skip(1).map(line).collect()
}
