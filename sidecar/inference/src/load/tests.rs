use super::*;

mod fuzz;
mod packed;
mod tensors;

fn options(dtype: Dtype) -> LoadOptions {
    LoadOptions {
        dtype,
        pickle: PicklePolicy::Refused,
        processor: Arc::new(Processor::whole()),
        packed: None,
    }
}

fn shipped(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/models").join(name)
}

#[test]
fn the_shipped_models_load_for_their_task_in_both_formats_that_run() {
    let cases =
        [("opus-mt-en-de", Task::Translation), ("xlm-roberta-language-detection", Task::TextClassification)];
    for (name, task) in cases {
        for dtype in [Dtype::Auto, Dtype::Float32] {
            assert!(inspect(&shipped(name), task, &options(dtype)).unwrap().resident_bytes > 0);
            load(&shipped(name), task, &options(dtype)).unwrap().canary().unwrap();
        }
    }
}

fn golden(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name)
}

#[test]
fn a_sentence_encoder_loads_for_both_of_its_tasks() {
    for task in Task::EMBEDDING {
        let folder = golden("embed/xlm-roberta-mean");
        assert!(inspect(&folder, task, &options(Dtype::Auto)).unwrap().resident_bytes > 0);
        load(&folder, task, &options(Dtype::Auto)).unwrap().canary().unwrap();
    }
}

#[test]
fn a_fasttext_model_is_found_by_its_name_in_a_folder_without_a_config() {
    let folder = tempfile::tempdir().unwrap();
    let task = Task::TextClassification;
    std::fs::copy(golden("fasttext/characters-hs.ftz"), folder.path().join("lid.176.ftz")).unwrap();
    assert!(inspect(folder.path(), task, &options(Dtype::Auto)).unwrap().resident_bytes > 0);
    load(folder.path(), task, &options(Dtype::Auto)).unwrap().canary().unwrap();
    assert!(load(folder.path(), Task::Translation, &options(Dtype::Auto)).is_err());
}

#[test]
fn a_format_that_does_not_run_is_named() {
    let fasttext = tempfile::tempdir().unwrap();
    std::fs::copy(golden("fasttext/characters-hs.ftz"), fasttext.path().join("model.ftz")).unwrap();
    let labels = Task::TextClassification;
    let cases = [
        (Dtype::Float16, Task::Translation, shipped("opus-mt-en-de")),
        (Dtype::Float16, labels, shipped("xlm-roberta-language-detection")),
        (Dtype::Float16, Task::SentenceSimilarity, golden("embed/xlm-roberta-mean")),
        (Dtype::Bfloat16, labels, fasttext.path().to_owned()),
        (Dtype::Int8, labels, fasttext.path().to_owned()),
    ];
    for (dtype, task, folder) in cases {
        let error = inspect(&folder, task, &options(dtype)).unwrap_err();
        assert_eq!(error.reason(), "Incompatible");
        assert!(error.to_string().contains(&dtype.to_string()), "{error}");
    }
}

#[test]
fn an_architecture_that_the_task_has_no_engine_for_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        (Task::Translation, "nllb-moe"),
        (Task::Translation, "whisper"),
        (Task::AutomaticSpeechRecognition, "wav2vec2"),
        (Task::TextClassification, "deberta-v2"),
        (Task::FeatureExtraction, "mpnet"),
        (Task::SentenceSimilarity, "qwen3"),
    ];
    for (task, model_type) in cases {
        let config = serde_json::json!({"model_type": model_type});
        std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        let error = load(folder.path(), task, &options(Dtype::Auto)).err().unwrap();
        assert_eq!(error.reason(), "Incompatible");
        assert!(error.to_string().contains(model_type), "{error}");
    }
}

#[test]
fn a_folder_without_a_readable_config_is_refused_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let refused = || load(folder.path(), Task::Translation, &options(Dtype::Auto)).err().unwrap();
    assert_eq!(refused().reason(), "MissingFile");
    let cases: [(&str, String); 5] = [
        ("nothing", String::new()),
        ("a web page", "<html>".to_owned()),
        ("no type", "{}".to_owned()),
        ("deep nesting", "[".repeat(1_000_000)),
        ("too large", " ".repeat(5 << 20)),
    ];
    for (name, text) in cases {
        std::fs::write(folder.path().join("config.json"), text).unwrap();
        let error = refused();
        assert_eq!(error.reason(), "Corrupted", "{name}");
        assert!(error.to_string().contains("config.json"), "{name}: {error}");
    }
    std::fs::remove_file(folder.path().join("config.json")).unwrap();
    std::fs::create_dir(folder.path().join("config.json")).unwrap();
    assert_eq!(refused().reason(), "Corrupted");
}
