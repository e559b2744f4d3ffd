use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ostler_crds::names::Dtype;

use super::*;
use crate::processor::{Precision, Processor};
use crate::weights::pickle::PicklePolicy;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/embed").join(name)
}

const GOLDENS: [(&str, Architecture); 4] = [
    ("bert-cls-dense-normalize", Architecture::Bert),
    ("bert-every-pooling", Architecture::Bert),
    ("xlm-roberta-mean", Architecture::XlmRoberta),
    ("xlm-roberta-plain", Architecture::XlmRoberta),
];

/// What sentence-transformers computes with the tiny models of `tests/goldens/make_embed.py`.
#[derive(serde::Deserialize)]
struct Goldens {
    texts: Vec<String>,
    tokens: Vec<usize>,
    vectors: Vec<Vec<f32>>,
}

fn goldens(name: &str) -> Goldens {
    serde_json::from_slice(&fs::read(folder(name).join("goldens.json")).unwrap()).unwrap()
}

fn computation(dtype: Dtype) -> Computation {
    let processor = Arc::new(Processor::whole());
    let precision = Precision::of(dtype, processor.kernels()).unwrap();
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

fn encoder(folder: &Path, architecture: Architecture) -> Result<SentenceEncoder, LoadError> {
    let computation = computation(Dtype::Float32);
    load(&source(folder, &computation), architecture, &computation, Purpose::Run)
}

fn embed(encoder: &SentenceEncoder, texts: &[String], dimensions: Option<usize>) -> Embeddings {
    let job = EmbedJob { texts: texts.to_vec(), dimensions };
    match encoder.run(&Job::Embed(job), &Control::default()).unwrap() {
        Output::Embeddings(embeddings) => embeddings,
        other => panic!("{other:?}"),
    }
}

#[test]
fn tiny_models_give_the_vectors_of_sentence_transformers_alone_and_together() {
    for (name, architecture) in GOLDENS {
        let encoder = encoder(&folder(name), architecture).unwrap();
        encoder.canary().unwrap();
        let goldens = goldens(name);
        let together = embed(&encoder, &goldens.texts, None);
        assert_eq!(together.tokens, goldens.tokens, "{name}");
        for ((text, vector), expected) in goldens.texts.iter().zip(&together.vectors).zip(&goldens.vectors) {
            assert_eq!(vector.len(), expected.len());
            let alone = embed(&encoder, std::slice::from_ref(text), None).vectors.remove(0);
            assert_eq!(*vector, alone, "{name}: {text:?} depends on what is beside it");
            for (number, expected) in vector.iter().zip(expected) {
                assert!((number - expected).abs() < 1e-4, "{name}: {text:?}: {number} {expected}");
            }
        }
    }
}

#[test]
fn shorter_formats_give_nearly_the_same_direction_and_no_text_depends_on_another() {
    for (name, architecture) in GOLDENS {
        let goldens = goldens(name);
        for dtype in [Dtype::Bfloat16, Dtype::Int8] {
            let (folder, computation) = (folder(name), computation(dtype));
            let encoder = load(&source(&folder, &computation), architecture, &computation, Purpose::Run);
            let encoder = encoder.unwrap();
            let together = embed(&encoder, &goldens.texts, None).vectors;
            for ((text, vector), expected) in goldens.texts.iter().zip(&together).zip(&goldens.vectors) {
                let similarity = cosine_similarity(vector, expected);
                assert!(similarity > 0.98, "{name} in {dtype}: {text:?}: {similarity}");
                let alone = embed(&encoder, std::slice::from_ref(text), None).vectors;
                assert_eq!(*vector, alone[0], "{name} in {dtype}: {text:?}");
            }
        }
    }
}

#[test]
fn a_cancelled_job_ends() {
    let encoder = encoder(&folder("xlm-roberta-mean"), Architecture::XlmRoberta).unwrap();
    let control = Control::default();
    control.cancel();
    let job = Job::Embed(EmbedJob { texts: vec!["a fox".to_owned()], dimensions: None });
    assert!(matches!(encoder.run(&job, &control), Err(EngineError::Cancelled)));
}

#[test]
fn fewer_dimensions_are_cut_and_scaled_and_more_are_refused() {
    let encoder = encoder(&folder("xlm-roberta-mean"), Architecture::XlmRoberta).unwrap();
    let texts = ["a red fox".to_owned()];
    let whole = embed(&encoder, &texts, None).vectors.remove(0);
    let cut = embed(&encoder, &texts, Some(5)).vectors.remove(0);
    assert!((cosine_similarity(&cut, &whole[..5]) - 1.0).abs() < 1e-6);
    assert!((cut.iter().map(|number| number * number).sum::<f32>() - 1.0).abs() < 1e-5);
    for dimensions in [0, 17] {
        let job = EmbedJob { texts: texts.to_vec(), dimensions: Some(dimensions) };
        let error = encoder.run(&Job::Embed(job), &Control::default()).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("dimensions: ") && text.ends_with("1 to 16 numbers"), "{text}");
    }
}

#[test]
fn what_is_measured_is_what_the_weights_hold() {
    for (name, architecture) in GOLDENS {
        let computation = computation(Dtype::Float32);
        let folder = folder(name);
        let footprint = inspect(&source(&folder, &computation), architecture, &computation).unwrap();
        let bytes = |file: &str| {
            let weights = fs::read(folder.join(file)).unwrap_or_default();
            let header = weights.first_chunk().map_or(0, |bytes| 8 + u64::from_le_bytes(*bytes));
            weights.len() as u64 - header
        };
        let all = bytes("model.safetensors") + bytes("2_Dense/model.safetensors");
        // The pooler and the head of pre-training are not taken; rows of layers are filled up.
        assert!((all / 2..=2 * all).contains(&footprint.resident_bytes), "{name}: {footprint:?} of {all}");
        assert!(footprint.scratch_bytes > 0);
    }
}

/// A copy of a golden model with one file changed.
fn changed(name: &str, file: &str, change: impl Fn(String) -> String) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in
        fs::read_dir(folder(name)).unwrap().chain(fs::read_dir(folder(name).join("1_Pooling")).unwrap())
    {
        let path = entry.unwrap().path();
        let target = copy.path().join(path.strip_prefix(folder(name)).unwrap());
        if path.is_dir() {
            fs::create_dir(target).unwrap();
        } else {
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            fs::copy(path, target).unwrap();
        }
    }
    let path = copy.path().join(file);
    let text = fs::read_to_string(&path).unwrap();
    let other = change(text.clone());
    assert_ne!(text, other, "nothing of {file} was changed");
    fs::write(path, other).unwrap();
    copy
}

#[test]
fn what_is_wrong_with_a_repository_is_named_with_its_file() {
    let name = "xlm-roberta-mean";
    let cases: [(&str, &str, &str, &str, &str); 5] = [
        ("modules.json", "Pooling\"", "WordWeights\"", "Incompatible", "WordWeights"),
        ("1_Pooling/config.json", "16", "32", "Incompatible", "1_Pooling/config.json"),
        ("sentence_bert_config.json", "12", "\"twelve\"", "Corrupted", "sentence_bert_config.json"),
        ("config_sentence_transformers.json", "\"query\":", "\"other\":", "Corrupted", "default"),
        ("config.json", "\"gelu\"", "\"silu\"", "Incompatible", "hidden_act"),
    ];
    for (file, from, to, reason, expected) in cases {
        let copy = changed(name, file, |text| text.replace(from, to));
        let error = encoder(copy.path(), Architecture::XlmRoberta).err().unwrap();
        assert_eq!(error.reason(), reason, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
    let copy = changed("bert-cls-dense-normalize", "modules.json", |text| text.replace("2_Dense", "9_Dense"));
    let error = encoder(copy.path(), Architecture::Bert).err().unwrap();
    assert_eq!(error.reason(), "MissingFile");
    assert!(error.to_string().contains("9_Dense/config.json"), "{error}");
}

#[test]
fn a_prompt_that_is_not_to_count_is_refused() {
    let copy = changed("xlm-roberta-mean", "1_Pooling/config.json", |text| {
        text.replace(
            "\"pooling_mode_mean_tokens\"",
            "\"include_prompt\": false, \"pooling_mode_mean_tokens\"",
        )
    });
    let error = encoder(copy.path(), Architecture::XlmRoberta).err().unwrap();
    assert!(error.to_string().contains("include_prompt"), "{error}");
}
