//! Loads ahead by usage, through the router.

use ostler_crds::serving_plan::{PlannedPreloadByUsage, ServingPlan};
use ostler_crds::status::VersionState;
use serde_json::json;

use super::*;
use crate::manager::Manager;
use crate::snapshot::VersionSnapshot;

fn predicting() -> ServingPlan {
    let preload_by_usage = Some(PlannedPreloadByUsage { max_versions: 2, max_memory_percent: 25 });
    ServingPlan { preload_by_usage, ..plan() }
}

/// A request about a talk.
fn of_talk(talk: &str, mut request: Request) -> Request {
    request.headers_mut().insert("x-ostler-subject", talk.parse().unwrap());
    request
}

fn speech(fields: &[(&str, &str)]) -> Request {
    let fields: Vec<_> = std::iter::once(&("model", "whisper@v1")).chain(fields).copied().collect();
    upload_to("/v1/audio/transcriptions", &fields, &wav())
}

fn translation() -> Request {
    post_json("/translate", &json!({"q": "hallo", "source": "de", "target": "en"}))
}

fn german_pair(manager: &Manager) -> VersionSnapshot {
    let snapshot = manager.snapshot();
    let is_pair = |version: &&VersionSnapshot| {
        version.key.language_pair.as_ref().is_some_and(|pair| pair.as_str() == "de-en")
    };
    snapshot.versions.iter().find(is_pair).cloned().unwrap()
}

/// Two talks are transcribed and then translated. Afterwards the pair has left memory.
async fn two_talks(router: &Router, manager: &Manager, plan: ServingPlan) {
    for talk in ["talk-1", "talk-2"] {
        for request in [speech(&[]), translation()] {
            let answer = send(router, of_talk(talk, request)).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
        }
    }
    let mut brief = plan.clone();
    brief.models[1].idle_seconds = Some(1);
    manager.apply(brief);
    until(|| german_pair(manager).resident_bytes == 0).await;
    manager.apply(plan);
}

async fn metric(status: &Router, name: &str) -> u64 {
    let text = send(status, get("/metrics")).await.text;
    let line = text.lines().find(|line| line.starts_with(name));
    line.unwrap_or_else(|| panic!("{name}\n{text}")).rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pair_that_follows_german_speech_is_loaded_while_the_speech_is_transcribed() {
    let (state, loader) = state(predicting(), Limits::default());
    let manager = state.manager.clone();
    let (router, status) = (app(state.clone()), status_app(state));
    two_talks(&router, &manager, predicting()).await;
    for stream in ["false", "true"] {
        let request = of_talk("talk-3", speech(&[("prompt", "gate"), ("stream", stream)]));
        let transcribing = tokio::spawn({
            let router = router.clone();
            async move { send(&router, request).await }
        });
        until(|| german_pair(&manager).state == VersionState::Loaded).await;
        assert!(!transcribing.is_finished(), "nobody has the text yet");
        let reason = german_pair(&manager).loaded_ahead.unwrap();
        assert!(reason.starts_with("it followed whisper@v1 in de "), "{reason}");
        assert_eq!(metric(&status, "ostler_predicted_resident_bytes").await, 1024);
        loader.open();
        assert_eq!(transcribing.await.unwrap().status, 200);
        let transfers = loader.transfers.load(Ordering::SeqCst);
        let answer = send(&router, of_talk("talk-3", translation())).await;
        assert_eq!((answer.status, loader.transfers.load(Ordering::SeqCst)), (200, transfers));
        assert_eq!(german_pair(&manager).loaded_ahead, None, "it is used");
        assert_eq!(metric(&status, "ostler_predicted_resident_bytes").await, 0);
        // The same once more, by a stream.
        loader.close();
        two_talks(&router, &manager, predicting()).await;
    }
    for (name, expected) in [("", 2), ("_used", 2), ("_unused", 0)] {
        let name = format!("ostler_predicted_loads{name}_total{{reason=\"sequence\"}}");
        assert_eq!(metric(&status, &name).await, expected, "{name}");
    }
    let progress = serde_json::to_value(&*manager.snapshot()).unwrap();
    assert_eq!(progress["predictedLoads"], json!({"sequence": {"loads": 2, "used": 2, "unused": 0}}));
}

#[tokio::test]
async fn nothing_is_loaded_ahead_in_another_language_or_where_the_plan_does_not_say_so() {
    for (plan, language) in [(predicting(), "en"), (plan(), "de")] {
        let (state, _) = state(plan.clone(), Limits::default());
        let manager = state.manager.clone();
        let (router, status) = (app(state.clone()), status_app(state));
        two_talks(&router, &manager, plan).await;
        let answer = send(&router, of_talk("talk-3", speech(&[("language", language)]))).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        // Whatever the speech led to was begun before this one was answered.
        send(&router, post_json("/detect", &json!({"q": "Hallo"}))).await;
        assert_eq!(german_pair(&manager).state, VersionState::Cached);
        assert_eq!(metric(&status, "ostler_predicted_loads_total{reason=\"sequence\"}").await, 0);
    }
}

#[tokio::test]
async fn what_is_loaded_ahead_in_vain_is_counted_and_another_plan_turns_it_off() {
    let (state, _) = state(predicting(), Limits::default());
    let manager = state.manager.clone();
    let (router, status) = (app(state.clone()), status_app(state));
    two_talks(&router, &manager, predicting()).await;
    send(&router, of_talk("talk-3", speech(&[]))).await;
    until(|| german_pair(&manager).state == VersionState::Loaded).await;
    let mut off = plan();
    off.models[1].idle_seconds = Some(1);
    manager.apply(off);
    until(|| german_pair(&manager).resident_bytes == 0).await;
    for (name, expected) in [("", 1), ("_used", 0), ("_unused", 1)] {
        let name = format!("ostler_predicted_loads{name}_total{{reason=\"sequence\"}}");
        assert_eq!(metric(&status, &name).await, expected, "{name}");
    }
    // With the plan that turns it on again everything is learned anew.
    manager.apply(predicting());
    send(&router, of_talk("talk-4", speech(&[]))).await;
    send(&router, post_json("/detect", &json!({"q": "Hallo"}))).await;
    assert_eq!(german_pair(&manager).state, VersionState::Cached);
}
