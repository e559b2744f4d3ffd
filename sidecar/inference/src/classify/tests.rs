use std::path::{Path, PathBuf};
use std::sync::Arc;

use ostler_crds::names::Dtype;

use super::*;
use crate::processor::{Precision, Processor};
use crate::weights::Weights;
use crate::weights::pickle::PicklePolicy;

fn computation() -> Computation {
    let processor = Arc::new(Processor::whole());
    let precision = Precision::of(Dtype::Float32, processor.kernels()).unwrap();
    Computation { processor, precision }
}

fn source<'a>(folder: &'a Path, computation: &'a Computation) -> Source<'a> {
    Source {
        folder,
        pickle: &PicklePolicy::Refused,
        processor: &computation.processor,
        packed: None,
        part: "",
    }
}

fn loaded(folder: &Path, architecture: Architecture) -> Result<Classifier, LoadError> {
    let computation = computation();
    load(&source(folder, &computation), architecture, &computation, Purpose::Run)
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn shipped() -> PathBuf {
    folder("../../examples/models/xlm-roberta-language-detection")
}

fn classify(classifier: &Classifier, texts: &[&str]) -> Vec<Vec<LabelScore>> {
    let job = ClassifyJob { texts: texts.iter().map(|text| (*text).to_owned()).collect() };
    match classifier.run(&Job::Classify(job), &Control::default()).unwrap() {
        Output::Labels(labels) => labels,
        other => panic!("{other:?}"),
    }
}

/// The inputs and transformers' probabilities that lie beside the shipped model.
#[test]
fn the_shipped_model_gives_transformers_probabilities() {
    let classifier = loaded(&shipped(), Architecture::XlmRoberta).unwrap();
    classifier.canary().unwrap();
    let expected = std::fs::read_to_string(shipped().join("expected.tsv")).unwrap();
    let mut lines = expected.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let names = lines.next().unwrap();
    let rows: Vec<Vec<&str>> = lines.collect();
    let texts: Vec<&str> = rows.iter().map(|row| row[0]).collect();
    assert_eq!(rows.len(), 30);
    for (labels, row) in classify(&classifier, &texts).iter().zip(&rows) {
        assert_eq!(labels[0].label, row[1], "{}", row[0]);
        for (name, expected) in names.iter().zip(row).skip(2) {
            let score = labels.iter().find(|label| label.label == *name).unwrap().score;
            let expected: f32 = expected.parse().unwrap();
            assert!((score - expected).abs() < 1e-4, "{}: {name} {score} {expected}", row[0]);
        }
        assert!((labels.iter().map(|label| label.score).sum::<f32>() - 1.0).abs() < 1e-5);
    }
}

/// What transformers computes with the tiny models of `tests/goldens/make_classifier.py`.
#[derive(serde::Deserialize)]
struct Goldens {
    texts: Vec<String>,
    logits: Vec<Vec<f32>>,
}

#[test]
fn tiny_models_give_the_logits_of_transformers_alone_and_in_a_batch() {
    for (name, architecture) in [("xlm-roberta", Architecture::XlmRoberta), ("bert", Architecture::Bert)] {
        let folder = folder("tests/goldens/classifier").join(name);
        let classifier = loaded(&folder, architecture).unwrap();
        let goldens: Goldens =
            serde_json::from_slice(&std::fs::read(folder.join("goldens.json")).unwrap()).unwrap();
        let tokens: Vec<Vec<u32>> =
            goldens.texts.iter().map(|text| classifier.tokens.of(text).unwrap()).collect();
        let together: Vec<&[u32]> = tokens.iter().map(Vec::as_slice).collect();
        let control = Control::default();
        let batch = classifier.model.logits(&together, &control).unwrap();
        for ((tokens, batch), expected) in together.iter().zip(&batch).zip(&goldens.logits) {
            let alone = classifier.model.logits(&[tokens], &control).unwrap();
            assert_eq!(*batch, alone[0], "{name}");
            for (logit, expected) in batch.iter().zip(expected) {
                assert!((logit - expected).abs() < 1e-3, "{name}: {logit} {expected}");
            }
        }
    }
}

#[test]
fn what_is_measured_leaves_out_the_buffer_of_positions() {
    let (folder, computation) = (shipped(), computation());
    let footprint = inspect(&source(&folder, &computation), Architecture::XlmRoberta, &computation).unwrap();
    let weights = Weights::open(&shipped(), &PicklePolicy::Refused, Purpose::Measure).unwrap();
    let buffer = weights.shape("roberta.embeddings.position_ids").unwrap().iter().product::<usize>() as u64;
    let file = std::fs::read(shipped().join("model.safetensors")).unwrap();
    let header = 8 + u64::from_le_bytes(file[..8].try_into().unwrap());
    let weights = file.len() as u64 - header - 8 * buffer;
    // Layers are filled up to whole vectors, which adds little.
    assert!((weights..weights + weights / 10).contains(&footprint.resident_bytes), "{footprint:?} {weights}");
}

/// Row 34: a tokenizer.json from anywhere is an error in bounded time, and never the end of the process.
#[test]
fn row_34_hostile_tokenizers_are_refused() {
    let sound = std::fs::read_to_string(shipped().join("tokenizer.json")).unwrap();
    let cases: [(&str, String); 6] = [
        ("nothing", String::new()),
        ("a web page", "<html>".to_owned()),
        ("deep nesting", "[".repeat(1_000_000)),
        ("an unknown model", r#"{"version":"1.0","model":{"type":"Oracle"}}"#.to_owned()),
        (
            "a broken character map",
            sound.replacen("precompiled_charsmap\": \"AL", "precompiled_charsmap\": \"//", 1),
        ),
        ("cut short", sound[..sound.len() / 2].to_owned()),
    ];
    for (name, text) in cases {
        let copy = tempfile::tempdir().unwrap();
        for file in ["config.json", "model.safetensors"] {
            std::fs::copy(shipped().join(file), copy.path().join(file)).unwrap();
        }
        std::fs::write(copy.path().join("tokenizer.json"), text).unwrap();
        let start = std::time::Instant::now();
        let outcome = loaded(copy.path(), Architecture::XlmRoberta);
        let error = outcome.err().unwrap_or_else(|| panic!("{name} was taken"));
        assert_eq!(error.reason(), "Corrupted", "{name}: {error}");
        assert!(start.elapsed().as_secs() < 10, "{name}");
    }
}

#[test]
fn a_label_too_many_is_a_tensor_of_another_shape() {
    let copy = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        std::fs::copy(shipped().join(file), copy.path().join(file)).unwrap();
    }
    let path = copy.path().join("config.json");
    let config =
        std::fs::read_to_string(&path).unwrap().replace("\"4\": \"fr\"", "\"4\": \"fr\", \"5\": \"pt\"");
    std::fs::write(&path, config).unwrap();
    let computation = computation();
    let error =
        inspect(&source(copy.path(), &computation), Architecture::XlmRoberta, &computation).unwrap_err();
    assert!(
        matches!(&error, LoadError::WrongShape { tensor, .. } if tensor == "classifier.out_proj.bias"),
        "{error}"
    );
}
