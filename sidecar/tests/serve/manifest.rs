//! `serve`, whole and real: a manifest, a hub on loopback, the shipped models, requests over HTTP.

use std::time::Duration;

use ostler_crds::names::{Dtype, Task};
use ostler_inference::load::computed_dtype;
use ostler_inference::processor::Processor;
use ostler_test_hub::{Fault, On};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::served::{Served, examples, header, hub};

/// What newcomers start with.
const EXAMPLE: &str = include_str!("../../../examples/video-translation.yaml");

/// A model that is preloaded, one that is lazy, and one whose repository is not there, with a fallback.
const MANIFEST: &str = "
apiVersion: ostler.dev/v1alpha1
kind: ModelDeployment
metadata: {name: translation}
spec:
  models:
  - name: translation
    task: translation
    load: Preload
    languagePairs: [en-de, de-en]
    defaultVersion: v2
    fallback: [v1]
    versions:
    - {name: v1, storageUri: 'hf://ostler/opus-mt-{languagePair}'}
    - {name: v2, storageUri: 'hf://ostler/none'}
  - name: plain
    task: translation
    languagePairs: [en-de]
    versions:
    - {name: v1, storageUri: 'hf://ostler/opus-mt-{languagePair}'}
  memory: {host: 1Gi}
";

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_is_fetched_pinned_loaded_and_answered_with_its_provenance() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub().await);
    let served = Served::manifest(MANIFEST, folder.path(), &hub.endpoint()).await;
    let answer = served.translate("plain", "hello model seven").await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(
        (header(&answer, "x-ostler-model"), header(&answer, "x-ostler-version")),
        ("plain".into(), "v1".into())
    );
    let revision = header(&answer, "x-ostler-revision");
    assert_eq!(revision.len(), 40);
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["translatedText"], "hallo modell sieben");

    let fallback = served.translate("translation", "hello model seven").await;
    assert_eq!(fallback.status(), StatusCode::OK);
    assert_eq!(header(&fallback, "x-ostler-version"), "v1");
    assert!(header(&fallback, "x-ostler-fallback").contains("v2"), "{:?}", fallback.headers());

    let (status, body) = served.status("/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "a preloaded version cannot be had: {body}");
    assert!(body.contains("FailedToLoad") && body.contains("v2"), "{body}");
    assert_eq!(served.status("/healthz").await.0, StatusCode::OK);
    let (_, metrics) = served.status("/metrics").await;
    let loaded =
        "ostler_version_state{language_pair=\"en-de\",model=\"plain\",state=\"Loaded\",version=\"v1\"} 1";
    assert!(metrics.contains(loaded), "{metrics}");
    served.stop().await;

    // The same again without a Hub: what the cache holds is served.
    let endpoint = hub.endpoint();
    hub.shut_down().await.unwrap();
    let served = Served::manifest(MANIFEST, folder.path(), &endpoint).await;
    let offline = served.translate("plain", "hello model seven").await;
    assert_eq!((offline.status(), header(&offline, "x-ostler-revision")), (StatusCode::OK, revision));
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_waits_for_what_is_preloaded_while_requests_are_held() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub().await);
    hub.fault(On::storage("model.safetensors"), Fault::new().delayed(Duration::from_millis(500)));
    let manifest =
        MANIFEST.replace("    fallback: [v1]\n", "").replace("hf://ostler/none", "hf://ostler/opus-mt-en-de");
    let served = Served::manifest(&manifest, folder.path(), &hub.endpoint()).await;
    let (status, body) = served.status("/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    let answers = futures::future::join_all((0..8).map(|_| served.translate("translation", "stop"))).await;
    assert!(answers.iter().all(|answer| answer.status() == StatusCode::OK));
    assert_eq!(hub.count(&On::storage("model.safetensors")), 2, "one download of each repository");
    let is_ready = async {
        while served.status("/readyz").await.0 != StatusCode::OK {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), is_ready).await.unwrap();
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_work_is_answered_although_the_end_was_asked_for() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub().await);
    hub.fault(On::storage("model.safetensors"), Fault::new().delayed(Duration::from_millis(700)));
    let manifest = MANIFEST.replace("load: Preload", "load: Lazy");
    let served = Served::manifest(&manifest, folder.path(), &hub.endpoint()).await;
    let client = served.client.clone();
    let url = format!("http://{}/translate", served.serving);
    let body = json!({"q": "stop", "source": "en", "target": "de", "model": "plain"});
    let request = tokio::spawn(async move { client.post(url).json(&body).send().await.unwrap().status() });
    tokio::time::sleep(Duration::from_millis(300)).await;
    served.stop().await;
    assert_eq!(request.await.unwrap(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_transcribes_translates_and_tells_languages_in_the_memory_that_it_asks_for() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub().await);
    // A pickle is converted by the program itself, which a test is not.
    let manifest = EXAMPLE.replace("[en-de, de-en, en-fr]", "[en-de, de-en]");
    let served = Served::manifest(&manifest, folder.path(), &hub.endpoint()).await;
    let clip = std::fs::read(examples().join("audio/00-de.wav")).unwrap();
    let form = reqwest::multipart::Form::new()
        .text("model", "whisper@v2")
        .part("file", reqwest::multipart::Part::bytes(clip.clone()).file_name("00-de.wav"));
    let url = format!("http://{}/v1/audio/transcriptions", served.serving);
    let transcript = served.client.post(url).multipart(form).send().await.unwrap();
    assert_eq!(transcript.status(), StatusCode::OK);
    let provenance =
        ["x-ostler-model", "x-ostler-version", "x-ostler-dtype"].map(|name| header(&transcript, name));
    // What `auto` means on this processor.
    let dtype = computed_dtype(Task::AutomaticSpeechRecognition, Dtype::Auto, &Processor::whole());
    assert_eq!(provenance, ["whisper", "v2", &dtype.to_string()]);
    let body: Value = transcript.json().await.unwrap();
    assert_eq!(body["text"].as_str().unwrap().trim(), "rechts null schließen");

    let form = reqwest::multipart::Form::new()
        .part("audio_file", reqwest::multipart::Part::bytes(clip).file_name("00-de.wav"));
    let url = format!("http://{}/detect-language?model=whisper@v2", served.serving);
    let answer = served.client.post(url).multipart(form).send().await.unwrap();
    assert_eq!(header(&answer, "x-ostler-version"), "v2");
    let body: Value = answer.json().await.unwrap();
    assert_eq!((&body["detected_language"], &body["language_code"]), (&json!("german"), &json!("de")));
    let confidence = body["confidence"].as_f64().unwrap();
    assert!(confidence > 0.5 && confidence <= 1.0, "{body}");

    for (source, target, text, expected) in [
        ("en", "de", "hello model seven", "hallo modell sieben"),
        ("de", "en", "hallo modell sieben", "hello model seven"),
    ] {
        let body = json!({"q": text, "source": source, "target": target});
        let url = format!("http://{}/translate", served.serving);
        // The example keeps translations.
        let mut revisions = Vec::new();
        for outcome in ["miss", "hit"] {
            let answer = served.client.post(&url).json(&body).send().await.unwrap();
            assert_eq!(header(&answer, "x-ostler-cache"), outcome);
            revisions.push(header(&answer, "x-ostler-revision"));
            let answer: Value = answer.json().await.unwrap();
            assert_eq!(answer["translatedText"], expected);
        }
        assert_eq!((revisions[0].len(), &revisions[0]), (40, &revisions[1]));
    }
    let url = format!("http://{}/detect", served.serving);
    let body = json!({"q": "Das ist ein schönes Haus am See"});
    let answer: Value = served.client.post(url).json(&body).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer[0]["language"], "de");
    let (_, metrics) = served.status("/metrics").await;
    let hits = "ostler_result_cache_answers_total{model=\"translation\",outcome=\"hit\"} 2";
    assert!(metrics.contains(hits), "{metrics}");
    let (status, body) = served.status("/readyz").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_does_not_answer_does_not_hold_up_the_end() {
    let folder = tempfile::tempdir().unwrap();
    // It takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let served =
        Served::manifest(MANIFEST, folder.path(), &format!("http://{}", silent.local_addr().unwrap())).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    served.stop().await;
}
