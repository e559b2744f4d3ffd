//! Answers that are kept, through the router.

use std::time::Duration;

use axum::http::header;
use ostler_crds::serving_plan::{PlannedResultCache, ServingPlan};
use serde_json::json;

use super::*;

const OTHER_COMMIT: &str = "76543210fedcba9876543210fedcba9876543210";

/// The plan, with answers of every model kept.
fn keeping() -> ServingPlan {
    let mut plan = plan();
    keep(&mut plan);
    plan
}

fn keep(plan: &mut ServingPlan) {
    for model in &mut plan.models {
        model.result_cache =
            Some(PlannedResultCache { max_entries: 100, max_bytes: 1 << 20, time_to_live_seconds: 600 });
    }
}

/// The plan, with all of whisper's traffic on `v2`, which is broken, and `v1` in its place.
fn broken_v2() -> ServingPlan {
    let mut plan = plan_with_broken(&["v2"], &["v1"]);
    keep(&mut plan);
    all_to_v2(&mut plan);
    plan
}

fn all_to_v2(plan: &mut ServingPlan) {
    for (version, weight) in plan.models[0].versions.iter_mut().zip([0_u8, 100]) {
        version.weight = weight.try_into().unwrap();
    }
}

fn of_v1(fields: &[(&str, &str)]) -> Request {
    let fields: Vec<_> = std::iter::once(&("model", "whisper@v1")).chain(fields).copied().collect();
    upload_to("/v1/audio/transcriptions", &fields, &wav())
}

/// The header, and the version that answered.
fn outcome(answer: &Answer) -> (&str, &str) {
    assert_eq!(answer.status, 200, "{}", answer.text);
    (answer.header("x-ostler-cache"), answer.header("x-ostler-version"))
}

#[tokio::test]
async fn every_shape_of_the_same_transcript_is_a_hit() {
    let (state, loader) = state(keeping(), Limits::default());
    let (router, status) = (app(state.clone()), status_app(state));
    assert_eq!(outcome(&send(&router, of_v1(&[])).await), ("miss", "v1"));
    for format in ["json", "verbose_json", "text", "srt", "vtt"] {
        let answer = send(&router, of_v1(&[("response_format", format)])).await;
        assert_eq!(outcome(&answer), ("hit", "v1"));
        assert!(answer.text.contains("Guten Tag."), "{}", answer.text);
        assert_eq!(answer.header("x-ostler-revision"), COMMIT);
    }
    let streamed = send(&router, of_v1(&[("stream", "true")])).await;
    assert_eq!(outcome(&streamed), ("hit", "v1"));
    let texts: Vec<_> = events(&streamed.text).iter().map(|event| event["type"].clone()).collect();
    assert_eq!(texts, ["transcript.text.delta", "transcript.text.delta", "transcript.text.done"]);
    assert_eq!(loader.begun.load(Ordering::SeqCst), 1);
    // Whatever changes the job is another question; so is another clip.
    for fields in [&[("language", "de")][..], &[("temperature", "0.5")], &[("prompt", "Hallo")]] {
        assert_eq!(outcome(&send(&router, of_v1(fields)).await), ("miss", "v1"), "{fields:?}");
        assert_eq!(outcome(&send(&router, of_v1(fields)).await), ("hit", "v1"), "{fields:?}");
    }
    let mut clip = wav();
    clip.extend_from_slice(b"ID3 ");
    let other = upload_to("/v1/audio/transcriptions", &[("model", "whisper@v1")], &clip);
    assert_eq!(outcome(&send(&router, other).await), ("miss", "v1"));
    assert_eq!(
        outcome(&send(&router, upload_to("/detect-language", &[("model", "whisper@v1")], &wav())).await).0,
        "miss"
    );
    let text = send(&status, get("/metrics")).await.text;
    for line in [
        "ostler_result_cache_answers_total{model=\"whisper\",outcome=\"hit\"} 9",
        "ostler_result_cache_answers_total{model=\"whisper\",outcome=\"miss\"} 6",
        "ostler_result_cache_entries{model=\"whisper\"} 6",
        "ostler_result_cache_evictions_total{model=\"whisper\",reason=\"space\"} 0",
    ] {
        assert!(text.lines().any(|other| other == line), "{line}\n{text}");
    }
}

#[tokio::test]
async fn what_a_stream_computed_is_kept_and_what_failed_is_not() {
    let (state, loader) = state(keeping(), Limits::default());
    let router = app(state);
    assert_eq!(outcome(&send(&router, of_v1(&[("stream", "true")])).await), ("miss", "v1"));
    assert_eq!(outcome(&send(&router, of_v1(&[])).await), ("hit", "v1"));
    assert_eq!(loader.begun.load(Ordering::SeqCst), 1);
    for _ in 0..2 {
        let answer = send(&router, of_v1(&[("prompt", "damaged")])).await;
        assert_eq!((answer.status, answer.header("x-ostler-cache")), (500, ""));
    }
    assert_eq!(loader.begun.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn texts_are_kept_by_task_and_pair_and_one_computed_part_makes_a_miss() {
    let (state, loader) = state(keeping(), Limits::default());
    let router = app(state);
    let translate = |q: Value, source: &str| json!({"q": q, "source": source, "target": "en"});
    let (german, english) =
        ("Hallo, dies ist ein Satz, der lang genug ist.", "This sentence is long enough to be judged alone.");
    for (path, body) in [
        ("/translate", translate(json!(german), "de")),
        ("/translate", translate(json!([german, english]), "auto")),
        ("/detect", json!({"q": german})),
        ("/v1/embeddings", json!({"model": "similarity", "input": ["a", "b"]})),
        ("/score", json!({"text_1": "a", "text_2": "bc"})),
    ] {
        let first = send(&router, post_json(path, &body)).await;
        let begun = loader.begun.load(Ordering::SeqCst);
        let second = send(&router, post_json(path, &body)).await;
        assert_eq!((outcome(&first).1, outcome(&second)), ("v1", ("hit", "v1")), "{path}");
        if path != "/score" {
            assert_eq!(first.text, second.text);
        }
        assert_eq!(loader.begun.load(Ordering::SeqCst), begun, "{path}");
    }
    let plain = app(self::state(plan(), Limits::default()).0);
    for _ in 0..2 {
        let answer = send(&plain, post_json("/translate", &translate(json!("a"), "de"))).await;
        assert_eq!(outcome(&answer), ("", "v1"));
    }
}

#[tokio::test]
async fn another_pin_answers_for_itself_and_the_old_ones_answers_go() {
    let (state, loader) = state(keeping(), Limits::default());
    let manager = state.manager.clone();
    let router = app(state);
    let ask = || async { send(&router, post_json("/detect", &json!({"q": "Hallo"}))).await };
    assert_eq!(outcome(&ask().await), ("miss", "v1"));
    let mut repinned = keeping();
    repinned.models[2].versions[0].artifacts[0].commit = Some(OTHER_COMMIT.parse().unwrap());
    manager.apply(repinned);
    // The old pin answers until the new one is loaded, and its answers are not taken for the new one's.
    let answer = ask().await;
    assert_eq!(outcome(&answer), ("miss", "v1"));
    for _ in 0..100 {
        if ask().await.header("x-ostler-revision") == OTHER_COMMIT {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let answer = ask().await;
    assert_eq!((outcome(&answer), answer.header("x-ostler-revision")), (("hit", "v1"), OTHER_COMMIT));
    manager.apply(keeping());
    assert_eq!(manager.results().figures().iter().map(|figures| figures.entries).sum::<usize>(), 0);
    manager.apply(plan());
    let begun = loader.begun.load(Ordering::SeqCst);
    assert_eq!(outcome(&ask().await), ("", "v1"));
    assert_eq!(loader.begun.load(Ordering::SeqCst), begun + 1);
}

#[tokio::test]
async fn what_a_fallback_answers_is_never_the_chosen_versions_answer() {
    let (state, loader) = state(broken_v2(), Limits::default());
    let manager = state.manager.clone();
    let router = app(state);
    let instead = "v2; location=Download; reason=NotFound";
    for cached in ["miss", "hit"] {
        let answer = send(&router, transcribe(&[])).await;
        assert_eq!(outcome(&answer), (cached, "v1"));
        assert_eq!(answer.header("x-ostler-fallback"), instead);
    }
    assert_eq!(loader.begun.load(Ordering::SeqCst), 1);
    // Of itself it is a plain answer.
    let own = send(&router, of_v1(&[])).await;
    assert_eq!((outcome(&own), own.header("x-ostler-fallback")), (("hit", "v1"), ""));
    let asked = upload_to("/v1/audio/transcriptions", &[("model", "whisper@v2")], &wav());
    assert_eq!(send(&router, asked).await.status, 503);
    let mut healed = keeping();
    all_to_v2(&mut healed);
    manager.apply(healed);
    assert_eq!(outcome(&send(&router, transcribe(&[])).await), ("miss", "v2"));
    assert_eq!(outcome(&send(&router, transcribe(&[])).await), ("hit", "v2"));
}

#[tokio::test]
async fn a_hit_needs_neither_the_version_in_memory_nor_the_clip_decoded() {
    let mut plan = keeping();
    plan.models[0].load = ostler_crds::names::LoadPolicy::Lazy;
    plan.models[0].idle_seconds = Some(1);
    let (state, _) = state(plan, Limits::default());
    let manager = state.manager.clone();
    let router = app(state);
    assert_eq!(outcome(&send(&router, of_v1(&[])).await), ("miss", "v1"));
    let bytes = || {
        let snapshot = manager.snapshot();
        snapshot
            .versions
            .iter()
            .filter(|one| one.key.model.as_str() == "whisper")
            .map(|one| one.resident_bytes)
            .sum::<u64>()
    };
    assert!(bytes() > 0);
    until(|| bytes() == 0).await;
    assert_eq!(outcome(&send(&router, of_v1(&[])).await), ("hit", "v1"));
    assert_eq!(bytes(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_requests_wait_for_one_computation_whoever_began_it() {
    let (state, loader) = state(keeping(), Limits::default());
    let router = app(state);
    let ask = || {
        let router = router.clone();
        tokio::spawn(async move { send(&router, of_v1(&[("prompt", "gate")])).await })
    };
    let leader = ask();
    until(|| loader.begun.load(Ordering::SeqCst) == 1).await;
    let followers: Vec<_> = (0..6).map(|_| ask()).collect();
    // Another format, and a request that is gone before the answer, wait for the same.
    let given_up = ask();
    tokio::time::sleep(Duration::from_millis(100)).await;
    leader.abort();
    given_up.abort();
    assert!(leader.await.is_err() && given_up.await.is_err());
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(loader.cancelled.load(Ordering::SeqCst), 0);
    loader.open();
    for follower in followers {
        assert_eq!(outcome(&follower.await.unwrap()), ("hit", "v1"));
    }
    assert_eq!(loader.begun.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_computation_stops_with_the_last_that_waits_for_it() {
    let (state, loader) = state(keeping(), Limits::default());
    let router = app(state);
    let waiting: Vec<_> =
        (0..3).map(|_| tokio::spawn(router.clone().oneshot(of_v1(&[("prompt", "wait")])))).collect();
    until(|| loader.begun.load(Ordering::SeqCst) == 1).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
    until(|| loader.cancelled.load(Ordering::SeqCst) == 1).await;
    assert_eq!(loader.begun.load(Ordering::SeqCst), 1);
    loader.open();
    assert_eq!(outcome(&send(&router, of_v1(&[("prompt", "gate")])).await), ("miss", "v1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_is_one_requests_and_another_takes_over() {
    let (state, loader) = state(keeping(), Limits::default());
    let router = app(state);
    let ask = |prompt: &'static str| {
        let router = router.clone();
        tokio::spawn(async move { send(&router, of_v1(&[("prompt", prompt)])).await })
    };
    let leader = ask("fails at first");
    until(|| loader.begun.load(Ordering::SeqCst) == 1).await;
    let followers: Vec<_> = (0..4).map(|_| ask("fails at first")).collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    loader.open();
    assert_eq!(leader.await.unwrap().status, 500);
    let mut outcomes = Vec::new();
    for follower in followers {
        outcomes.push(outcome(&follower.await.unwrap()).0.to_owned());
    }
    outcomes.sort();
    assert_eq!(outcomes, ["hit", "hit", "hit", "miss"]);
    assert_eq!(loader.begun.load(Ordering::SeqCst), 2);
    assert_eq!(outcome(&send(&router, of_v1(&[("prompt", "fails at first")])).await).0, "hit");
}

#[tokio::test]
async fn requests_that_are_wrong_stay_wrong() {
    let router = app(state(keeping(), Limits::default()).0);
    let broken = upload_to("/v1/audio/transcriptions", &[("model", "whisper")], b"this is no audio");
    assert_eq!(send(&router, broken).await.status, 400);
    let klingon = send(&router, of_v1(&[("prompt", "klingon")])).await;
    assert_eq!((klingon.status, klingon.json()["error"]["param"].as_str()), (400, Some("language")));
    let mut wrong_type = of_v1(&[]);
    wrong_type.headers_mut().insert(header::CONTENT_TYPE, "audio/wav".parse().unwrap());
    assert_eq!(send(&router, wrong_type).await.status, 415);
    let gone =
        upload_to("/v1/audio/transcriptions", &[("model", &format!("whisper@{OTHER_COMMIT}"))], &wav());
    assert_eq!(send(&router, gone).await.status, 410);
    let pinned = || upload_to("/v1/audio/transcriptions", &[("model", &format!("whisper@{COMMIT}"))], &wav());
    assert_eq!(outcome(&send(&router, pinned()).await).0, "miss");
    assert_eq!(outcome(&send(&router, pinned()).await).0, "hit");
}
