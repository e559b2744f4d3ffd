use ostler_crds::status::VersionState::Loaded;

use super::*;
use crate::fixtures::{self, at, deployment, model, plan, pod, reported};
use crate::observed::{Observed, Rollout};
use crate::outcome::{Problem, Progressed};
use crate::status;

const KNOWN: [(&str, char); 1] = [("a/one:main", '1')];

fn applied(known: &[(&str, char)]) -> Outcome {
    let spec = deployment().model(model("m").version("v1", "hf://a/one")).validated();
    let pins = fixtures::pinned(&spec, None, known);
    Outcome::Applied(Box::new(Progressed {
        plan: plan(&spec, known),
        pins,
        waiting: Vec::new(),
        deployment_generation: 1,
    }))
}

fn status_of(outcome: &Outcome) -> ModelDeploymentStatus {
    let object = deployment().model(model("m").version("v1", "hf://a/one")).build();
    let pods = ["a", "b"].map(|name| pod(name).reporting(vec![reported("m@v1", Loaded, '1')]));
    let rollout = Rollout { observed_generation: 1, replicas: 2, updated: 2, ready: 2, problem: None };
    let observed = Observed { rollout: Some(rollout), pods: pods.into(), ..Observed::default() };
    status::compute(&object, &observed, outcome, at(0))
}

fn shown(before: Option<&ModelDeploymentStatus>, outcome: &Outcome) -> Vec<String> {
    let notes = notes(before, &status_of(outcome), outcome);
    notes.iter().map(|note| format!("{}{}", if note.warning { "!" } else { "" }, note.reason)).collect()
}

#[test]
fn pins_and_turns_are_told_once() {
    let up = applied(&KNOWN);
    assert_eq!(shown(None, &up), ["Pinned", "Ready"]);
    let settled = match applied(&KNOWN) {
        Outcome::Applied(mut progressed) => {
            progressed.pins.made.clear();
            Outcome::Applied(progressed)
        }
        other => other,
    };
    assert!(shown(Some(&status_of(&up)), &settled).is_empty());
    let stalled = |reason| Outcome::Stalled(Problem { reason, message: "no".to_owned() });
    let invalid = stalled("InvalidSpec");
    assert_eq!(shown(Some(&status_of(&up)), &invalid), ["!InvalidSpec"]);
    assert!(shown(Some(&status_of(&invalid)), &invalid).is_empty());
    // Another reason is another event.
    assert_eq!(shown(Some(&status_of(&invalid)), &stalled("NameConflict")), ["!NameConflict"]);
    assert_eq!(shown(Some(&status_of(&invalid)), &settled), ["Ready"]);
    assert_eq!(shown(Some(&status_of(&up)), &applied(&[])), ["!NotFound", "!VersionNotPinned"]);
}

#[test]
fn a_note_is_never_longer_than_the_api_takes() {
    let long = Outcome::Stalled(Problem { reason: "Rejected", message: "ü".repeat(5000) });
    let notes = notes(None, &status_of(&long), &long);
    assert!(notes.iter().all(|note| note.text.len() <= MAX_NOTE), "{}", notes[0].text.len());
}

#[test]
fn many_pins_are_told_in_one_note() {
    let pairs: Vec<String> = (0..20).map(|number| format!("l{number}-de")).collect();
    let spec = deployment()
        .model(
            model("t")
                .set("languagePairs", serde_json::json!(pairs))
                .version("v1", "hf://a/opus-{languagePair}"),
        )
        .validated();
    let revisions: Vec<String> = pairs.iter().map(|pair| format!("a/opus-{pair}:main")).collect();
    let known: Vec<(&str, char)> = revisions.iter().map(|revision| (revision.as_str(), '1')).collect();
    assert!(pinned(&fixtures::pinned(&spec, None, &known)).ends_with("and 12 more"));
}
