//! Long speech in batches: no more words are wrong than of faster-whisper's batched pipeline, and hardly more than in
//! sequence.

use std::iter::repeat_n;

use ostler_crds::names::Dtype;
use ostler_inference::engine::{LongForm, Temperature, TranscribeJob};

use crate::edits::{distance, units};
use crate::recordings::{answers, clip, expected, weights};
use crate::speech::{Clip, job, load, run};

/// Samples of a second.
const RATE: usize = 16_000;

#[test]
fn batches_get_no_more_words_wrong_than_faster_whispers() {
    let expected = expected();
    let engine = load(&weights("whisper-base"), Dtype::Float32);
    let in_sequence = answers("expected.jsonl");
    // Errors of our own batches, of transformers in sequence, of faster-whisper.
    let (mut words, mut errors) = (0, [0; 3]);
    for line in answers("expected-batched.jsonl") {
        let text = |field: &str| line[field].as_str().expect("a text").to_owned();
        let (file, language) = (text("file"), text("language"));
        let lead = line["lead_seconds"].as_u64().expect("seconds") as usize;
        let samples = repeat_n(0.0, lead * RATE).chain(clip(&file).samples.iter().copied()).collect();
        let heard = run(
            engine.as_ref(),
            TranscribeJob {
                long_form: LongForm::Batched,
                language: Some(language.clone()),
                temperature: Temperature::Fixed(0.0),
                ..job(&Clip { samples })
            },
        );
        let mut before = 0.0;
        for segment in &heard.segments {
            assert!(before <= segment.start + 1e-6 && segment.start <= segment.end, "{before} {segment:?}");
            before = segment.end;
        }
        assert!(before <= heard.duration_seconds + 0.011, "{before}");

        let of_base = |line: &&crate::recordings::Expected| line.file == file && line.model == "whisper-base";
        let said = units(&expected.iter().find(of_base).expect("what is said").said, &language);
        let sequential =
            in_sequence.iter().find(|line| line["file"] == file && line["model"] == "whisper-base");
        let sequential = sequential.and_then(|line| line["greedy"]["text"].as_str()).expect("an answer");
        let found = [&heard.text, sequential, &text("text")];
        let wrong = found.map(|text| distance(&said, &units(text, &language)));
        println!("{file} {lead}: {wrong:?} of {}", said.len());
        words += said.len();
        errors.iter_mut().zip(wrong).for_each(|(sum, wrong)| *sum += wrong);
    }
    println!("{errors:?} of {words}");
    let [own, sequential, theirs] = errors;
    assert!(own <= theirs, "{own} errors, faster-whisper {theirs}, of {words}");
    // Two words of a hundred.
    assert!(own <= sequential + words / 50, "{own} errors, in sequence {sequential}, of {words}");
}
