use std::path::{Path, PathBuf};

use super::languages::Direction;
use super::*;
use crate::engine::TextFormat;
use crate::generate::{BeamOptions, SearchOptions};
use crate::weights::pickle::PicklePolicy;

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/models").join(name)
}

fn origin<'a>(folder: &'a Path, family: Family, processor: &'a Arc<Processor>) -> Origin<'a> {
    Origin {
        source: Source { folder, pickle: &PicklePolicy::Refused, processor, packed: None, part: "" },
        family,
    }
}

fn two_threads() -> Arc<Processor> {
    Arc::new(Processor::new(std::num::NonZeroUsize::new(2), None).unwrap())
}

fn loaded(folder: &Path, family: Family) -> Result<Seq2Seq, LoadError> {
    load(&origin(folder, family, &two_threads()), Dtype::Float32)
}

fn measured(folder: &Path) -> Result<Footprint, LoadError> {
    inspect(&origin(folder, Family::Marian, &two_threads()), Dtype::Float32)
}

fn translate(marian: &Seq2Seq, texts: &[&str], beams: Option<usize>) -> Vec<String> {
    let job = TranslateJob {
        texts: texts.iter().map(|text| (*text).to_owned()).collect(),
        source: None,
        target: None,
        beams,
        split_sentences: true,
        format: TextFormat::Plain,
        alternatives: 0,
    };
    match marian.run(&Job::Translate(job), &Control::default()).unwrap() {
        Output::Translations(texts) => texts.into_iter().map(|translation| translation.text).collect(),
        other => panic!("{other:?}"),
    }
}

/// Expected: transformers 5.23.0 on the same files.
#[test]
fn the_shipped_model_translates_as_transformers_does() {
    let marian = loaded(&shipped("opus-mt-en-de"), Family::Marian).unwrap();
    marian.canary().unwrap();
    let texts = ["hello", "We load fourteen houses!  stop.\n\nopen the left\n", " \n", ""];
    let expected = ["hallo", "Wir laden vierzehn Häuser!  stopp\n\nöffnen null bereit links\n", " \n", ""];
    assert_eq!(translate(&marian, &texts, Some(1)), expected);
    assert_eq!(translate(&marian, &texts, None), expected);
}

#[test]
fn the_other_direction_and_a_pickle_do_too() {
    let marian = loaded(&shipped("opus-mt-de-en"), Family::Marian).unwrap();
    assert_eq!(translate(&marian, &["Wir laden vierzehn Häuser!"], None), ["We load fourteen houses!"]);
    let refused = loaded(&shipped("opus-mt-en-fr"), Family::Marian).err().unwrap();
    assert_eq!(refused.reason(), "Unsafe");
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(shipped("opus-mt-en-fr")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    let pickle = copy.path().join(files::SINGLE_PICKLE);
    crate::weights::pickle::convert(&pickle, &copy.path().join(files::SINGLE_SAFETENSORS)).unwrap();
    let marian = loaded(copy.path(), Family::Marian).unwrap();
    assert_eq!(translate(&marian, &["We load fourteen houses!"], None), ["Nous chargeons quatorze maisons!"]);
}

/// What transformers computes with one of the tiny models of `tests/goldens/make_marian.py` and
/// `make_multilingual.py`.
#[derive(serde::Deserialize)]
struct Goldens {
    texts: Vec<String>,
    /// The language of each text, where the model asks for it.
    #[serde(default)]
    sources: Vec<String>,
    target: Option<String>,
    tokens: Vec<Vec<u32>>,
    forced: Vec<u32>,
    logits: Vec<Vec<Vec<f32>>>,
    found: std::collections::BTreeMap<String, Vec<Vec<u32>>>,
    decoded: Vec<String>,
}

impl Goldens {
    fn direction(&self, model: &Seq2Seq, text: usize) -> Direction {
        let source = self.sources.get(text).map(String::as_str);
        model.tokenizer.languages.direction(source, self.target.as_deref()).unwrap()
    }

    fn sentences(&self) -> Vec<&[u32]> {
        self.tokens.iter().map(Vec::as_slice).collect()
    }
}

const MODELS: [(&str, Family); 8] = [
    ("marian/shared", Family::Marian),
    ("marian/separate", Family::Marian),
    ("marian/untied", Family::Marian),
    ("marian/apart", Family::Marian),
    ("multilingual/mbart50", Family::Mbart),
    ("multilingual/mbart50-to-one", Family::Mbart),
    ("multilingual/m2m100", Family::M2m100),
    ("multilingual/nllb", Family::M2m100),
];

/// The arithmetic that is checked: the reference, and the kernels.
fn candle() -> LoadForward<'static> {
    Box::new(|weights, model| Ok(Box::new(candle::CandleModel::load(weights, model)?)))
}

/// The model of that name, its weights converted here where they are a pickle.
fn golden_with(name: &str, family: Family, forward: LoadForward<'_>) -> (Seq2Seq, Goldens) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name);
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    let pickle = copy.path().join(files::SINGLE_PICKLE);
    if pickle.exists() {
        crate::weights::pickle::convert(&pickle, &copy.path().join(files::SINGLE_SAFETENSORS)).unwrap();
    }
    let (model, _) = assemble(&origin(copy.path(), family, &two_threads()), Purpose::Run, forward).unwrap();
    model.canary().unwrap();
    let goldens = std::fs::read(folder.join("goldens.json")).unwrap();
    (model, serde_json::from_slice(&goldens).unwrap())
}

/// The model of that name on the kernels, in float32.
fn golden(name: &str, family: Family) -> (Seq2Seq, Goldens) {
    let processor = two_threads();
    golden_with(name, family, kernels(Dtype::Float32, &processor).unwrap())
}

/// Every model with every arithmetic that must give transformers' numbers.
fn exact() -> impl Iterator<Item = (&'static str, Seq2Seq, Goldens)> {
    MODELS.into_iter().flat_map(|(name, family)| {
        let (reference, goldens) = golden_with(name, family, candle());
        let (model, same) = golden(name, family);
        [(name, reference, goldens), (name, model, same)]
    })
}

#[test]
fn texts_become_the_tokens_of_transformers() {
    for (name, family) in MODELS {
        let (model, goldens) = golden(name, family);
        for (number, (text, expected)) in goldens.texts.iter().zip(&goldens.tokens).enumerate() {
            let direction = goldens.direction(&model, number);
            assert_eq!(&model.tokenizer.encode(text, &direction).unwrap(), expected, "{name}: {text:?}");
        }
    }
}

#[test]
fn logits_of_a_batch_are_those_of_transformers() {
    for (name, model, goldens) in exact() {
        let control = Control::default();
        let mut decoder = model.translator.model.start(&goldens.sentences(), &control).unwrap();
        let mut logits = Vec::new();
        for (position, token) in goldens.forced.iter().enumerate() {
            let column = vec![vec![*token]; goldens.tokens.len()];
            decoder.step(&column, &mut logits, &control).unwrap();
            let rows = logits.chunks_exact(decoder.vocabulary());
            assert_eq!(rows.len(), goldens.logits.len());
            for (row, (logits, steps)) in rows.zip(&goldens.logits).enumerate() {
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
    for (name, model, goldens) in exact() {
        let control = Control::default();
        let forced = goldens.direction(&model, 0).forced_begin;
        for (beams, expected) in &goldens.found {
            let beams = beams.parse().unwrap();
            let generate =
                |sentences: &[&[u32]]| model.translator.generate(sentences, forced, beams, &control).unwrap();
            let together = generate(&goldens.sentences());
            for ((tokens, together), expected) in goldens.tokens.iter().zip(together).zip(expected) {
                assert_eq!(&generate(&[tokens])[0][0], expected, "{name}, {beams} beams, alone");
                assert_eq!(&together[0], expected, "{name}, {beams} beams, in a batch");
            }
        }
    }
}

#[test]
fn a_batch_that_takes_too_much_memory_is_done_in_parts_with_the_same_outcome() {
    let (model, goldens) = golden("marian/shared", Family::Marian);
    let control = Control::default();
    let Translator { generation, limits, .. } = &model.translator;
    let beam = BeamOptions { max_length: limits.target_tokens, ..generation.beam_options(Some(2), 1) };
    let processors = generation.processors(1, limits.target_tokens);
    let options = SearchOptions { beam, processors: &processors };
    let search =
        |most_rows| model.translator.search(&goldens.sentences(), &options, most_rows, &control).unwrap();
    let whole = search(u64::MAX);
    assert_eq!(whole[0][0], goldens.found["2"][0]);
    for most_rows in [1, 20, 60] {
        assert_eq!(search(most_rows), whole, "{most_rows}");
    }
}

#[test]
fn tokens_become_the_texts_of_transformers() {
    for (name, family) in MODELS {
        let (model, goldens) = golden(name, family);
        let own = model.translator.generation.num_beams.unwrap().to_string();
        for (tokens, expected) in goldens.found[&own].iter().zip(&goldens.decoded) {
            assert_eq!(&model.tokenizer.decode(tokens).unwrap(), expected, "{name}");
        }
    }
}

#[test]
fn a_job_names_its_languages_and_a_model_of_many_needs_them() {
    for (name, family) in MODELS.into_iter().filter(|(_, family)| *family != Family::Marian) {
        let (model, goldens) = golden(name, family);
        let job = TranslateJob {
            texts: vec![goldens.texts[0].clone()],
            source: Some("en".to_owned()),
            target: Some("de-AT".to_owned()),
            beams: None,
            split_sentences: true,
            format: TextFormat::Plain,
            alternatives: 0,
        };
        let run = |job: &TranslateJob| model.run(&Job::Translate(job.clone()), &Control::default());
        match run(&job).unwrap() {
            Output::Translations(texts) => assert_eq!(texts[0].text, goldens.decoded[0], "{name}"),
            other => panic!("{other:?}"),
        }
        // A model that was saved anew may have a source of its own.
        assert_eq!(
            run(&TranslateJob { source: None, ..job.clone() }).is_ok(),
            model.tokenizer.languages.source.is_some()
        );
        for (job, field) in [
            (TranslateJob { source: Some("tlh".to_owned()), ..job.clone() }, "source"),
            (TranslateJob { target: Some("tlh".to_owned()), ..job.clone() }, "target"),
        ] {
            match run(&job) {
                Err(EngineError::InvalidInput { parameter, .. }) => assert_eq!(parameter, field, "{name}"),
                other => panic!("{name}, {field}: {other:?}"),
            }
        }
    }
}

#[test]
fn what_is_measured_is_what_the_loaded_tensors_hold() {
    let folder = shipped("opus-mt-en-de");
    let footprint = measured(&folder).unwrap();
    let weights = std::fs::metadata(folder.join("model.safetensors")).unwrap().len();
    // All weights are 32-bit in the file, and packed ones are filled up to whole panels; two tables of positions are
    // computed, 128 positions of 64 numbers each.
    let header = {
        let bytes = std::fs::read(folder.join("model.safetensors")).unwrap();
        8 + u64::from_le_bytes(bytes[..8].try_into().unwrap())
    };
    let exact = weights - header + 2 * 128 * 64 * 4;
    assert!((exact..exact + exact / 50).contains(&footprint.resident_bytes), "{footprint:?}, {exact}");
    assert!(footprint.scratch_bytes > 0 && footprint.scratch_bytes < 1 << 30);
}

fn failure(change: impl FnOnce(&Path)) -> LoadError {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(shipped("opus-mt-en-de")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    change(copy.path());
    let measured = measured(copy.path()).unwrap_err();
    let loaded = loaded(copy.path(), Family::Marian).err().unwrap();
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
            "\"model.decoder.layers.2.self_attn.q_proj.",
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
            "config.json calls for [128]",
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

/// Row 33: what is NaN is refused by the name of its tensor; what only computes NaN fails the first small job.
#[test]
fn row_33_weights_that_are_no_numbers_or_compute_none_are_refused() {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(shipped("opus-mt-en-de")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    let path = copy.path().join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let end = bytes.len() - 4000;
    let mut damage = |number: f32| {
        bytes[end..].copy_from_slice(&number.to_le_bytes().repeat(1000));
        std::fs::write(&path, &bytes).unwrap();
        loaded(copy.path(), Family::Marian)
    };
    assert!(matches!(damage(f32::NAN), Err(LoadError::NotFinite { .. })));
    assert!(matches!(damage(3e38).unwrap().canary(), Err(EngineError::NotFinite(_))));
}

#[test]
fn jobs_that_cannot_be_done_say_what_to_change() {
    let marian = loaded(&shipped("opus-mt-en-de"), Family::Marian).unwrap();
    let job = TranslateJob {
        texts: vec!["hello".to_owned()],
        source: None,
        target: None,
        beams: None,
        split_sentences: false,
        format: TextFormat::Plain,
        alternatives: 0,
    };
    let cases = [
        (TranslateJob { beams: Some(0), ..job.clone() }, "beams"),
        (TranslateJob { beams: Some(1000), ..job.clone() }, "beams"),
        (TranslateJob { alternatives: 12, ..job.clone() }, "alternatives"),
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
fn html_keeps_its_tags_and_alternatives_come_from_beams() {
    let marian = loaded(&shipped("opus-mt-en-de"), Family::Marian).unwrap();
    let job = TranslateJob {
        texts: vec!["<p>We load fourteen houses!</p>\n<script>stop</script><i>hello</i>".to_owned()],
        source: None,
        target: None,
        beams: None,
        split_sentences: true,
        format: TextFormat::Html,
        alternatives: 2,
    };
    match marian.run(&Job::Translate(job), &Control::default()).unwrap() {
        Output::Translations(texts) => {
            let expected = "<p>Wir laden vierzehn Häuser!</p>\n<script>stop</script><i>hallo</i>";
            assert_eq!(texts[0].text, expected);
            assert!((1..=2).contains(&texts[0].alternatives.len()), "{texts:?}");
            assert!(texts[0].alternatives.iter().all(|text| text.contains("<script>stop</script>")));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_cancelled_job_ends() {
    let marian = loaded(&shipped("opus-mt-en-de"), Family::Marian).unwrap();
    let control = Control::default();
    control.cancel();
    let outcome = marian.translator.generate(&[&[5, 0]], None, 2, &control);
    assert!(matches!(outcome, Err(EngineError::Cancelled)));
}
