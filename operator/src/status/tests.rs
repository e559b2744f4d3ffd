use ostler_crds::model_deployment::VersionStatus;
use ostler_crds::model_replica::ReportedVersion;
use ostler_crds::serving_plan::ServingPlan;
use ostler_crds::status::VersionState::{Cached, FailedToLoad, Loaded, Loading};
use ostler_crds::status::{Stage, condition};
use serde_json::json;

use super::*;
use crate::fixtures::{DeploymentBuilder, ModelBuilder, at, deployment, model, pinned, pod, reported};
use crate::observed::{ExistingPlan, ObservedPod, Rollout};
use crate::outcome::{Problem, Progressed};
use crate::weights::Waiting;

const KNOWN: [(&str, char); 2] = [("a/one:main", '1'), ("a/two:main", '2')];

fn whisper() -> ModelBuilder {
    model("whisper").preloaded().version("v1", "hf://a/one").weighted("v2", "hf://a/two", 10)
}

fn spec() -> DeploymentBuilder {
    deployment().model(whisper())
}

fn plan(builder: &DeploymentBuilder) -> ServingPlan {
    crate::fixtures::plan(&builder.clone().validated(), &KNOWN)
}

fn applied(builder: &DeploymentBuilder, known: &[(&str, char)]) -> Outcome {
    let validated = builder.clone().validated();
    let pins = pinned(&validated, None, known);
    let plan = crate::fixtures::plan(&validated, known);
    Outcome::Applied(Box::new(Progressed { plan, pins, waiting: Vec::new(), deployment_generation: 1 }))
}

fn observed(pods: Vec<ObservedPod>) -> Observed {
    let ready = i32::try_from(pods.iter().filter(|pod| pod.ready).count()).unwrap();
    let all = i32::try_from(pods.len()).unwrap();
    let rollout = Rollout { observed_generation: 1, replicas: all, updated: all, ready, problem: None };
    Observed { rollout: Some(rollout), pods, ..Observed::default() }
}

fn loaded(name: &str) -> ObservedPod {
    pod(name).reporting(vec![reported("whisper@v1", Loaded, '1'), reported("whisper@v2", Loaded, '2')])
}

/// `Type=Status Reason` of every condition.
fn shown(status: &ModelDeploymentStatus) -> Vec<String> {
    let show = |one: &Condition| format!("{}={} {}", one.type_, one.status, one.reason);
    status.conditions.iter().map(show).collect()
}

fn message(status: &ModelDeploymentStatus, kind: &str) -> String {
    status.conditions.iter().find(|one| one.type_ == kind).map(|one| one.message.clone()).unwrap_or_default()
}

#[test]
fn everything_is_up() {
    let status =
        compute(&spec().build(), &observed(vec![loaded("a"), loaded("b")]), &applied(&spec(), &KNOWN), at(0));
    assert_eq!(
        shown(&status),
        [
            "Ready=True Ready",
            "Reconciling=False UpToDate",
            "Stalled=False NotStalled",
            "Available=True PodsReady",
            "VersionsPinned=True Pinned",
            "ModelsLoaded=True Loaded",
            "Degraded=False AsAsked",
        ]
    );
    assert_eq!((status.replicas, status.ready_replicas, status.progress_percent), (2, 2, 50));
    assert_eq!((status.loaded.as_str(), status.versions.as_str()), ("2/2", "whisper=v1:90,v2:10"));
    assert_eq!(status.models[0].versions[1].replicas, [("Loaded".to_owned(), 2)].into());
    assert_eq!(status.models[0].versions[1].revision, "2".repeat(40));
    assert!(status.conditions.iter().all(|one| one.observed_generation == Some(3)));
}

#[test]
fn a_version_is_as_far_as_the_pod_that_is_farthest_behind() {
    let staged = |stage, percent| ReportedVersion { stage, percent, ..reported("whisper@v1", Loading, '1') };
    let pods = vec![
        pod("a").reporting(vec![staged(Some(Stage::WarmUp), 97)]),
        pod("b").reporting(vec![staged(Some(Stage::Download), 40)]),
        pod("c").reporting(vec![staged(None, 0)]),
    ];
    let status = compute(&spec().build(), &observed(pods), &applied(&spec(), &KNOWN), at(0));
    let version = &status.models[0].versions[0];
    assert_eq!((version.stage, version.percent), (Some(Stage::Download), Some(40)));
    assert_eq!((status.models[0].versions[1].stage, status.models[0].versions[1].percent), (None, None));
}

#[test]
fn what_is_not_up_is_said() {
    let loading = |name| pod(name).reporting(vec![reported("whisper@v1", Loading, '1')]);
    let failed = |name| {
        pod(name)
            .reporting(vec![reported("whisper@v1", Loaded, '1'), reported("whisper@v2", FailedToLoad, '2')])
    };
    let pending = |name| pod(name).trouble("Unschedulable: 0/1 nodes are available");
    let old = |mut observed: Observed| {
        observed.rollout.as_mut().unwrap().observed_generation = 0;
        observed
    };
    let everything = || applied(&spec(), &KNOWN);
    let waiting = || match everything() {
        Outcome::Applied(mut progressed) => {
            progressed.waiting.push(Waiting { version: "whisper@v2".to_owned(), percent: 10 });
            Outcome::Applied(progressed)
        }
        other => other,
    };
    let stalled =
        || Outcome::Stalled(Problem { reason: "InvalidSpec", message: "spec.models: no".to_owned() });
    let failing = || Outcome::Failed(Problem { reason: "ApiError", message: "no answer".to_owned() });
    let cases = [
        (
            "pods are pending",
            observed(vec![pending("a"), pending("b")]),
            everything(),
            "PodsNotReady",
            "NoPodReady",
        ),
        ("a pod is missing", observed(vec![loaded("a")]), everything(), "RollingOut", "Loaded"),
        (
            "the change is not seen yet",
            old(observed(vec![loaded("a"), loaded("b")])),
            everything(),
            "RollingOut",
            "Loaded",
        ),
        (
            "a pod loads",
            observed(vec![loaded("a"), loading("b")]),
            everything(),
            "ModelsNotLoaded",
            "Loading",
        ),
        (
            "a version fails",
            observed(vec![loaded("a"), failed("b")]),
            everything(),
            "ModelsNotLoaded",
            "FailedToLoad",
        ),
        (
            "a pod is silent",
            observed(vec![loaded("a"), pod("b")]),
            everything(),
            "ModelsNotLoaded",
            "Loading",
        ),
        ("a share waits", observed(vec![loaded("a"), loaded("b")]), waiting(), "WeightsWaiting", "Loaded"),
        ("the spec is wrong", observed(vec![]), stalled(), "InvalidSpec", "NotPlanned"),
        ("the API fails", observed(vec![]), failing(), "ApiError", "NotPlanned"),
    ];
    for (case, observed, outcome, ready, models) in cases {
        let status = compute(&spec().build(), &observed, &outcome, at(0));
        let shown = shown(&status);
        assert_eq!(shown[0], format!("Ready=False {ready}"), "{case}");
        assert!(shown[5].ends_with(models), "{case}: {}", shown[5]);
        let is_stalled = matches!(outcome, Outcome::Stalled(_));
        assert_eq!(shown[2].starts_with("Stalled=True"), is_stalled, "{case}");
        assert_eq!(shown[1].starts_with("Reconciling=True"), !is_stalled, "{case}");
    }
}

#[test]
fn why_pods_are_pending_is_in_the_conditions() {
    let pods = vec![
        pod("a").trouble("Unschedulable: 0/1 nodes are available"),
        pod("b").trouble("Unschedulable: 0/1 nodes are available"),
        pod("c").trouble("container app: ImagePullBackOff"),
    ];
    let status = compute(&spec().build(), &observed(pods), &applied(&spec(), &KNOWN), at(0));
    let expected = "2 pods: Unschedulable: 0/1 nodes are available; 1 pod: container app: ImagePullBackOff";
    for kind in [condition::READY, condition::RECONCILING, condition::AVAILABLE] {
        assert!(message(&status, kind).ends_with(expected), "{kind}: {}", message(&status, kind));
    }
}

#[test]
fn why_a_pod_waits_for_its_models_is_in_the_conditions() {
    let mut waiting = pod("a").reporting(vec![reported("whisper@v1", FailedToLoad, '1')]);
    waiting.ready = false;
    let status = compute(&spec().build(), &observed(vec![waiting]), &applied(&spec(), &KNOWN), at(0));
    for kind in [condition::READY, condition::RECONCILING] {
        let message = message(&status, kind);
        assert!(message.contains("pods are up to date and ready; whisper@v1: "), "{kind}: {message}");
    }
}

#[test]
fn a_pod_that_obeys_an_older_plan_is_waited_for() {
    let mut older = loaded("a");
    older.report.as_mut().unwrap().plan_generation = 2;
    let status =
        compute(&spec().build(), &observed(vec![older, loaded("b")]), &applied(&spec(), &KNOWN), at(0));
    assert_eq!(shown(&status)[0], "Ready=False PlanNotObeyed");
    assert!(message(&status, condition::READY).ends_with("newest plan yet: 1"));
    // What is loaded stays loaded meanwhile.
    assert_eq!((status.loaded.as_str(), shown(&status)[5].as_str()), ("2/2", "ModelsLoaded=True Loaded"));
}

#[test]
fn what_was_loaded_and_left_memory_for_others_counts_as_loaded_and_what_never_was_does_not() {
    for (proven, expected) in [(true, "ModelsLoaded=True Loaded"), (false, "ModelsLoaded=False Loading")] {
        let mut pod = loaded("a");
        for entry in &mut pod.report.as_mut().unwrap().versions {
            (entry.state, entry.proven) = (Cached, proven);
        }
        let status =
            compute(&spec().build(), &observed(vec![pod, loaded("b")]), &applied(&spec(), &KNOWN), at(0));
        assert_eq!(shown(&status)[5], expected);
    }
}

#[test]
fn a_revision_that_cannot_be_resolved_has_its_reason_in_the_conditions() {
    let status = compute(
        &spec().build(),
        &observed(vec![loaded("a"), loaded("b")]),
        &applied(&spec(), &[("a/one:main", '1')]),
        at(0),
    );
    let shown = shown(&status);
    assert_eq!(shown[4], "VersionsPinned=False NotFound");
    assert_eq!(shown[6], "Degraded=True VersionNotPinned");
    assert_eq!(message(&status, condition::VERSIONS_PINNED), "whisper@v2: it is not there");
}

#[test]
fn a_wrong_spec_leaves_the_summary_of_what_serves() {
    let mut observed = observed(vec![loaded("a"), loaded("b")]);
    observed.plan =
        Some(ExistingPlan { plan: Some(plan(&spec())), repin: Some("x".into()), repin_pending: vec![] });
    let stalled = Outcome::Stalled(Problem { reason: "InvalidSpec", message: "spec.models: no".to_owned() });
    let status = compute(&spec().build(), &observed, &stalled, at(0));
    assert_eq!(status.versions, "whisper=v1:90,v2:10");
    assert_eq!(status.observed_repin.as_deref(), Some("x"));
    assert_eq!(shown(&status)[3], "Available=True PodsReady");
    assert_eq!(shown(&status)[5], "ModelsLoaded=True Loaded");
}

#[test]
fn no_pods_asked_for_is_ready() {
    let none = spec().spec("replicas", json!(0));
    let status = compute(&none.clone().build(), &observed(vec![]), &applied(&none, &KNOWN), at(0));
    assert_eq!(shown(&status)[0], "Ready=True Ready");
    assert_eq!(shown(&status)[3], "Available=False ScaledToZero");
}

#[test]
fn the_same_again_is_the_same_and_a_transition_is_dated() {
    let outcome = applied(&spec(), &KNOWN);
    let mut object = spec().build();
    let up = observed(vec![loaded("a"), loaded("b")]);
    let first = compute(&object, &up, &outcome, at(0));
    object.status = Some(first.clone());
    assert_eq!(compute(&object, &up, &outcome, at(100)), first);
    let second = compute(&object, &observed(vec![loaded("a")]), &outcome, at(200));
    let dates: Vec<i64> = second
        .conditions
        .iter()
        .map(|one| one.last_transition_time.0.as_second() - at(0).as_second())
        .collect();
    // Ready and Reconciling turned, the others did not.
    assert_eq!(dates, [200, 200, 0, 0, 0, 0, 0]);
}

#[test]
fn a_pod_counts_once_by_its_worst_language_pair() {
    let pairs = model("t")
        .set("languagePairs", json!(["en-de", "de-en"]))
        .version("v1", "hf://a/opus-{languagePair}");
    let spec = deployment().model(pairs);
    let known = [("a/opus-en-de:main", '1'), ("a/opus-de-en:main", '2')];
    let bad = pod("a")
        .reporting(vec![reported("t@v1/en-de", Loaded, '1'), reported("t@v1/de-en", FailedToLoad, '2')]);
    let half = pod("b").reporting(vec![reported("t@v1/en-de", Loaded, '1')]);
    let good =
        pod("c").reporting(vec![reported("t@v1/en-de", Loaded, '1'), reported("t@v1/de-en", Loaded, '2')]);
    let stale =
        pod("d").reporting(vec![reported("t@v1/en-de", Loaded, '9'), reported("t@v1/de-en", Loaded, '2')]);
    let status = compute(
        &spec.clone().build(),
        &observed(vec![bad, half, good, stale]),
        &applied(&spec, &known),
        at(0),
    );
    let version: &VersionStatus = &status.models[0].versions[0];
    let counts = [("FailedToLoad".to_owned(), 1), ("Loaded".to_owned(), 1), ("Unknown".to_owned(), 2)];
    assert_eq!(version.replicas, counts.into());
    assert_eq!(version.unhealthy_language_pairs, ["de-en"]);
    assert_eq!(version.last_failure.as_ref().map(|failure| failure.reason.as_str()), Some("Incompatible"));
    assert_eq!(version.revision, "");
    assert_eq!(shown(&status)[6], "Degraded=True VersionFailed");
    assert_eq!(shown(&status)[5], "ModelsLoaded=True NothingToPreload");
}

#[test]
fn text_from_elsewhere_is_escaped_and_cut() {
    let message_of = |text: String| {
        let problem = Problem { reason: "Rejected", message: text };
        message(
            &compute(&spec().build(), &observed(vec![]), &Outcome::Stalled(problem), at(0)),
            condition::STALLED,
        )
    };
    assert_eq!(message_of("one\u{1b}[31mtwo\nthree".to_owned()), "one\\u{1b}[31mtwo\\nthree");
    assert_eq!(message_of("ü".repeat(2000)).chars().count(), 1024);
}

proptest::proptest! {
    /// However many pods there are, the status is as large as the models.
    #[test]
    fn the_size_does_not_grow_with_pods(pods in 1_usize..60) {
        let many: Vec<ObservedPod> = (0..pods)
            .map(|number| pod(&format!("p{number}")).reporting(vec![reported("whisper@v1", FailedToLoad, '1')]))
            .collect();
        let status = compute(&spec().build(), &observed(many), &applied(&spec(), &KNOWN), at(0));
        let length = serde_json::to_string(&status).map(|text| text.len()).unwrap_or(usize::MAX);
        proptest::prop_assert!(length < 4096, "{length}");
        let true_ones = status.conditions.iter().take(3).filter(|one| one.status == "True").count();
        proptest::prop_assert_eq!(true_ones, 1);
    }
}
