//! Pins that a version had before, asked for by what the headers of an earlier answer say.

use ostler_crds::serving_plan::ServingPlan;

use super::*;

const OLD: &str = "fedcba9876543210fedcba9876543210fedcba98";

/// `whisper@v1` at `pin`, and before at these commits.
fn pinned(pin: &str, history: &[&str]) -> ServingPlan {
    let mut plan = plan();
    let artifact = &mut plan.models[0].versions[0].artifacts[0];
    artifact.commit = Some(pin.parse().unwrap());
    let pin =
        |commit: &&str| json!({"source": "hf://ostler/whisper-v1", "commit": commit, "dtype": "float32"});
    let history = history.iter().map(|commit| serde_json::from_value(pin(commit)).unwrap());
    artifact.history = history.collect();
    plan
}

fn transcribe_with(headers: &[(&'static str, &str)]) -> Request {
    let mut request = transcribe(&[]);
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    request
}

#[tokio::test]
async fn an_answers_headers_ask_for_the_same_again_after_the_version_has_moved() {
    let (state, _) = state(pinned(OLD, &[]), Limits::default());
    let (manager, router) = (state.manager.clone(), app(state));
    let first = send(&router, transcribe_with(&[("x-ostler-version", "v1")])).await;
    let (version, revision) = (first.header("x-ostler-version"), first.header("x-ostler-revision"));
    assert_eq!((first.status, version, revision), (200, "v1", OLD));

    manager.apply(pinned(COMMIT, &[OLD]));
    for headers in [
        &[("x-ostler-version", version), ("x-ostler-revision", revision)][..],
        &[("x-ostler-revision", revision)],
        &[("x-ostler-version", revision)],
    ] {
        let again = send(&router, transcribe_with(headers)).await;
        let names = ["x-ostler-model", "x-ostler-version", "x-ostler-revision"];
        assert_eq!(again.status, 200, "{}", again.text);
        assert_eq!(names.map(|name| again.header(name)), ["whisper", "v1", OLD], "{headers:?}");
        assert_eq!(again.text, first.text);
    }
    for model in [format!("whisper@{OLD}"), format!("whisper@v1@{OLD}")] {
        let fields = [("model", model.as_str())];
        let again = send(&router, upload_to("/v1/audio/transcriptions", &fields, &wav())).await;
        assert_eq!(again.header("x-ostler-revision"), OLD, "{}", again.text);
    }
    let moved = send(&router, transcribe_with(&[("x-ostler-version", "v1")])).await;
    assert_eq!(moved.header("x-ostler-revision"), COMMIT);
    let shown = serde_json::to_value(&*manager.snapshot()).unwrap();
    assert_eq!(
        (&shown["retired"][0]["retired"], &shown["retired"][0]["state"]),
        (&json!(OLD), &json!("Loaded"))
    );
    assert!(shown["versions"].as_array().unwrap().iter().all(|version| version.get("retired").is_none()));

    manager.apply(pinned(COMMIT, &[]));
    let gone =
        send(&router, transcribe_with(&[("x-ostler-version", "v1"), ("x-ostler-revision", OLD)])).await;
    assert_eq!((gone.status, gone.json()["kind"].as_str()), (410, Some("CommitGone")));
    assert!(gone.json()["detail"].as_str().unwrap().contains(COMMIT), "{}", gone.text);
}

#[tokio::test]
async fn what_names_no_commit_is_refused() {
    let (state, _) = state(pinned(COMMIT, &[OLD]), Limits::default());
    let router = app(state);
    for (headers, status) in [
        (&[("x-ostler-version", "v1"), ("x-ostler-revision", "sha256:12")][..], 400),
        (&[("x-ostler-version", "v9"), ("x-ostler-revision", OLD)], 404),
        (&[("x-ostler-version", "v2"), ("x-ostler-revision", OLD)], 410),
    ] {
        let answer = send(&router, transcribe_with(headers)).await;
        assert_eq!(answer.status, status, "{headers:?}: {}", answer.text);
    }
}
