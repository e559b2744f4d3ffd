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

#[test]
fn the_other_direction_and_a_pickle_do_too() {
    let marian = load(&shipped("opus-mt-de-en"), &PicklePolicy::Refused, Purpose::Run).unwrap();
    assert_eq!(translate(&marian, &["Wir laden vierzehn Häuser!"], None), ["We load fourteen houses!"]);
    let refused = load(&shipped("opus-mt-en-fr"), &PicklePolicy::Refused, Purpose::Run).err().unwrap();
    assert_eq!(refused.reason(), "Unsafe");
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(shipped("opus-mt-en-fr")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    let pickle = copy.path().join(files::SINGLE_PICKLE);
    crate::weights::pickle::convert(&pickle, &copy.path().join(files::SINGLE_SAFETENSORS)).unwrap();
    let marian = load(copy.path(), &PicklePolicy::Refused, Purpose::Run).unwrap();
    assert_eq!(translate(&marian, &["We load fourteen houses!"], None), ["Nous chargeons quatorze maisons!"]);
}

/// What transformers computes with one of the tiny models of `tests/goldens/make_marian.py`.
#[derive(serde::Deserialize)]
struct Goldens {
    texts: Vec<String>,
    tokens: Vec<Vec<u32>>,
    forced: Vec<u32>,
    logits: Vec<Vec<Vec<f32>>>,
    found: std::collections::BTreeMap<String, Vec<Vec<u32>>>,
    decoded: Vec<String>,
}

const MODELS: [&str; 4] = ["shared", "separate", "untied", "apart"];

/// The model of that name, its weights converted here where they are a pickle.
fn golden(name: &str) -> (Marian, Goldens) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/marian").join(name);
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    let pickle = copy.path().join(files::SINGLE_PICKLE);
    if pickle.exists() {
        crate::weights::pickle::convert(&pickle, &copy.path().join(files::SINGLE_SAFETENSORS)).unwrap();
    }
    let marian = load(copy.path(), &PicklePolicy::Refused, Purpose::Run).unwrap();
    marian.canary().unwrap();
    let goldens = std::fs::read(folder.join("goldens.json")).unwrap();
    (marian, serde_json::from_slice(&goldens).unwrap())
}

#[test]
fn texts_become_the_tokens_of_transformers() {
    for name in MODELS {
        let (marian, goldens) = golden(name);
        for (text, expected) in goldens.texts.iter().zip(&goldens.tokens) {
            assert_eq!(&marian.tokenizer.encode(text).unwrap(), expected, "{name}: {text:?}");
        }
    }
}

#[test]
fn logits_of_a_padded_batch_are_those_of_transformers() {
    for name in MODELS {
        let (marian, goldens) = golden(name);
        let control = Control::default();
        let encoded =
            marian.translator.model.encode(&goldens.tokens, marian.translator.limits.pad, &control).unwrap();
        let mut past = vec![None; marian.translator.model.config.decoder.layers];
        for (position, token) in goldens.forced.iter().enumerate() {
            let column = vec![*token; goldens.tokens.len()];
            let logits =
                marian.translator.model.decode(&column, position, &encoded, &mut past, &control).unwrap();
            let logits: Vec<Vec<f32>> = logits.to_vec2().unwrap();
            for (row, (logits, steps)) in logits.iter().zip(&goldens.logits).enumerate() {
                for (ours, theirs) in logits.iter().zip(&steps[position]) {
                    assert!((ours - theirs).abs() < 1e-3, "{name}, row {row}, position {position}");
                }
                assert_eq!(logits.len(), steps[position].len());
            }
        }
    }
}

#[test]
fn greedy_and_beam_search_find_the_tokens_of_transformers_alone_and_in_a_batch() {
    for name in MODELS {
        let (marian, goldens) = golden(name);
        for (beams, expected) in &goldens.found {
            let beams = beams.parse().unwrap();
            let together = marian.translator.generate(&goldens.tokens, beams, &Control::default()).unwrap();
            for ((tokens, together), expected) in goldens.tokens.iter().zip(together).zip(expected) {
                let alone = marian
                    .translator
                    .generate(std::slice::from_ref(tokens), beams, &Control::default())
                    .unwrap();
                assert_eq!(&alone[0], expected, "{name}, {beams} beams, alone");
                assert_eq!(&together, expected, "{name}, {beams} beams, in a batch");
            }
        }
    }
}

#[test]
fn tokens_become_the_texts_of_transformers() {
    for name in MODELS {
        let (marian, goldens) = golden(name);
        let own = marian.translator.generation.num_beams.unwrap().to_string();
        for (tokens, expected) in goldens.found[&own].iter().zip(&goldens.decoded) {
            assert_eq!(&marian.tokenizer.decode(tokens).unwrap(), expected, "{name}");
        }
    }
}

#[test]
fn what_is_measured_is_what_the_loaded_tensors_hold() {
    let folder = shipped("opus-mt-en-de");
    let footprint = inspect(&folder, &PicklePolicy::Refused).unwrap();
    let weights = std::fs::metadata(folder.join("model.safetensors")).unwrap().len();
    // All weights are 32-bit in the file; two tables of positions are computed, 128 positions of 64 numbers each.
    let header = {
        let bytes = std::fs::read(folder.join("model.safetensors")).unwrap();
        8 + u64::from_le_bytes(bytes[..8].try_into().unwrap())
    };
    assert_eq!(footprint.resident_bytes, weights - header + 2 * 128 * 64 * 4);
    assert!(footprint.scratch_bytes > 0 && footprint.scratch_bytes < 512 << 20);
}

fn failure(change: impl FnOnce(&Path)) -> LoadError {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(shipped("opus-mt-en-de")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    change(copy.path());
    let measured = inspect(copy.path(), &PicklePolicy::Refused).unwrap_err();
    let loaded = load(copy.path(), &PicklePolicy::Refused, Purpose::Run).err().unwrap();
    assert_eq!(measured.to_string(), loaded.to_string());
    loaded
}

fn edit(folder: &Path, file: &str, change: impl FnOnce(&mut serde_json::Value)) {
    let path = folder.join(file);
    let mut json = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut json);
    std::fs::write(&path, json.to_string()).unwrap();
}

#[test]
fn a_folder_that_does_not_fit_together_is_refused_by_name_before_weights_are_read() {
    let cases: [(&str, &str, LoadError); 6] = [
        (
            "Incompatible",
            "\"model.decoder.layers.2.self_attn.q_proj.weight\"",
            failure(|folder| {
                edit(folder, "config.json", |json| json["decoder_layers"] = 3.into());
            }),
        ),
        (
            "Incompatible",
            "\"model.decoder.layers.1.",
            failure(|folder| {
                edit(folder, "config.json", |json| json["decoder_layers"] = 1.into());
            }),
        ),
        (
            "Incompatible",
            "config.json calls for [128, 64]",
            failure(|folder| {
                edit(folder, "config.json", |json| json["encoder_ffn_dim"] = 128.into());
            }),
        ),
        (
            "MissingFile",
            "target.spm",
            failure(|folder| {
                std::fs::remove_file(folder.join("source.spm")).unwrap();
                std::fs::rename(folder.join("target.spm"), folder.join("source.spm")).unwrap();
                edit(folder, "tokenizer_config.json", |json| json["separate_vocabs"] = true.into());
                std::fs::copy(folder.join("vocab.json"), folder.join("target_vocab.json")).unwrap();
            }),
        ),
        (
            "Corrupted",
            "source.spm",
            failure(|folder| {
                std::fs::write(folder.join("source.spm"), b"\x0a\xff\xff\xff\xff\x7f").unwrap();
            }),
        ),
        (
            "Incompatible",
            "vocab.json",
            failure(|folder| {
                edit(folder, "vocab.json", |json| json["far"] = 5000.into());
            }),
        ),
    ];
    for (reason, part, error) in cases {
        assert_eq!(error.reason(), reason, "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn weights_that_are_no_numbers_fail_the_canary() {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(shipped("opus-mt-en-de")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    let path = copy.path().join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let end = bytes.len() - 4000;
    bytes[end..].copy_from_slice(&f32::NAN.to_le_bytes().repeat(1000));
    std::fs::write(&path, bytes).unwrap();
    let marian = load(copy.path(), &PicklePolicy::Refused, Purpose::Run).unwrap();
    assert!(matches!(marian.canary(), Err(EngineError::NotFinite(_))));
}

#[test]
fn jobs_that_cannot_be_done_say_what_to_change() {
    let marian = load(&shipped("opus-mt-en-de"), &PicklePolicy::Refused, Purpose::Run).unwrap();
    let job = TranslateJob {
        texts: vec!["hello".to_owned()],
        source: None,
        target: None,
        beams: None,
        split_sentences: false,
    };
    let cases = [
        (TranslateJob { beams: Some(0), ..job.clone() }, "beams"),
        (TranslateJob { beams: Some(1000), ..job.clone() }, "beams"),
        (TranslateJob { source: Some("fr".to_owned()), ..job.clone() }, "source"),
        (TranslateJob { target: Some("fr".to_owned()), ..job.clone() }, "target"),
        (TranslateJob { texts: vec!["seven ".repeat(500)], ..job.clone() }, "texts"),
        (TranslateJob { texts: vec!["x".repeat(2 << 20)], ..job.clone() }, "texts"),
    ];
    for (job, field) in cases {
        match marian.run(&Job::Translate(job), &Control::default()) {
            Err(EngineError::InvalidInput { parameter, .. }) => assert_eq!(parameter, field),
            other => panic!("{field}: {other:?}"),
        }
    }
    let other = Job::Classify(crate::engine::ClassifyJob { texts: Vec::new() });
    assert!(matches!(marian.run(&other, &Control::default()), Err(EngineError::WrongTask(_))));
}

#[test]
fn a_cancelled_job_ends() {
    let marian = load(&shipped("opus-mt-en-de"), &PicklePolicy::Refused, Purpose::Run).unwrap();
    let control = Control::default();
    control.cancel();
    let outcome = marian.translator.generate(&[vec![5, 0]], 2, &control);
    assert!(matches!(outcome, Err(EngineError::Cancelled)));
}
