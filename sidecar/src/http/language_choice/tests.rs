use std::sync::Arc;

use ostler_inference::engine::SpokenLanguages;

use super::*;
use crate::http::fixtures::plan;
use crate::snapshot::VersionSnapshot;
use crate::target::VersionKey;

fn model(name: &str) -> ModelName {
    name.parse().unwrap()
}

fn label(label: &str, score: f32) -> LabelScore {
    LabelScore { label: label.to_owned(), score }
}

#[test]
fn languages_have_names_and_targets() {
    let json = serde_json::to_value(served(&plan(), &Snapshot::default())).unwrap();
    let expected = serde_json::json!([
        {"code": "de", "name": "German", "targets": ["de", "en"]},
        {"code": "en", "name": "English", "targets": ["de", "en", "fr"]},
        {"code": "fr", "name": "French", "targets": ["fr"]},
    ]);
    assert_eq!(json, expected);
}

#[test]
fn a_loaded_model_of_many_languages_is_listed_with_them() {
    use ostler_crds::names::{Dtype, LoadPolicy};
    use ostler_crds::status::VersionState;

    let list = |codes: &[&str]| codes.iter().map(|code| (*code).to_owned()).collect();
    let languages = SpokenLanguages { sources: list(&["de", "arz"]), targets: list(&["de", "zh-hant"]) };
    let version = VersionSnapshot {
        key: VersionKey {
            model: model("nllb"),
            version: "v1".parse().unwrap(),
            language_pair: None,
            retired: None,
        },
        task: Task::Translation,
        load: LoadPolicy::Lazy,
        dtype: Dtype::Auto,
        revision: String::new(),
        state: VersionState::Loaded,
        stage: None,
        percent: 100,
        proven: true,
        loaded_ahead: None,
        resident_bytes: 0,
        progress: None,
        last_failure: None,
        serving_revision: None,
        languages: Some(Arc::new(languages)),
    };
    let snapshot = Snapshot { versions: vec![version], ..Snapshot::default() };
    let empty = ServingPlan { models: Vec::new(), ..plan() };
    let json = serde_json::to_value(served(&empty, &snapshot)).unwrap();
    let expected = serde_json::json!([
        {"code": "arz", "name": "Egyptian Arabic", "targets": ["arz", "de", "zh-hant"]},
        {"code": "de", "name": "German", "targets": ["de", "zh-hant"]},
        {"code": "zh-hant", "name": "Chinese (hant)", "targets": ["zh-hant"]},
    ]);
    assert_eq!(json, expected);
}

#[test]
fn the_pair_and_its_model_are_found_in_any_spelling() {
    for (asked, source, target) in [(None, "en", "de"), (Some("translation"), "EN", "De")] {
        let asked = asked.map(model);
        let translator = translator(&plan(), asked.as_ref(), source, target).unwrap();
        assert_eq!(translator.model.as_str(), "translation");
        assert_eq!(translator.language_pair.unwrap().as_str(), "en-de");
    }
    assert!(is_same("pt-BR", "pt_br"));
}

#[test]
fn unknown_pairs_and_models_say_what_there_is() {
    let plan = plan();
    let error = translator(&plan, None, "en", "xx\n").unwrap_err();
    assert_eq!(error.status(), 400);
    let text = "\"xx\\n\" is not available as a target language from \"en\"; there are: de-en, en-de, en-fr";
    assert_eq!(error.to_string(), text);
    let error = translator(&plan, Some(&model("marian")), "en", "de").unwrap_err();
    assert_eq!(error.status(), 404);
    assert!(error.to_string().ends_with("there are: translation"), "{error}");
    let error = translator(&plan, Some(&model("whisper")), "en", "de").unwrap_err();
    assert_eq!(error.status(), 400);
    assert!(error.to_string().contains("automatic-speech-recognition"), "{error}");
    let empty = ServingPlan { models: Vec::new(), ..plan };
    assert_eq!(translator(&empty, None, "en", "de").unwrap_err().status(), 404);
}

#[test]
fn a_model_without_pairs_takes_every_pair() {
    let mut plan = plan();
    for artifact in plan
        .models
        .iter_mut()
        .flat_map(|model| &mut model.versions)
        .flat_map(|version| &mut version.artifacts)
    {
        artifact.language_pair = None;
    }
    let translator = translator(&plan, None, "en", "zh").unwrap();
    assert_eq!(translator.language_pair, None);
}

#[test]
fn detections_are_in_percent_most_probable_first() {
    let first = [label("en", 0.8456), label("de", 0.15), label("it", 0.0044)];
    let second = [label("en", 0.5), label("de", 0.5)];
    let one = detections(&[&first]);
    assert_eq!(
        one,
        [
            Detection { confidence: 84.6, language: "en".to_owned() },
            Detection { confidence: 15.0, language: "de".to_owned() },
        ]
    );
    let both = detections(&[&first, &second]);
    assert_eq!(both[0], Detection { confidence: 67.3, language: "en".to_owned() });
    let flat: Vec<_> = ('a'..='z')
        .flat_map(|one| ('a'..='z').map(move |two| label(&format!("{one}{two}"), 0.0015)))
        .collect();
    assert_eq!(detections(&[&flat]).len(), 1);
    assert!(detections(&[]).is_empty());
}

#[test]
fn doubtful_short_texts_are_judged_together_and_only_served_languages_count() {
    let long = "a sentence that is long enough to be judged on its own".to_owned();
    let texts = [long, "kurz".to_owned(), "ja".to_owned(), "oui".to_owned()];
    let labels = [
        vec![label("it", 0.9), label("en", 0.1)],
        vec![label("de", 1.0)],
        vec![label("fr", 0.6), label("de", 0.4)],
        vec![label("fr", 0.95), label("de", 0.05)],
    ];
    let languages = |texts: &[String], labels: &[Vec<LabelScore>]| {
        let all = detected(&plan(), texts, labels).into_iter();
        all.map(|detection| detection.unwrap().language).collect::<Vec<_>>()
    };
    assert_eq!(languages(&texts, &labels), ["en", "de", "fr", "fr"]);
    assert_eq!(
        languages(&texts[..3], &labels[..3]),
        ["en", "de", "de"],
        "the doubtful one follows the others"
    );
    assert_eq!(languages(&texts[1..2], &[vec![label("ja", 1.0)]]), ["ja"]);
}
