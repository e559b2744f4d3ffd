use std::collections::HashSet;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn transcribe(change: impl FnOnce(&mut TranscribeJob)) -> Job {
    let mut job = TranscribeJob::new(Vec::new());
    change(&mut job);
    Job::Transcribe(job)
}

fn translate(change: impl FnOnce(&mut TranslateJob)) -> Job {
    let mut job = TranslateJob {
        texts: vec!["one".to_owned(), "two".to_owned()],
        source: Some("en".to_owned()),
        target: Some("de".to_owned()),
        beams: None,
        split_sentences: true,
        format: TextFormat::Plain,
        alternatives: 0,
    };
    change(&mut job);
    Job::Translate(job)
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn whatever_changes_the_answer_changes_the_hash() {
    let jobs = [
        transcribe(|_| ()),
        transcribe(|job| job.samples = Arc::from([0.0])),
        transcribe(|job| job.samples = Arc::from([-0.0])),
        transcribe(|job| job.samples = Arc::from([0.0, 0.0])),
        transcribe(|job| job.language = Some(String::new())),
        transcribe(|job| job.language = Some("de".to_owned())),
        transcribe(|job| job.prompt = Some("de".to_owned())),
        transcribe(|job| job.translate = true),
        transcribe(|job| job.timestamps = false),
        transcribe(|job| job.condition_on_previous_text = true),
        transcribe(|job| job.words = true),
        transcribe(|job| job.beams = Some(1)),
        transcribe(|job| job.temperature = Temperature::Fixed(0.0)),
        transcribe(|job| job.temperature = Temperature::Fixed(0.2)),
        transcribe(|job| job.best_of = 2),
        transcribe(|job| job.long_form = LongForm::Batched),
        Job::DetectLanguage(DetectLanguageJob { samples: Arc::from([]) }),
        translate(|_| ()),
        translate(|job| job.texts = texts(&["onetwo"])),
        translate(|job| job.texts = texts(&["on", "etwo"])),
        translate(|job| job.texts = texts(&["two", "one"])),
        translate(|job| job.source = None),
        translate(|job| job.target = None),
        translate(|job| job.beams = Some(2)),
        translate(|job| job.split_sentences = false),
        translate(|job| job.format = TextFormat::Html),
        translate(|job| job.alternatives = 1),
        Job::Classify(ClassifyJob { texts: texts(&["one", "two"]) }),
        Job::Embed(EmbedJob { texts: texts(&["one", "two"]), dimensions: None }),
        Job::Embed(EmbedJob { texts: texts(&["one", "two"]), dimensions: Some(0) }),
    ];
    let hashes: HashSet<[u8; 32]> = jobs.iter().map(|job| Question::of(job, None).0).collect();
    assert_eq!(hashes.len(), jobs.len());
    // A file stands for the samples.
    let (plain, other) = (&jobs[0], &jobs[1]);
    assert_eq!(Question::of(plain, Some(b"RIFF")), Question::of(other, Some(b"RIFF")));
    assert_ne!(Question::of(plain, Some(b"RIFF")), Question::of(plain, Some(b"RIFX")));
    assert_ne!(Question::of(plain, Some(b"")), Question::of(plain, None));
}

#[test]
fn whatever_answers_differently_has_another_key() {
    let question = Question::of(&translate(|_| ()), None);
    let pin = |model: &str, version: &str, pair: Option<&str>, revision: &str, dtype: Dtype| {
        let language_pair = pair.map(|pair| pair.parse().unwrap());
        let key = VersionKey {
            model: model.parse().unwrap(),
            version: version.parse().unwrap(),
            language_pair,
            retired: None,
        };
        Pin { key, revision: revision.to_owned(), dtype }
    };
    let pins = [
        pin("a", "v1", None, "abc", Dtype::Float32),
        pin("b", "v1", None, "abc", Dtype::Float32),
        pin("a", "v2", None, "abc", Dtype::Float32),
        pin("a", "v1", Some("en-de"), "abc", Dtype::Float32),
        pin("a", "v1", Some("de-en"), "abc", Dtype::Float32),
        pin("a", "v1", None, "abd", Dtype::Float32),
        pin("a", "v1", None, "abc", Dtype::Bfloat16),
        pin("av1", "v", None, "abc", Dtype::Float32),
    ];
    let keys: HashSet<AnswerKey> = pins.iter().map(|pin| question.to(pin)).collect();
    assert_eq!(keys.len(), pins.len());
    let other = Question::of(&translate(|job| job.alternatives = 1), None);
    assert_ne!(question.to(&pins[0]), other.to(&pins[0]));
}

proptest! {
    #[test]
    fn lists_of_texts_are_told_apart(one in vec("[ab]{0,3}", 0..4), other in vec("[ab]{0,3}", 0..4)) {
        let question = |texts: &Vec<String>| Question::of(&Job::Classify(ClassifyJob { texts: texts.clone() }), None);
        prop_assert_eq!(question(&one) == question(&other), one == other);
    }
}
