use std::collections::BTreeMap;

use ostler_crds::serving_plan::RetiredPin;
use proptest::prelude::*;
use serde_json::json;

use super::*;

/// A plan with one model `m` whose versions have these weights, each with a commit of its own.
fn plan(salt: &str, weights: &[u8]) -> ServingPlan {
    let versions: Vec<serde_json::Value> = weights
        .iter()
        .enumerate()
        .map(|(index, weight)| {
            json!({"name": format!("v{index}"), "dtype": "auto", "weight": weight, "artifacts": [
                {"source": format!("hf://o/r{index}"), "commit": format!("{index:040x}")}]})
        })
        .collect();
    let plan = json!({"format": 1, "generation": 1, "salt": salt, "models": [
        {"name": "m", "task": "automatic-speech-recognition", "load": "Lazy", "keep": false, "instances": 1,
         "defaultVersion": "v0", "fallback": ["v0"], "versions": versions},
        {"name": "t", "task": "translation", "load": "Lazy", "keep": false, "instances": 1,
         "defaultVersion": "pairs", "fallback": ["every"], "versions": [
            {"name": "pairs", "dtype": "auto", "weight": 100, "artifacts": [
                {"languagePair": "en-de", "source": "hf://o/en-de", "commit": "a".repeat(40)},
                {"languagePair": "de-en", "source": "hf://o/de-en", "commit": "b".repeat(40)}]},
            {"name": "every", "dtype": "auto", "weight": 0, "artifacts": [
                {"source": "hf://o/every", "commit": "c".repeat(40)}]}]}]});
    serde_json::from_value(plan).unwrap()
}

fn assigned(plan: &ServingPlan, subject: &str) -> String {
    assign(&plan.salt, &plan.models[0], subject).to_string()
}

fn request(model: &str, pair: Option<&str>, version: Option<&str>) -> Request {
    Request {
        model: model.parse().unwrap(),
        language_pair: pair.map(|pair| pair.parse().unwrap()),
        version: version.map(|version| version.parse().unwrap()),
        subject: Subject::Named("somebody".to_owned()),
    }
}

fn names(plan: &ServingPlan, request: &Request) -> Result<Vec<String>, RouteError> {
    candidates(plan, request).map(|keys| keys.iter().map(ToString::to_string).collect())
}

#[test]
fn the_assignment_is_the_same_on_every_pod_and_in_every_release() {
    let plan = plan("default/video", &[50, 30, 20]);
    let assignments: Vec<String> =
        (0..12).map(|subject| assigned(&plan, &format!("user-{subject}"))).collect();
    insta::assert_snapshot!(assignments.join(" "));
}

#[test]
fn an_explicit_version_is_served_or_refused_and_never_replaced() {
    let plan = plan("s", &[100, 0]);
    assert_eq!(names(&plan, &request("m", None, Some("v1"))), Ok(vec!["m@v1".to_owned()]));
    let commit = format!("{:040x}", 1);
    assert_eq!(names(&plan, &request("m", None, Some(&commit))), Ok(vec!["m@v1".to_owned()]));
    let unknown = names(&plan, &request("m", None, Some("v7"))).unwrap_err();
    assert_eq!(unknown.to_string(), "the model \"m\" has no version \"v7\"; it has: v0, v1");
    let unknown = names(&plan, &request("x", None, None)).unwrap_err();
    assert_eq!(unknown.to_string(), "there is no model \"x\"; there are: m, t");
}

#[test]
fn a_language_pair_picks_its_files_and_a_fallback_may_serve_every_pair() {
    let plan = plan("s", &[100]);
    let both = vec!["t@pairs (en-de)".to_owned(), "t@every".to_owned()];
    assert_eq!(names(&plan, &request("t", Some("en-de"), None)), Ok(both));
    assert_eq!(names(&plan, &request("t", Some("en-de"), Some("every"))), Ok(vec!["t@every".to_owned()]));
    let unknown = names(&plan, &request("t", Some("en-fr"), None)).unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "the model \"t\" does not translate \"en-fr\"; it translates: en-de, de-en"
    );
    let needed = names(&plan, &request("t", None, None)).unwrap_err();
    assert!(matches!(needed, RouteError::LanguagePairNeeded { .. }), "{needed}");
}

#[test]
fn two_deployments_with_the_same_versions_split_differently() {
    let (one, other) = (plan("a/b", &[50, 50]), plan("a/c", &[50, 50]));
    let differing = (0..1000).filter(|subject| {
        let subject = format!("user-{subject}");
        assigned(&one, &subject) != assigned(&other, &subject)
    });
    let differing = differing.count();
    assert!((400..600).contains(&differing), "{differing} of 1000 differ");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// 4000 subjects put every share within five standard deviations of its weight.
    #[test]
    fn shares_follow_the_weights(salt in "[a-z]{1,8}/[a-z]{1,8}", first in 0u8..=100, second in 0u8..=100) {
        let second = second.min(100 - first);
        let weights = [first, second, 100 - first - second];
        let plan = plan(&salt, &weights);
        let mut counts = BTreeMap::<String, u32>::new();
        for subject in 0..4000 {
            *counts.entry(assigned(&plan, &format!("{salt}-{subject}"))).or_default() += 1;
        }
        for (index, weight) in weights.iter().enumerate() {
            let share = f64::from(*weight) / 100.0;
            let count = f64::from(counts.get(&format!("v{index}")).copied().unwrap_or(0));
            let deviation = (4000.0 * share * (1.0 - share)).sqrt();
            prop_assert!((count - 4000.0 * share).abs() <= 5.0 * deviation, "v{index}: {count} at {weight} %");
        }
    }

    /// When one version's weight grows, subjects move to it and to nowhere else, and about as many as its growth.
    #[test]
    fn few_subjects_move_when_weights_change(salt in "[a-z]{1,8}", before in 0u8..=90, growth in 1u8..=10) {
        let (old, new) = (plan(&salt, &[100 - before, before]), plan(&salt, &[100 - before - growth, before + growth]));
        let mut moved = 0.0;
        for subject in 0..4000 {
            let subject = format!("user-{subject}");
            let (was, is) = (assigned(&old, &subject), assigned(&new, &subject));
            if was != is {
                prop_assert_eq!((was.as_str(), is.as_str()), ("v0", "v1"));
                moved += 1.0;
            }
        }
        let expected = 4000.0 * f64::from(growth) / 100.0;
        let deviation = expected.sqrt();
        prop_assert!((moved - expected).abs() <= 5.0 * deviation, "{moved} moved, {expected} expected");
    }
}

#[test]
fn a_commit_that_no_version_is_at_any_more_is_gone_and_what_there_is_is_listed() {
    let gone = "f".repeat(40);
    let error = candidates(&plan("s", &[100]), &request("m", None, Some(&gone))).unwrap_err();
    let RouteError::CommitGone { commit, known, .. } = error else { panic!("{error}") };
    assert_eq!((commit, known), (gone, vec![format!("v0 at {:040x}", 0)]));
}

/// `m@v0` was at 7 and 8 before, `m@v1` at 8, and `t@pairs` at 9 for one of its pairs.
fn plan_with_history() -> ServingPlan {
    let mut plan = plan("s", &[100, 0]);
    let pins = |numbers: &[u32]| -> Vec<RetiredPin> {
        let pin = |number: &u32| json!({"source": "hf://o/before", "commit": format!("{number:040x}"), "dtype": "auto"});
        numbers.iter().map(|number| serde_json::from_value(pin(number)).unwrap()).collect()
    };
    plan.models[0].versions[0].artifacts[0].history = pins(&[7, 8]);
    plan.models[0].versions[1].artifacts[0].history = pins(&[8, 0]);
    plan.models[1].versions[0].artifacts[0].history = pins(&[9]);
    plan
}

#[test]
fn a_commit_of_the_history_is_found_and_the_present_one_goes_first() {
    let plan = plan_with_history();
    let at = |number: u32| format!("{number:040x}");
    for (model, pair, version, expected) in [
        ("m", None, at(0), "m@v0".to_owned()),
        ("m", None, at(7), format!("m@v0 at {}", at(7))),
        ("m", None, at(8), format!("m@v0 at {}", at(8))),
        ("m", None, format!("v1@{}", at(8)), format!("m@v1 at {}", at(8))),
        ("m", None, format!("v1@{}", at(0)), format!("m@v1 at {}", at(0))),
        ("m", None, format!("v1@{}", at(1)), "m@v1".to_owned()),
        ("t", Some("en-de"), at(9), format!("t@pairs at {} (en-de)", at(9))),
    ] {
        assert_eq!(
            names(&plan, &request(model, pair, Some(&version))),
            Ok(vec![expected]),
            "{model}@{version}"
        );
    }
    for (pair, version) in [(None, format!("v1@{}", at(7))), (Some("de-en"), at(9)), (None, at(6))] {
        let model = if pair.is_some() { "t" } else { "m" };
        let gone = names(&plan, &request(model, pair, Some(&version))).unwrap_err();
        assert!(matches!(gone, RouteError::CommitGone { .. }), "{gone}");
    }
    let needed = names(&plan, &request("t", None, Some(&at(9)))).unwrap_err();
    assert!(matches!(needed, RouteError::LanguagePairNeeded { .. }), "{needed}");
}
