//! OpenAI's own weights on real speech: text, tokens and times of transformers 5 in float32.
//!
//! The weights are fetched into the cache on the first run (`tests/real-models/fetch.sh`); `OSTLER_REAL_MODELS` names
//! a folder that has them already. Where there is neither, these tests fail.

#![expect(clippy::expect_used, reason = "a test that fails is to stop")]

mod speech;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use speech::{Clip, job, load, run};

use ostler_inference::engine::{Engine, Temperature, TranscribeJob, Transcript};

fn recordings() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/real-models")
}

/// The folder of the weights, fetched where it is not there.
fn weights(model: &str) -> PathBuf {
    if let Some(folder) = std::env::var_os("OSTLER_REAL_MODELS") {
        return PathBuf::from(folder).join(model);
    }
    let cache = std::env::var_os("OSTLER_CACHE").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").expect("HOME or OSTLER_CACHE")).join(".cache/ostler"),
        PathBuf::from,
    );
    let folder = cache.join("real-models").join(model);
    if !folder.exists() {
        let status = Command::new(recordings().join("fetch.sh")).status().expect("fetch.sh starts");
        assert!(status.success(), "tests/real-models/fetch.sh could not get the weights: {status}");
    }
    folder
}

fn expected(model: &str) -> Vec<Value> {
    let lines = std::fs::read_to_string(recordings().join("expected.jsonl")).expect("expected.jsonl");
    let all = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    all.filter(|line| line["model"] == model).collect()
}

fn tokens(transcript: &Transcript) -> Vec<u64> {
    transcript.segments.iter().flat_map(|segment| &segment.tokens).map(|token| u64::from(*token)).collect()
}

/// Transcribes every recording of the model with so many beams and compares all of the answer.
fn compare(model: &str, key: &str, beams: usize) {
    let engine = load(&weights(model));
    engine.canary().expect("finite numbers");
    for line in expected(model) {
        let file = line["file"].as_str().expect("a name");
        let clip = Clip::read(&recordings().join("audio").join(file));
        let plain = TranscribeJob { beams: Some(beams), temperature: Temperature::Fixed(0.0), ..job(&clip) };
        let heard = run(engine.as_ref(), plain);
        let answer = &line[key];
        assert_eq!(heard.language, line["language"].as_str().expect("a language"), "{model} {file}");
        let expected_tokens: Vec<u64> = answer["tokens"]
            .as_array()
            .expect("tokens")
            .iter()
            .map(|token| token.as_u64().expect("an id"))
            .collect();
        assert_eq!(tokens(&heard), expected_tokens, "{model} {file} {key}: {}", heard.text);
        assert_eq!(heard.text, answer["text"].as_str().expect("a text"), "{model} {file} {key}");
        let segments = answer["segments"].as_array().expect("segments");
        assert_eq!(heard.segments.len(), segments.len(), "{model} {file} {key}");
        for (found, expected) in heard.segments.iter().zip(segments) {
            let seconds = |at: usize| expected[at].as_f64().expect("seconds");
            assert!((found.start - seconds(0)).abs() < 1e-3, "{model} {file} {key}: {found:?} {expected}");
            assert!((found.end - seconds(1)).abs() < 1e-3, "{model} {file} {key}: {found:?} {expected}");
            assert_eq!(found.text, expected[2].as_str().expect("a text"), "{model} {file} {key}");
        }
    }
}

#[test]
fn base_greedy_equals_transformers() {
    compare("whisper-base", "greedy", 1);
}

#[test]
fn base_with_five_beams_equals_transformers() {
    compare("whisper-base", "beam5", 5);
}

#[test]
fn tiny_english_equals_transformers() {
    compare("whisper-tiny.en", "greedy", 1);
    compare("whisper-tiny.en", "beam5", 5);
}

/// Words and their times, within 20 ms: one step of a timestamp.
#[test]
fn words_are_where_transformers_hears_them() {
    let lines =
        std::fs::read_to_string(recordings().join("expected-words.jsonl")).expect("expected-words.jsonl");
    let mut engines: BTreeMap<String, Box<dyn Engine>> = BTreeMap::new();
    for line in lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")) {
        let (model, file) =
            (line["model"].as_str().expect("a model"), line["file"].as_str().expect("a name"));
        let engine = engines.entry(model.to_owned()).or_insert_with(|| load(&weights(model)));
        let clip = Clip::read(&recordings().join("audio").join(file));
        // The pipeline searches with five beams unless it is told otherwise.
        let plain =
            TranscribeJob { words: true, beams: Some(5), temperature: Temperature::Fixed(0.0), ..job(&clip) };
        let heard = run(engine.as_ref(), plain);
        let found: Vec<_> = heard.segments.iter().flat_map(|segment| &segment.words).collect();
        let expected = line["words"].as_array().expect("words");
        let texts: Vec<&str> = found.iter().map(|word| word.text.as_str()).collect();
        let expected_texts: Vec<&str> =
            expected.iter().map(|word| word[0].as_str().expect("a word").trim()).collect();
        assert_eq!(texts, expected_texts, "{model} {file}");
        for (word, expected) in found.iter().zip(expected) {
            let seconds = |at: usize| expected[at].as_f64().expect("seconds");
            let is_close = |found: f64, expected: f64| (found - expected).abs() < 0.0201;
            assert!(
                is_close(word.start, seconds(1)) && is_close(word.end, seconds(2)),
                "{file}: {word:?} {expected}"
            );
        }
    }
}

/// Greedy tokens and detected languages of the first 30 s, without timestamps.
#[test]
fn without_timestamps_the_first_window_equals_transformers() {
    let table = std::fs::read_to_string(recordings().join("expected.tsv")).expect("expected.tsv");
    let mut engines: BTreeMap<String, Box<dyn Engine>> = BTreeMap::new();
    for line in table.lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [file, model, _, language, probability, text, expected, _] = columns[..] else {
            panic!("eight columns: {line}");
        };
        let engine = engines.entry(model.to_owned()).or_insert_with(|| load(&weights(model)));
        let mut clip = Clip::read(&recordings().join("audio").join(file));
        clip.samples = clip.samples.iter().copied().take(480_000).collect();
        let plain = TranscribeJob { timestamps: false, temperature: Temperature::Fixed(0.0), ..job(&clip) };
        let heard = run(engine.as_ref(), plain);
        let expected: Vec<u64> = expected.split(' ').map(|token| token.parse().expect("an id")).collect();
        assert_eq!(tokens(&heard), expected, "{model} {file}: {}", heard.text);
        assert_eq!((heard.text.as_str(), heard.language.as_str()), (text, language), "{model} {file}");
        if let Some(found) = heard.language_probability {
            let expected: f32 = probability.parse().expect("a probability");
            assert!((found - expected).abs() < 1e-3, "{model} {file}: {found} for {expected}");
        }
    }
}
