use ostler_inference::engine::{ClassifyJob, Job};
use serde_json::{Value, json};

use super::*;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const OTHER: &str = "76543210fedcba9876543210fedcba9876543210";

/// A plan of models of one version, each with what the spec says of its answers.
fn plan(models: &[(&str, Value)]) -> ServingPlan {
    let model = |(name, result_cache): &(&str, Value)| {
        let mut model = json!({
            "name": name, "task": "text-classification", "load": "Lazy", "keep": false, "instances": 1,
            "defaultVersion": "v1", "fallback": [], "versions": [],
        });
        if !result_cache.is_null() {
            model["resultCache"] = result_cache.clone();
        }
        model
    };
    let models: Vec<Value> = models.iter().map(model).collect();
    let plan = json!({"format": 1, "generation": 1, "salt": "default/a", "models": models});
    ServingPlan::from_json(&plan.to_string()).unwrap()
}

fn on() -> Value {
    json!({"maxEntries": 10, "maxBytes": 1 << 20, "timeToLiveSeconds": 60})
}

fn pin(model: &str, revision: &str, dtype: Dtype) -> Pin {
    let key = VersionKey {
        model: model.parse().unwrap(),
        version: "v1".parse().unwrap(),
        language_pair: None,
        retired: None,
    };
    Pin { key, revision: revision.to_owned(), dtype }
}

fn planned(pin: &Pin) -> PlannedPin {
    PlannedPin { key: pin.key.clone(), commit: Some(pin.revision.clone()), dtype: pin.dtype }
}

fn question(text: &str) -> Question {
    Question::of(&Job::Classify(ClassifyJob { texts: vec![text.to_owned()] }), None)
}

fn answer(pin: &Pin) -> Arc<Answer> {
    let provenance = Provenance {
        model: pin.key.model.clone(),
        version: pin.key.version.clone(),
        language_pair: None,
        revision: pin.revision.clone(),
        dtype: pin.dtype,
        fallback: None,
    };
    Arc::new(Answer { output: Output::Labels(Vec::new()), provenance })
}

#[test]
fn an_answer_is_given_to_the_same_question_to_the_same_weights_alone() {
    let (results, one) = (ResultCache::default(), pin("a", COMMIT, Dtype::Float32));
    results.obey(&plan(&[("a", on()), ("b", on())]), [planned(&one)].into_iter());
    results.put(question("x"), answer(&one));
    assert_eq!(results.get(&one, question("x")).unwrap().provenance, answer(&one).provenance);
    for (other, text) in [
        (&one, "y"),
        (&pin("a", OTHER, Dtype::Float32), "x"),
        (&pin("a", COMMIT, Dtype::Bfloat16), "x"),
        (&pin("b", COMMIT, Dtype::Float32), "x"),
    ] {
        assert!(results.get(other, question(text)).is_none(), "{other:?} {text}");
    }
}

#[test]
fn what_the_plan_does_not_have_is_neither_kept_nor_left() {
    let results = ResultCache::default();
    let (old, new) = (pin("a", COMMIT, Dtype::Float32), pin("a", OTHER, Dtype::Float32));
    let entries = || results.figures().iter().map(|figures| figures.entries).sum::<usize>();
    results.obey(&plan(&[("a", on())]), [planned(&old)].into_iter());
    results.put(question("x"), answer(&old));
    results.put(question("x"), answer(&new));
    assert_eq!(entries(), 1);
    // Other bounds of the same weights keep what they can.
    let narrow = json!({"maxEntries": 1, "maxBytes": 1 << 20, "timeToLiveSeconds": 60});
    results.obey(&plan(&[("a", narrow)]), [planned(&old)].into_iter());
    assert_eq!(entries(), 1);
    results.obey(&plan(&[("a", on())]), [planned(&new)].into_iter());
    assert_eq!(entries(), 0);
    results.put(question("x"), answer(&old));
    assert!(results.get(&old, question("x")).is_none(), "an answer that comes after its version went");
    results.put(question("x"), answer(&new));
    assert!(results.get(&new, question("x")).is_some());
    results.obey(&plan(&[("a", Value::Null)]), [planned(&new)].into_iter());
    assert!(results.figures().is_empty() && !results.is_on(&new.key.model));
    assert!(results.pin(&new.key).is_none());
    results.put(question("x"), answer(&new));
    assert!(results.get(&new, question("x")).is_none());
}

#[test]
fn a_retired_pin_keeps_its_answers_as_long_as_the_history_has_it() {
    let results = ResultCache::default();
    let (old, new) = (pin("a", COMMIT, Dtype::Float32), pin("a", OTHER, Dtype::Float32));
    let retired = VersionKey { retired: Some(COMMIT.parse().unwrap()), ..old.key.clone() };
    let history = || [planned(&new), PlannedPin { key: retired.clone(), ..planned(&old) }].into_iter();
    results.obey(&plan(&[("a", on())]), [planned(&old)].into_iter());
    results.put(question("x"), answer(&old));
    results.obey(&plan(&[("a", on())]), history());
    assert_eq!(results.pin(&retired).unwrap().commit.as_deref(), Some(COMMIT));
    assert_eq!(results.pin(&new.key).unwrap().commit.as_deref(), Some(OTHER));
    assert!(results.get(&old, question("x")).is_some());
    assert!(results.get(&new, question("x")).is_none());
    results.obey(&plan(&[("a", on())]), [planned(&new)].into_iter());
    assert!(results.get(&old, question("x")).is_none());
}

#[test]
fn a_folder_has_the_digest_that_it_was_read_with() {
    let (results, read) = (ResultCache::default(), pin("a", "sha256:ab", Dtype::Float32));
    let folder = PlannedPin { commit: None, ..planned(&read) };
    results.obey(&plan(&[("a", on())]), [folder.clone()].into_iter());
    assert_eq!(results.pin(&read.key), Some(folder));
    results.put(question("x"), answer(&read));
    assert!(results.get(&read, question("x")).is_some());
    assert!(results.get(&pin("a", "sha256:cd", Dtype::Float32), question("x")).is_none());
}

#[test]
fn the_bytes_of_all_models_are_set_aside() {
    assert_eq!(planned_bytes(&plan(&[("a", on()), ("b", Value::Null), ("c", on())])), 2 << 20);
}
