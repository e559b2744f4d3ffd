use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

mod fuzz;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/fasttext")
}

/// What fastText predicts with the small models of `tests/goldens/make_fasttext.py`.
#[derive(serde::Deserialize)]
struct Goldens {
    texts: Vec<String>,
    models: BTreeMap<String, Vec<Vec<(String, f32)>>>,
}

fn goldens() -> Goldens {
    serde_json::from_slice(&fs::read(folder().join("goldens.json")).unwrap()).unwrap()
}

fn supported() -> Vec<String> {
    goldens().models.into_keys().filter(|name| !name.starts_with("unsupported")).collect()
}

#[test]
fn every_kind_of_model_gives_fasttexts_labels_and_probabilities() {
    let goldens = goldens();
    let names = supported();
    assert_eq!(names.len(), 6);
    for name in names {
        let model = load(&folder(), &name).unwrap();
        model.canary().unwrap();
        let job = ClassifyJob { texts: goldens.texts.clone() };
        let Output::Labels(labels) = model.run(&Job::Classify(job), &Control::default()).unwrap() else {
            panic!("no labels")
        };
        for ((text, labels), expected) in goldens.texts.iter().zip(&labels).zip(&goldens.models[&name]) {
            assert!(!expected.is_empty());
            for (place, (label, probability)) in expected.iter().enumerate() {
                let found = labels.iter().find(|found| found.label == *label).unwrap();
                let expected = probability.min(1.0);
                assert!((found.score - expected).abs() < 1e-5, "{name}: {text:?}: {found:?} {expected}");
                // Labels that are as probable as each other may stand in any order.
                assert!((labels[place].score - expected).abs() < 1e-5, "{name}: {text:?}: {place}");
            }
            let sum: f32 = labels.iter().map(|label| label.score).sum();
            assert!((sum - 1.0).abs() < 0.01, "{name}: {text:?}: {sum}");
        }
    }
}

#[test]
fn a_text_of_nothing_that_the_model_knows_has_no_label() {
    let bytes = fs::read(folder().join("words-softmax.bin")).unwrap();
    // Without the end of a text as a word of its own, no row is left.
    let place = bytes.windows(5).position(|window| window == b"</s>\0").unwrap();
    let mut other = bytes.clone();
    other[place] = b'(';
    let model = read(&other).unwrap();
    assert_eq!(model.label("unheard").unwrap(), []);
    assert!(!model.label("the unheard").unwrap().is_empty());
}

#[test]
fn what_is_measured_is_about_what_the_file_holds() {
    for name in supported() {
        let file = fs::metadata(folder().join(&name)).unwrap().len();
        let footprint = inspect(&folder(), &name).unwrap();
        assert!(
            (file / 2..2 * file + 20_000).contains(&footprint.resident_bytes),
            "{name}: {footprint:?} {file}"
        );
        assert!(footprint.scratch_bytes > 0);
    }
}

#[test]
fn other_files_and_other_models_are_refused_by_name() {
    let error = load(&folder(), "unsupported-ova.bin").err().unwrap();
    assert_eq!(error.reason(), "Incompatible");
    assert!(error.to_string().contains("one-vs-all"), "{error}");
    assert_eq!(load(&folder(), "goldens.json").err().unwrap().reason(), "Corrupted");
    assert_eq!(load(&folder(), "none.bin").err().unwrap().reason(), "ReadFailed");
    let sound = fs::read(folder().join("characters-hs.ftz")).unwrap();
    let with = |place: usize, number: i32| {
        let mut bytes = sound.clone();
        bytes[place..place + 4].copy_from_slice(&number.to_le_bytes());
        read(&bytes).err().unwrap().to_string()
    };
    for (place, number, expected) in [
        (0, 7, "does not begin with its magic number"),
        (4, 13, "version 13"),
        (8, 0, "dim is 0"),
        (8, 1 << 20, "dim is 1048576"),
        (28, 17, "wordNgrams is 17"),
        (32, 2, "the loss is ns"),
        (36, 1, "word vectors"),
        (40, -1, "bucket is -1"),
        (40, 0, "bucket is 0"),
        (40, 1 << 30, "the input matrix has"),
        (48, 65, "maxn is 65"),
        (64, i32::MAX, "are not 2147483647 entries"),
        (72, 0, "the count of labels is 0"),
    ] {
        let error = with(place, number);
        assert!(error.contains(expected), "{place}: {error}");
    }
}

/// Row 33: also what no first job would meet.
#[test]
fn row_33_weights_that_are_no_numbers_are_refused_wherever_they_are() {
    let mut seen = BTreeMap::new();
    for name in supported() {
        let sound = fs::read(folder().join(&name)).unwrap();
        assert!(read(&sound).is_ok());
        // Matrices end a file; of what is quantised most bytes are codes.
        for place in (0..sound.len().min(4_000)).step_by(97).map(|back| sound.len() - 4 - back) {
            let mut bytes = sound.clone();
            bytes[place..place + 4].copy_from_slice(&[0xff; 4]);
            if let Err(LoadError::NotFinite { file, tensor }) = read(&bytes) {
                assert_eq!(file, "model.bin");
                *seen.entry(tensor).or_insert(0) += 1;
            }
        }
    }
    for tensor in ["the input matrix", "the output matrix", "the centroids of a quantiser"] {
        assert!(seen.contains_key(tensor), "{seen:?}");
    }
}

fn read(bytes: &[u8]) -> Result<FastText, LoadError> {
    FastText::read(Source::new(Cursor::new(bytes), bytes.len() as u64, "model.bin"), Purpose::Run)
}

/// Whatever a file holds, it is refused or it labels texts, and both ways of reading it agree.
fn survives(bytes: &[u8]) {
    let measured =
        FastText::read(Source::new(Cursor::new(bytes), bytes.len() as u64, "model.bin"), Purpose::Measure);
    let model = read(bytes);
    // Weights are looked at when they are read, and not when they are measured.
    if !matches!(model, Err(LoadError::NotFinite { .. })) {
        assert_eq!(measured.is_ok(), model.is_ok());
    }
    if let Ok(model) = model {
        let labels = model.label("das ist ein Haus \u{0} </s> the dog");
        assert!(labels.is_ok() || matches!(labels, Err(EngineError::NotFinite(_))));
        drop(model.canary());
    }
}

proptest! {
    #[test]
    fn garbage_and_damage_never_panic(
        model in 0usize..6,
        cut in proptest::option::of(0.0f64..1.0),
        changes in proptest::collection::vec((0.0f64..1.0, any::<bool>(), any::<u8>()), 0..12),
    ) {
        let mut bytes = fs::read(folder().join(&supported()[model])).unwrap();
        for (place, near_the_start, byte) in changes {
            // The header and the dictionary are where most can go wrong.
            let range = if near_the_start { 200 } else { bytes.len() };
            bytes[(place * range as f64) as usize] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate((cut * bytes.len() as f64) as usize);
        }
        survives(&bytes);
    }

    #[test]
    fn any_bytes_after_the_magic_number_never_panic(rest in proptest::collection::vec(any::<u8>(), 0..400)) {
        survives(&[&793_712_314i32.to_le_bytes()[..], &12i32.to_le_bytes(), &rest].concat());
    }

    #[test]
    fn any_text_is_labelled(text in "\\PC{0,60}") {
        let model = load(&folder(), "characters-hs.bin").unwrap();
        prop_assert_eq!(model.label(&text).unwrap().len(), 5);
    }
}
