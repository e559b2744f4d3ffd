use ostler_crds::names::Dtype;
use serde_json::json;

use super::*;

/// The plan after a `ModelDeployment` was reconciled while the Hub had these commits.
fn then(before: Option<&ExistingPlan>, spec: &ValidatedDeployment, known: &[(&str, char)]) -> ExistingPlan {
    written(spec, &pinned(spec, before, known))
}

/// `whisper` with a history of so many pins, at a source.
fn keeping(pins: usize, uri: &str, repin: &str) -> ValidatedDeployment {
    deployment().repin(repin).model(whisper(uri).set("history", json!(pins))).validated()
}

/// The digits of the present commit and of those before it.
fn digits(plan: &ExistingPlan) -> String {
    let artifact = &plan.plan.as_ref().unwrap().models[0].versions[0].artifacts[0];
    let retired = artifact.history.iter().map(|pin| &pin.commit);
    artifact.commit.iter().chain(retired).map(|commit| &commit.as_str()[..1]).collect()
}

#[test]
fn a_pin_that_is_replaced_goes_into_the_history_newest_first_and_the_oldest_leaves_it() {
    let mut plan = then(None, &keeping(2, "hf://a/b", "0"), &[("a/b:main", '0')]);
    assert_eq!(digits(&plan), "0");
    for (turn, expected) in [('1', "10"), ('2', "210"), ('3', "321")] {
        let spec = keeping(2, "hf://a/b", &turn.to_string());
        plan = then(Some(&plan), &spec, &[("a/b:main", turn)]);
        assert_eq!(digits(&plan), expected);
        // Looking again changes nothing.
        assert_eq!(then(Some(&plan), &spec, &[]).plan, plan.plan);
    }
}

#[test]
fn a_pin_that_is_the_present_one_again_leaves_the_history() {
    let mut plan = then(None, &keeping(3, "hf://a/b", "0"), &[("a/b:main", '0')]);
    for (repin, turn, expected) in [("1", '1', "10"), ("2", '0', "01"), ("3", '2', "201"), ("4", '1', "120")]
    {
        plan = then(Some(&plan), &keeping(3, "hf://a/b", repin), &[("a/b:main", turn)]);
        assert_eq!(digits(&plan), expected);
    }
}

#[test]
fn a_history_that_is_shortened_loses_the_oldest_and_one_that_is_asked_for_later_begins_then() {
    let mut plan = then(None, &keeping(0, "hf://a/b", "0"), &[("a/b:main", '0')]);
    for (pins, turn, expected) in
        [(0, '1', "1"), (3, '2', "21"), (3, '3', "321"), (1, '3', "32"), (0, '3', "3")]
    {
        let spec = keeping(pins, "hf://a/b", &turn.to_string());
        plan = then(Some(&plan), &spec, &[("a/b:main", turn)]);
        assert_eq!(digits(&plan), expected);
    }
}

#[test]
fn the_source_and_the_number_format_of_that_time_are_kept() {
    let mut before = keeping(1, "hf://a/b", "0");
    before.models[0].versions[0].dtype = Dtype::Float32;
    let plan = then(None, &before, &[("a/b:main", '0')]);
    let plan = then(Some(&plan), &keeping(1, "hf://other/c:v2", "0"), &[("other/c:v2", '1')]);
    let history = plan.plan.as_ref().unwrap().models[0].versions[0].artifacts[0].history.clone();
    let written = json!([{"source": "hf://a/b:main", "commit": commit('0'), "dtype": "float32"}]);
    assert_eq!(serde_json::to_value(history).unwrap(), written);
    // A folder has no commit to ask for, and a commit stays when a folder takes its place.
    let plan = then(Some(&plan), &keeping(1, "file:///models/x", "0"), &[]);
    assert_eq!(digits(&plan), "1");
    let plan = then(Some(&plan), &keeping(1, &format!("hf://a/b:{}", commit('2')), "0"), &[]);
    assert_eq!(digits(&plan), "21");
}

#[test]
fn while_the_hub_does_not_answer_nothing_retires() {
    let plan = then(None, &keeping(2, "hf://a/b", "0"), &[("a/b:main", '0')]);
    let plan = then(Some(&plan), &keeping(2, "hf://a/b:next", "0"), &[]);
    assert_eq!(digits(&plan), "0");
    let plan = then(Some(&plan), &keeping(2, "hf://a/b:next", "0"), &[("a/b:next", '1')]);
    assert_eq!(digits(&plan), "10");
}

#[test]
fn a_version_that_is_removed_takes_its_history_with_it() {
    let spec = |version: &str| {
        deployment().model(model("whisper").version(version, "hf://a/b").set("history", json!(2))).validated()
    };
    let plan = then(None, &spec("v1"), &[("a/b:main", '0')]);
    let plan = then(Some(&plan), &spec("v2"), &[("a/b:main", '1')]);
    let plan = then(Some(&plan), &spec("v1"), &[("a/b:main", '2')]);
    assert_eq!(digits(&plan), "2");
}

proptest::proptest! {
    /// Whatever commits a branch has had, the plan holds the last of them, each once, and no more than were asked for.
    #[test]
    fn the_history_is_what_was_there_last(turns in proptest::collection::vec(("[0-5]", 0_usize..=8), 1..20)) {
        let mut plan: Option<ExistingPlan> = None;
        let mut seen = String::new();
        for (number, (turn, limit)) in turns.iter().enumerate() {
            let spec = keeping(*limit, "hf://a/b", &number.to_string());
            let digit = turn.chars().next().unwrap();
            plan = Some(then(plan.as_ref(), &spec, &[("a/b:main", digit)]));
            seen.retain(|other| other != digit);
            seen.insert(0, digit);
            seen.truncate(limit + 1);
            proptest::prop_assert_eq!(digits(plan.as_ref().unwrap()), seen.as_str());
        }
    }
}
