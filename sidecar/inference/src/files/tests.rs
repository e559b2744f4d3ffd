use super::*;

fn listing(names: &[&str]) -> Vec<(String, u64)> {
    names.iter().map(|name| ((*name).to_owned(), 10)).collect()
}

const MARIAN: [&str; 4] = ["config.json", "source.spm", "target.spm", "vocab.json"];

fn marian(more: &[&str]) -> Vec<(String, u64)> {
    listing(&[&MARIAN[..], more].concat())
}

#[test]
fn safetensors_are_preferred_and_other_frameworks_left_out() {
    let files = marian(&[
        "model.safetensors",
        "pytorch_model.bin",
        "tf_model.h5",
        "flax_model.msgpack",
        "onnx/model.onnx",
        "rust_model.ot",
        "README.md",
        "generation_config.json",
        "tokenizer_config.json",
    ]);
    let selected = select(Task::Translation, &files, true).unwrap();
    let expected = [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "source.spm",
        "target.spm",
        "tokenizer_config.json",
        "vocab.json",
    ];
    assert_eq!(selected, expected);
}

#[test]
fn a_translator_of_many_languages_comes_with_its_one_tokenizer() {
    let cases: [&[&str]; 3] = [
        &["config.json", "model.safetensors", "sentencepiece.bpe.model", "vocab.json"],
        &["config.json", "model.safetensors", "sentencepiece.bpe.model"],
        &["config.json", "model.safetensors", "tokenizer.json"],
    ];
    for names in cases {
        let files = listing(&[names, &["flax_model.msgpack", "README.md"]].concat());
        assert_eq!(select(Task::Translation, &files, true).unwrap(), names);
    }
}

#[test]
fn all_shards_come_with_their_index() {
    let files = listing(&[
        "config.json",
        "tokenizer.json",
        "model.safetensors.index.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.fp32-00001-of-00002.safetensors",
        "pytorch_model.bin",
    ]);
    let selected = select(Task::AutomaticSpeechRecognition, &files, true).unwrap();
    let expected = [
        "config.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
        "tokenizer.json",
    ];
    assert_eq!(selected, expected);
}

#[test]
fn a_sentence_encoder_comes_with_its_modules() {
    let files = listing(&[
        "config.json",
        "tokenizer.json",
        "model.safetensors",
        "modules.json",
        "sentence_bert_config.json",
        "config_sentence_transformers.json",
        "1_Pooling/config.json",
        "2_Dense/config.json",
        "2_Dense/model.safetensors",
        "2_Dense/pytorch_model.bin",
        "3_Normalize/README.md",
        "onnx/config.json",
        "onnx/model.safetensors",
        "openvino/openvino_model.bin",
    ]);
    let expected = [
        "1_Pooling/config.json",
        "2_Dense/config.json",
        "2_Dense/model.safetensors",
        "config.json",
        "config_sentence_transformers.json",
        "model.safetensors",
        "modules.json",
        "sentence_bert_config.json",
        "tokenizer.json",
    ];
    for task in Task::EMBEDDING {
        assert_eq!(select(task, &files, false).unwrap(), expected);
    }
    let with_a_pickle: Vec<_> =
        files.into_iter().filter(|(name, _)| name != "2_Dense/model.safetensors").collect();
    let selected = select(Task::SentenceSimilarity, &with_a_pickle, true).unwrap();
    assert!(selected.contains(&"2_Dense/pytorch_model.bin".to_owned()));
    let error = select(Task::SentenceSimilarity, &with_a_pickle, false).unwrap_err();
    assert_eq!(error.reason(), "Unsafe");
    assert!(error.to_string().contains("2_Dense/pytorch_model.bin"), "{error}");
}

#[test]
fn a_fasttext_model_is_one_file_where_there_is_no_other_model() {
    for (names, expected) in [
        (&["README.md", "model.bin"][..], Some("model.bin")),
        (&["lid.176.ftz", "lid.176.bin", "config.json"], Some("lid.176.bin")),
        (&["lid.176.ftz"], Some("lid.176.ftz")),
        (&["model.bin", "tokenizer.json", "model.safetensors", "config.json"], None),
        (&["training_args.bin"], None),
    ] {
        let files = listing(names);
        assert_eq!(fasttext_model(|name| names.contains(&name)), expected);
        if let Some(expected) = expected {
            assert_eq!(select(Task::TextClassification, &files, false).unwrap(), [expected]);
            assert!(select(Task::Translation, &files, true).is_err());
        }
    }
}

/// Row 31: nothing of a GGUF file is even fetched.
#[test]
fn row_31_gguf_is_refused_by_name() {
    for names in [&["model-q4.gguf", "README.md"][..], &["config.json", "tokenizer.json", "a.gguf"]] {
        let error = select(Task::AutomaticSpeechRecognition, &listing(names), true).unwrap_err();
        assert_eq!(error.reason(), "Incompatible");
        assert!(error.to_string().contains(".gguf: weights in GGUF are not read"), "{error}");
    }
    // Beside weights that are read it does no harm.
    let selected = select(Task::Translation, &marian(&["model.safetensors", "model.gguf"]), true).unwrap();
    assert!(!selected.contains(&"model.gguf".to_owned()));
}

/// Row 29.
#[test]
fn row_29_a_pickle_is_taken_only_where_it_is_allowed() {
    let shards = [
        "pytorch_model.bin.index.json",
        "pytorch_model-00001-of-00002.bin",
        "pytorch_model-00002-of-00002.bin",
    ];
    for weights in [&["pytorch_model.bin"][..], &shards] {
        let files = marian(weights);
        let selected = select(Task::Translation, &files, true).unwrap();
        assert!(weights.iter().all(|name| selected.iter().any(|it| it == name)), "{selected:?}");
        let error = select(Task::Translation, &files, false).unwrap_err();
        assert_eq!(error.reason(), "Unsafe");
    }
}

#[test]
fn errors_name_what_is_missing() {
    let cases = [
        (Task::Translation, listing(&["config.json", "model.safetensors"]), "source.spm is missing"),
        (Task::Translation, marian(&[]), "model.safetensors is missing"),
        (Task::TextClassification, listing(&["config.json"]), "tokenizer.json is missing"),
        (
            Task::Translation,
            marian(&["model.safetensors.index.json", "model-00002-of-00002.safetensors"]),
            "model-00001-of-00002.safetensors is missing",
        ),
        (
            Task::Translation,
            marian(&["model.safetensors.index.json"]),
            "model-00001-of-NNNNN.safetensors is missing",
        ),
    ];
    for (task, files, expected) in cases {
        let error = select(task, &files, true).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(error.reason(), "MissingFile");
    }
}

#[test]
fn a_small_file_that_is_huge_is_refused_before_it_is_fetched() {
    let mut files = listing(&["config.json", "model.safetensors"]);
    files.push(("tokenizer.json".to_owned(), 65 << 20));
    let error = select(Task::TextClassification, &files, true).unwrap_err();
    assert_eq!(error.reason(), "Corrupted");
    assert!(error.to_string().contains("tokenizer.json"), "{error}");
}
