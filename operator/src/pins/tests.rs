use ostler_crds::serving_plan::ServingPlan;
use serde_json::json;

use super::*;
use crate::desired;
use crate::fixtures::{ModelBuilder, answers, commit, deployment, model, pinned};

mod history;

fn whisper(uri: &str) -> ModelBuilder {
    model("whisper").version("v1", uri)
}

/// The ConfigMap that these pins would be written to.
fn written(deployment: &ValidatedDeployment, pins: &Pins) -> ExistingPlan {
    let plan: ServingPlan = desired::asked_for(deployment, pins);
    ExistingPlan { plan: Some(plan), repin: pins.repin.clone(), repin_pending: pins.repin_pending.clone() }
}

/// `source commit-digit` of every artifact; `-` without one.
fn shown(pins: &Pins) -> Vec<String> {
    let digit = |artifact: &PlannedArtifact| {
        artifact.commit.as_ref().map_or("-".into(), |c| c.as_str()[..1].to_owned())
    };
    pins.artifacts
        .iter()
        .map(|(key, artifact)| format!("{key} {} {}", artifact.source, digit(artifact)))
        .collect()
}

#[test]
fn a_revision_is_resolved_once_and_its_commit_stays() {
    let spec = deployment().model(whisper("hf://a/b")).validated();
    let first = pinned(&spec, None, &[("a/b:main", '1')]);
    assert_eq!(shown(&first), ["whisper@v1 hf://a/b:main 1"]);
    assert_eq!(first.made.len(), 1);
    // The branch has moved; nobody asks.
    let decisions = decide(&spec, Some(&written(&spec, &first)));
    assert!(decisions.questions().is_empty());
    let second = settle(decisions, &spec, &Resolutions::new());
    assert_eq!(shown(&second), shown(&first));
    assert!(second.made.is_empty() && second.failures.is_empty());
}

#[test]
fn a_commit_and_a_folder_need_no_resolving() {
    let uri = format!("hf://a/b:{}", commit('c'));
    let spec =
        deployment().model(whisper(&uri)).model(model("local").version("v1", "file:///models/x")).validated();
    let decisions = decide(&spec, None);
    assert!(decisions.questions().is_empty());
    let pins = settle(decisions, &spec, &Resolutions::new());
    assert_eq!(shown(&pins), ["local@v1 file:///models/x -".to_owned(), format!("whisper@v1 {uri} c")]);
    assert!(pins.artifacts.values().all(|artifact| artifact.unpinned.is_none()));
}

#[test]
fn another_revision_is_resolved_and_until_then_the_old_pin_serves() {
    let before = deployment().model(whisper("hf://a/b")).validated();
    let existing = written(&before, &pinned(&before, None, &[("a/b:main", '1')]));
    let after = deployment().model(whisper("hf://a/b:next")).validated();
    let down = pinned(&after, Some(&existing), &[]);
    assert_eq!(shown(&down), ["whisper@v1 hf://a/b:main 1"]);
    assert!(down.failures[0].served_by_older && down.repin_pending.is_empty());
    // It is still another revision the next time.
    let up = pinned(&after, Some(&written(&after, &down)), &[("a/b:next", '2')]);
    assert_eq!(shown(&up), ["whisper@v1 hf://a/b:next 2"]);
}

#[test]
fn what_was_never_pinned_says_why_and_is_asked_again() {
    let spec = deployment().model(whisper("hf://a/b")).validated();
    let down = pinned(&spec, None, &[]);
    assert_eq!(shown(&down), ["whisper@v1 hf://a/b:main -"]);
    let artifact = down.artifacts.values().next().unwrap();
    assert_eq!(artifact.unpinned.as_deref(), Some("NotFound: it is not there"));
    assert!(!down.failures[0].served_by_older);
    let up = pinned(&spec, Some(&written(&spec, &down)), &[("a/b:main", '1')]);
    assert_eq!(shown(&up), ["whisper@v1 hf://a/b:main 1"]);
}

#[test]
fn a_new_repin_value_resolves_everything_once() {
    let models = |builder: crate::fixtures::DeploymentBuilder| {
        builder.model(whisper("hf://a/b")).model(model("other").version("v1", "hf://a/c"))
    };
    let before = models(deployment()).validated();
    let existing = written(&before, &pinned(&before, None, &[("a/b:main", '1'), ("a/c:main", '1')]));
    let after = models(deployment().repin("monday")).validated();
    // One of the two cannot be reached: its old pin stays and is asked for again, the other is not.
    let half = pinned(&after, Some(&existing), &[("a/b:main", '2')]);
    assert_eq!(shown(&half), ["other@v1 hf://a/c:main 1", "whisper@v1 hf://a/b:main 2"]);
    assert_eq!(
        (half.repin.as_deref(), half.repin_pending.as_slice()),
        (Some("monday"), &["other@v1".to_owned()][..])
    );
    let existing = written(&after, &half);
    let questions: Vec<String> = decide(&after, Some(&existing))
        .questions()
        .iter()
        .map(|(repository, _)| repository.to_string())
        .collect();
    assert_eq!(questions, ["a/c"]);
    let whole = pinned(&after, Some(&existing), &[("a/b:main", '3'), ("a/c:main", '3')]);
    assert_eq!(shown(&whole), ["other@v1 hf://a/c:main 3", "whisper@v1 hf://a/b:main 2"]);
    assert!(whole.repin_pending.is_empty());
    assert!(decide(&after, Some(&written(&after, &whole))).questions().is_empty());
    // Taking the annotation away asks for nothing.
    assert!(decide(&before, Some(&written(&after, &whole))).questions().is_empty());
}

#[test]
fn a_repin_value_that_was_there_from_the_start_asks_for_nothing_more() {
    let spec = deployment().repin("monday").model(whisper("hf://a/b")).validated();
    let existing = written(&spec, &pinned(&spec, None, &[("a/b:main", '1')]));
    assert!(decide(&spec, Some(&existing)).questions().is_empty());
}

#[test]
fn number_format_and_weights_leave_pins_alone() {
    let before = deployment().model(whisper("hf://a/b").version("v2", "hf://a/c")).validated();
    let known = [("a/b:main", '1'), ("a/c:main", '1')];
    let existing = written(&before, &pinned(&before, None, &known));
    let mut after = before;
    after.models[0].versions[1].dtype = ostler_crds::names::Dtype::Int8;
    after.models[0].versions.swap(0, 1);
    assert!(decide(&after, Some(&existing)).questions().is_empty());
}

#[test]
fn each_language_pair_has_its_own_pin() {
    let translation = |pairs: &[&str]| {
        model("t").set("languagePairs", json!(pairs)).version("v1", "hf://h/opus-mt-{languagePair}")
    };
    let before = deployment().model(translation(&["en-de"])).validated();
    let existing = written(&before, &pinned(&before, None, &[("h/opus-mt-en-de:main", '1')]));
    let after = deployment().model(translation(&["en-de", "de-en"])).validated();
    let pins =
        pinned(&after, Some(&existing), &[("h/opus-mt-en-de:main", '2'), ("h/opus-mt-de-en:main", '2')]);
    assert_eq!(
        shown(&pins),
        ["t@v1/de-en hf://h/opus-mt-de-en:main 2", "t@v1/en-de hf://h/opus-mt-en-de:main 1"]
    );
}

#[test]
fn two_artifacts_of_one_revision_get_one_commit_from_one_question() {
    let spec = deployment().model(whisper("hf://a/b").version("v2", "hf://a/b:main")).validated();
    assert_eq!(decide(&spec, None).questions().len(), 1);
    assert_eq!(answers(&spec, &[("a/b:main", '1')]).len(), 1);
    let pins = pinned(&spec, None, &[("a/b:main", '1')]);
    assert_eq!(shown(&pins), ["whisper@v1 hf://a/b:main 1", "whisper@v2 hf://a/b:main 1"]);
}

#[test]
fn a_plan_that_is_too_large_is_known_before_anybody_is_asked() {
    let pairs: Vec<String> = (0..64).map(|number| format!("l{number}-de")).collect();
    let uri = format!("hf://{}/{}-{{languagePair}}", "o".repeat(90), "r".repeat(80));
    let translation = |number: usize| {
        let model = model(&format!("t{number}")).set("languagePairs", json!(pairs));
        (0..8).fold(model, |model, version| model.version(&format!("v{version}"), &uri))
    };
    let size = |models: usize| {
        let spec = (0..models).fold(deployment(), |spec, number| spec.model(translation(number))).validated();
        let decisions = decide(&spec, None);
        let answers = decisions.as_if_answered();
        assert_eq!(answers.len(), 64);
        desired::asked_for(&spec, &settle(decisions, &spec, &answers)).to_json()
    };
    assert!(size(1).is_ok());
    assert!(matches!(size(5), Err(ostler_crds::serving_plan::PlanError::TooLarge { .. })));
}

#[test]
fn an_unreadable_plan_is_no_memory() {
    let spec = deployment().model(whisper("hf://a/b")).validated();
    assert_eq!(decide(&spec, Some(&ExistingPlan::default())).questions().len(), 1);
}

proptest::proptest! {
    /// Whatever the Hub answers and however often, a pin that was made for a source moves only with a new repin value.
    #[test]
    fn a_pin_never_moves_by_itself(
        rounds in proptest::collection::vec((proptest::option::of("[0-9a-f]"), proptest::option::of("[ab]")), 1..12),
    ) {
        let mut existing: Option<ExistingPlan> = None;
        for (digit, repin) in rounds {
            let mut builder = deployment().model(whisper("hf://a/b"));
            if let Some(repin) = &repin {
                builder = builder.repin(repin);
            }
            let spec = builder.validated();
            let digit = digit.and_then(|digit| digit.chars().next());
            let known: Vec<(&str, char)> = digit.iter().map(|digit| ("a/b:main", *digit)).collect();
            let pins = pinned(&spec, existing.as_ref(), &known);
            let commit_of = |plan: &ExistingPlan| plan.plan.as_ref().and_then(|plan| {
                plan.models[0].versions[0].artifacts[0].commit.clone()
            });
            let next = written(&spec, &pins);
            if let Some(before) = &existing
                && let Some(commit) = commit_of(before)
            {
                let asked_anew = (repin.is_some() && before.repin != repin) || !before.repin_pending.is_empty();
                proptest::prop_assert!(commit_of(&next).is_some(), "a pin was lost");
                proptest::prop_assert!(asked_anew || commit_of(&next) == Some(commit), "a pin moved by itself");
            }
            existing = Some(next);
        }
    }
}
