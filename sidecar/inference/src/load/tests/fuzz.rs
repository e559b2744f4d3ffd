//! Models of which one of the small files may hold anything.

use std::num::NonZeroUsize;
use std::os::unix::fs::symlink;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use ostler_fuzz::{Seed, Target};

use super::*;

/// What a load may ask for here. A budget refuses what asks for more.
const BUDGET: u64 = 32 << 20;

/// The models, each with the files that are changed.
static MODELS: [(&str, Task, &[&str]); 5] = [
    (
        "whisper-multilingual",
        Task::AutomaticSpeechRecognition,
        &["config.json", "generation_config.json", "preprocessor_config.json"],
    ),
    ("marian/shared", Task::Translation, &["config.json", "generation_config.json", "tokenizer_config.json"]),
    (
        "multilingual/m2m100",
        Task::Translation,
        &["config.json", "generation_config.json", "tokenizer_config.json"],
    ),
    ("classifier/bert", Task::TextClassification, &["config.json"]),
    (
        "embed/bert-cls-dense-normalize",
        Task::FeatureExtraction,
        &[
            "config.json",
            "modules.json",
            "sentence_bert_config.json",
            "tokenizer_config.json",
            "1_Pooling/config.json",
        ],
    ),
];

/// The first line of an input says which file of which model the rest is.
fn chosen(bytes: &[u8]) -> Option<(std::path::PathBuf, Task, &'static str, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (model, file) = std::str::from_utf8(&bytes[..end]).ok()?.split_once(' ')?;
    let (folder, task, files) = MODELS.iter().find(|(folder, _, _)| *folder == model)?;
    let file = files.iter().find(|name| **name == file)?;
    Some((golden(folder), *task, *file, &bytes[end + 1..]))
}

/// Links to everything in a folder but for one file, in another.
fn link(from: &Path, to: &Path, left_out: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        match path == left_out {
            true => {}
            false if path.is_dir() => link(&path, &target, left_out),
            false => symlink(path, target).unwrap(),
        }
    }
}

fn processor() -> Arc<Processor> {
    static PROCESSOR: OnceLock<Arc<Processor>> = OnceLock::new();
    Arc::clone(PROCESSOR.get_or_init(|| Arc::new(Processor::new(NonZeroUsize::new(1), None).unwrap())))
}

fn check(bytes: &[u8]) -> String {
    let Some((model, task, file, contents)) = chosen(bytes) else { return "no model".to_owned() };
    let folder = tempfile::tempdir().unwrap();
    link(&model, folder.path(), &model.join(file));
    std::fs::write(folder.path().join(file), contents).unwrap();
    let options = LoadOptions {
        dtype: Dtype::Float32,
        pickle: PicklePolicy::Refused,
        processor: processor(),
        packed: None,
    };
    let footprint = match inspect(folder.path(), task, &options) {
        Ok(footprint) => footprint,
        Err(error) => {
            assert!(!matches!(error.reason(), "ReadFailed" | "LoadFailed" | "OutOfMemory"), "{error}");
            return format!("{file} {}: {error}", error.reason());
        }
    };
    let sum = [footprint.resident_bytes, footprint.transient_bytes, footprint.scratch_bytes];
    if sum.into_iter().fold(0, u64::saturating_add) > BUDGET {
        return format!("{file}: too large");
    }
    // What proves a model after its load catches panics, as who computes with it does.
    let proved = catch_unwind(AssertUnwindSafe(|| {
        let engine = load(folder.path(), task, &options).map_err(|error| error.to_string())?;
        engine.canary().map_err(|error| error.to_string())
    }));
    format!("{file}: {:?}", proved.unwrap_or_else(|_| Err("panicked".to_owned())))
}

fn seeds() -> Vec<Seed> {
    let names = [
        "whisper-config",
        "whisper-generation",
        "whisper-preprocessor",
        "marian-config",
        "marian-generation",
        "marian-tokenizer",
        "m2m100-config",
        "m2m100-generation",
        "m2m100-tokenizer",
        "classifier-config",
        "encoder-config",
        "encoder-modules",
        "encoder-sentences",
        "encoder-tokenizer",
        "encoder-pooling",
    ];
    let files = MODELS.iter().flat_map(|(model, _, files)| files.iter().map(move |file| (model, file)));
    let seed = |(name, (model, file)): (&'static str, (&&str, &&str))| {
        let contents = std::fs::read(golden(model).join(file)).unwrap();
        (name, [format!("{model} {file}\n").as_bytes(), &contents].concat())
    };
    names.into_iter().zip(files).map(seed).collect()
}

/// As row 34 for the other small files of a model: a load of it is refused by name, or the model is one that computes.
#[test]
fn no_config_takes_more_than_it_was_measured_for_or_ends_the_process() {
    ostler_fuzz::run!(Target {
        seeds,
        tokens: &[
            b"null",
            b"-1",
            b"0",
            b"1e308",
            b"1e999",
            b"18446744073709551615",
            b"4294967296",
            b"true",
            b"[]",
            b"{}",
            b"\"\"",
            b"0.0",
            b"\"max_length\": ",
            b"\"num_beams\": 32,",
            b"\"eos_token_id\": 4294967295,",
            b"\"d_model\": ",
            b"../",
            b"\xff",
        ],
        inputs: 250,
        memory: 128 << 20,
        ..Target::new("configs", check)
    });
}
