//! Clients that wait for a version to be loaded, and see how far it is.

use axum::body::BodyDataStream;
use futures::StreamExt;
use tokio::sync::watch;
use tokio::time::timeout;

use super::*;
use crate::http::fixtures::{slow, state_over};
use crate::loader::Transferred;
use crate::manager::Manager;

type Tell = watch::Sender<Option<Transferred>>;

/// A sidecar whose models, all of them lazy, are fetched as a test says.
fn slow_serving() -> (Router, Manager, Arc<FakeLoader>, Tell) {
    let (loader, tell) = slow();
    let mut plan = plan();
    plan.models.iter_mut().for_each(|model| model.load = ostler_crds::names::LoadPolicy::Lazy);
    let (state, loader) = state_over(loader, plan, Limits::default());
    (app(state.clone()), state.manager, loader, tell)
}

fn transferred(percent: u64) -> Option<Transferred> {
    Some(Transferred { total_bytes: 1000, completed_bytes: percent * 10 })
}

fn translate(prefer: &str) -> Request {
    let body = json!({"q": "hello", "source": "en", "target": "de"});
    let mut request = post_json("/translate", &body);
    if !prefer.is_empty() {
        request.headers_mut().insert("prefer", prefer.parse().unwrap());
    }
    request
}

/// What the progress URL shows, once it is as it should be.
async fn shown(router: &Router, path: &str, is_expected: impl Fn(&Value) -> bool) -> Value {
    let found = timeout(Duration::from_secs(20), async {
        loop {
            let answer = send(router, get(path)).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            if is_expected(&answer.json()) {
                return answer.json();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    found.await.unwrap_or_else(|_| panic!("{path} does not show what it should"))
}

#[tokio::test]
async fn a_client_that_would_rather_be_told_is_told_where_to_look_and_asks_again() {
    let (router, _, loader, tell) = slow_serving();
    let accepted = send(&router, translate("respond-async")).await;
    assert_eq!(accepted.status, 202, "{}", accepted.text);
    assert_eq!(accepted.header("preference-applied"), "respond-async");
    let location = accepted.header("location");
    assert_eq!(location, "/progress/translation@v1/en-de");
    assert!(accepted.header("retry-after").parse::<u64>().unwrap() >= 1);
    let body = accepted.json();
    assert_eq!(
        (&body["state"], &body["stage"], &body["percent"]),
        (&json!("Downloading"), &json!("Resolve"), &json!(0))
    );

    // Nobody is connected, and the load goes on; whoever asks again starts no other.
    for _ in 0..3 {
        assert_eq!(send(&router, translate("respond-async, wait=0")).await.status, 202);
    }
    tell.send_replace(transferred(50));
    let half = shown(&router, location, |body| body["percent"] == 45).await;
    assert_eq!((&half["stage"], &half["progress"]["completedBytes"]), (&json!("Download"), &json!(500)));
    assert_eq!(
        (&half["model"], &half["version"], &half["languagePair"]),
        (&json!("translation"), &json!("v1"), &json!("en-de"))
    );
    // A transfer that begins anew does not fall back.
    tell.send_replace(transferred(20));
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(send(&router, get(location)).await.json()["percent"], 45);
    tell.send_replace(None);
    let loaded = shown(&router, location, |body| body["state"] == "Loaded").await;
    assert_eq!((&loaded["percent"], loaded.get("stage")), (&json!(100), None));
    let answer = send(&router, translate("respond-async")).await;
    assert_eq!((answer.status, answer.header("preference-applied")), (200, ""));
    assert_eq!(loader.transfers.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_client_that_waits_long_enough_is_answered_and_one_that_fails_is_told() {
    let (router, _, _, tell) = slow_serving();
    let waiting = tokio::spawn({
        let router = router.clone();
        async move { send(&router, translate("respond-async, wait=30")).await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    tell.send_replace(None);
    assert_eq!(waiting.await.unwrap().status, 200);
    // What is loaded at once is answered at once, and what fails at once is told.
    let router = app(state(plan_with_broken(&["v1", "v2"], &[]), Limits::default()).0);
    for (fields, status) in [(&[("model", "whisper")][..], 503), (&[("model", "nothing")], 404)] {
        let mut request = upload_to("/v1/audio/transcriptions", fields, &wav());
        request.headers_mut().insert("prefer", "respond-async".parse().unwrap());
        assert_eq!(send(&router, request).await.status, status);
    }
    let mut request = post_json("/v1/embeddings", &json!({"model": "similarity", "input": "hello"}));
    request.headers_mut().insert("prefer", "respond-async".parse().unwrap());
    assert_eq!(send(&router, request).await.status, 200);
}

#[tokio::test]
async fn looking_loads_nothing_and_names_what_is_not_there() {
    let (router, manager, loader, _tell) = slow_serving();
    for (path, state) in [
        ("/progress/whisper", "Remote"),
        ("/progress/whisper@v2", "Remote"),
        (&format!("/progress/whisper@{COMMIT}"), "Remote"),
        ("/progress/translation@v1/de-en", "Remote"),
    ] {
        let answer = send(&router, get(path)).await;
        assert_eq!((answer.status, answer.json()["state"].as_str()), (200, Some(state)), "{path}");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    for (path, status) in [
        ("/progress/nothing", 404),
        ("/progress/whisper@v9", 404),
        ("/progress/whisper@..%2f", 404),
        (&format!("/progress/whisper@{}", "f".repeat(40)), 410),
        ("/progress/translation@v1/de-xx", 400),
        ("/progress/translation@v1/x", 400),
        ("/progress/translation@v1", 400),
    ] {
        let answer = send(&router, get(path)).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text);
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    assert_eq!(loader.transfers.load(Ordering::SeqCst), 0);
    let request = Request::post("/progress/whisper").body(Body::empty()).unwrap();
    assert_eq!(send(&router, request).await.status, 405);
    drop(manager);
}

#[tokio::test]
async fn a_versions_progress_is_a_stream_of_its_changes_that_ends_when_it_is_there() {
    let (router, _, _, tell) = slow_serving();
    assert_eq!(send(&router, translate("respond-async")).await.status, 202);
    let mut request = get("/progress/translation@v1/en-de");
    request.headers_mut().insert("accept", "text/event-stream".parse().unwrap());
    let stream = tokio::spawn({
        let router = router.clone();
        async move { send(&router, request).await }
    });
    for percent in [10, 40, 80] {
        tell.send_replace(transferred(percent));
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    tell.send_replace(None);
    let answer = timeout(Duration::from_secs(20), stream).await.unwrap().unwrap();
    assert_eq!(answer.header("content-type"), "text/event-stream");
    let data = answer.text.lines().filter_map(|line| line.strip_prefix("data: "));
    let events: Vec<Value> = data.map(|data| serde_json::from_str(data).unwrap()).collect();
    let percents: Vec<u64> = events.iter().map(|event| event["percent"].as_u64().unwrap()).collect();
    assert!(percents.is_sorted() && percents.contains(&36), "{percents:?}");
    assert_eq!((percents.last(), &events.last().unwrap()["state"]), (Some(&100), &json!("Loaded")));
}

/// The next piece of a body as text.
async fn piece(body: &mut BodyDataStream) -> String {
    let piece = timeout(Duration::from_secs(20), body.next()).await.unwrap();
    piece.map(|piece| String::from_utf8(piece.unwrap().to_vec()).unwrap()).unwrap_or_default()
}

#[tokio::test]
async fn a_stream_says_how_far_the_load_is_before_its_first_event() {
    let (router, _, _, tell) = slow_serving();
    tell.send_replace(transferred(50));
    let response = router.clone().oneshot(transcribe(&[("stream", "true")])).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body().into_data_stream();
    assert_eq!(piece(&mut body).await, ": downloading 45 %\n\n");
    tell.send_replace(None);
    let mut rest = String::new();
    while let piece = piece(&mut body).await
        && !piece.is_empty()
    {
        rest += &piece;
    }
    assert!(rest.contains(&format!(": x-ostler-revision: {COMMIT}\n")), "{rest}");
    let first_event = rest.find("data: ").unwrap();
    assert!(rest.find(": x-ostler-version").unwrap() < first_event);
    let types = events(&rest).iter().map(|event| event["type"].to_string()).collect::<Vec<_>>();
    assert_eq!(types.last().map(String::as_str), Some("\"transcript.text.done\""), "{rest}");
}

#[tokio::test]
async fn a_load_that_fails_while_a_stream_waits_is_an_event_and_one_that_fails_at_once_a_status() {
    let (loader, tell) = slow();
    let (state, _) = state_over(loader, plan_with_broken(&["v1", "v2"], &[]), Limits::default());
    let router = app(state);
    let response = router.clone().oneshot(transcribe(&[("stream", "true")])).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    tell.send_replace(None);
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let events = events(&text);
    assert_eq!(events.last().unwrap()["error"]["code"], "model_unavailable", "{text}");
    let again = send(&router, transcribe(&[("stream", "true")])).await;
    assert_eq!(again.status, 503, "{}", again.text);
}
