//! Text, tokens, times and languages of transformers 5 in float32.

use std::collections::BTreeMap;

use ostler_crds::names::Dtype;
use ostler_inference::engine::{
    Control, DetectLanguageJob, Engine, Job, Output, Temperature, TranscribeJob, Transcript,
};

use crate::recordings::{answers, clip, expected, weights};
use crate::speech::{Clip, job, load, run};

fn tokens(transcript: &Transcript) -> Vec<u64> {
    transcript.segments.iter().flat_map(|segment| &segment.tokens).map(|token| u64::from(*token)).collect()
}

/// Transcribes every recording of the model with so many beams and compares all of the answer.
fn compare(model: &str, key: &str, beams: usize) {
    let engine = load(&weights(model), Dtype::Float32);
    engine.canary().expect("finite numbers");
    for line in answers("expected.jsonl").into_iter().filter(|line| line["model"] == model) {
        let file = line["file"].as_str().expect("a name");
        let clip = clip(file);
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
    let mut engines: BTreeMap<String, Box<dyn Engine>> = BTreeMap::new();
    for line in answers("expected-words.jsonl") {
        let (model, file) =
            (line["model"].as_str().expect("a model"), line["file"].as_str().expect("a name"));
        let engine = engines.entry(model.to_owned()).or_insert_with(|| load(&weights(model), Dtype::Float32));
        let clip = clip(file);
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

/// Greedy tokens and detected languages of the first 30 s, without timestamps; languages alone too.
#[test]
fn without_timestamps_the_first_window_equals_transformers() {
    let mut engines: BTreeMap<String, Box<dyn Engine>> = BTreeMap::new();
    for line in expected() {
        let what = format!("{} {}", line.model, line.file);
        let engine =
            engines.entry(line.model.clone()).or_insert_with(|| load(&weights(&line.model), Dtype::Float32));
        let clip = clip(&line.file);
        let clip = Clip { samples: clip.samples.iter().copied().take(480_000).collect() };
        let plain = TranscribeJob { timestamps: false, temperature: Temperature::Fixed(0.0), ..job(&clip) };
        let heard = run(engine.as_ref(), plain);
        assert_eq!(tokens(&heard), line.tokens, "{what}: {}", heard.text);
        assert_eq!((heard.text.as_str(), heard.language.as_str()), (&*line.text, &*line.language), "{what}");
        let close = |found: f32| (found - line.probability).abs() < 1e-3;
        assert!(heard.language_probability.is_none_or(close), "{what}: {:?}", heard.language_probability);

        let job = Job::DetectLanguage(DetectLanguageJob { samples: clip.samples });
        match engine.run(&job, &Control::default()) {
            Ok(Output::Languages(languages)) => {
                assert_eq!((languages.len(), &languages[0].label), (99, &line.language), "{what}");
                assert!(close(languages[0].score), "{what}: {:?}", languages[0]);
            }
            Err(error) if line.model.ends_with(".en") => {
                assert_eq!(error.to_string(), "this model does not detect spoken languages");
            }
            other => panic!("{what}: {other:?}"),
        }
    }
}
