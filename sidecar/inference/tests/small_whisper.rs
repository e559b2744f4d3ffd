//! The small Whisper models that the examples ship, on the clips that they ship: what they were trained to hear.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a test that fails is to stop")]

mod speech;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use speech::{Clip, job, load, run};

use ostler_crds::names::Dtype;
use ostler_inference::engine::{Control, DetectLanguageJob, Job, Output, TranscribeJob};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

/// How many of the clips come out right: text, language, translation.
fn score(model: &str) -> [usize; 3] {
    let engine = load(&examples().join("models").join(model), Dtype::Float32);
    engine.canary().expect("finite numbers");
    let mut right = [0; 3];
    let folder = examples().join("audio");
    let table = std::fs::read_to_string(folder.join("expected.tsv")).expect("the table of clips");
    for line in table.lines().skip(1) {
        let [file, language, text, english] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("four columns: {line}");
        };
        let clip = Clip::read(&folder.join(file));
        let heard = run(engine.as_ref(), job(&clip));
        let detection = Job::DetectLanguage(DetectLanguageJob { samples: Arc::clone(&clip.samples) });
        match engine.run(&detection, &Control::default()) {
            Ok(Output::Languages(languages)) => assert_eq!(languages[0].label, heard.language, "{file}"),
            other => panic!("no languages: {other:?}"),
        }
        let translated = run(engine.as_ref(), TranscribeJob { translate: true, ..job(&clip) });
        println!("{model} {file} [{}] {:?}, {:?}", heard.language, heard.text, translated.text);
        right[0] += usize::from(heard.text == text);
        right[1] += usize::from(heard.language == language);
        right[2] += usize::from(translated.text == english);
    }
    right
}

#[test]
fn the_newer_model_hears_nearly_everything() {
    let [texts, languages, translations] = score("whisper-v2");
    assert!(texts >= 23 && languages == 24 && translations >= 22, "{texts} {languages} {translations} of 24");
}

#[test]
fn the_older_model_hears_most() {
    let [texts, languages, translations] = score("whisper-v1");
    assert!(texts >= 12 && languages >= 21 && translations >= 10, "{texts} {languages} {translations} of 24");
}
