//! Clients that go away: their work stops, and what it held is there for others.

use std::path::Path;
use std::time::{Duration, Instant};

use ostler_test_hub::models;
use reqwest::Client;
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::clips::{flac_bomb, form, speech};
use crate::process::{Sidecar, model, shipped};

/// How soon the work of a client that has gone must have stopped.
const BOUND: Duration = Duration::from_secs(1);

/// A program that does nothing takes less of the processors than this in a [`WINDOW`].
const QUIET: Duration = Duration::from_millis(60);
const WINDOW: Duration = Duration::from_millis(300);

/// Checks that the program has stopped computing a second after this is called.
async fn assert_stops(sidecar: &Sidecar, what: &str) {
    let started = Instant::now();
    loop {
        let before = sidecar.processor_time();
        let begun = started.elapsed();
        sleep(WINDOW).await;
        let taken = sidecar.processor_time() - before;
        if taken < QUIET {
            return;
        }
        assert!(
            begun < BOUND,
            "{what}: {begun:?} after its client has gone it computes: {taken:?} in {WINDOW:?}"
        );
    }
}

/// How many requests have ended without their client.
async fn gone(sidecar: &Sidecar) -> f64 {
    sidecar.metric("ostler_requests_total", "status=\"499\"").await
}

async fn serve(folder: &Path) -> Sidecar {
    let weights = models::write(&folder.join("weights"), 6).unwrap();
    let served = vec![
        model("whisper", "automatic-speech-recognition", &shipped("whisper-v2"), json!({})),
        model("translation", "translation", &weights, json!({})),
    ];
    let sidecar = Sidecar::start(folder, served, "2Gi").await;
    assert_heard(&sidecar).await;
    assert_eq!(sidecar.translate("translation", "stop").await.status(), 200);
    sidecar
}

/// A short clip is heard at once: whatever was held is free.
async fn assert_heard(sidecar: &Sidecar) {
    let started = Instant::now();
    let request = sidecar.client.post(sidecar.url("/v1/audio/transcriptions"));
    let answer = request.multipart(form("whisper", speech(2))).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

/// Row 40: at whatever moment the client of a long transcription goes away, while its clip is decoded, encoded or
/// transcribed, the work stops within a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_40_a_transcription_stops_with_its_client_at_every_stage() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = serve(folder.path()).await;
    // Thirteen minutes of speech, and as much of nothing in as many numbers as may be.
    let clips = [("speech", speech(800)), ("numbers", flac_bomb(655_350, 8, 2_600))];
    for (name, clip) in clips {
        for moment in [50, 150, 300, 500, 800, 1_300] {
            // A connection of its own, which ends with the request.
            let request = Client::new().post(sidecar.url("/v1/audio/transcriptions"));
            let form = form("whisper", clip.clone()).text("beam_size", "5");
            let answer = timeout(Duration::from_millis(moment), request.multipart(form).send()).await;
            assert!(answer.is_err(), "{name} was done within {moment} ms");
            assert_stops(&sidecar, &format!("{name} after {moment} ms")).await;
        }
        assert_heard(&sidecar).await;
    }
    assert!(gone(&sidecar).await >= 6.0, "{} of 12 had begun", gone(&sidecar).await);
}

/// Row 40, while the text is sent: the client has heard the beginning, and the rest is not computed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_40_a_stream_and_a_translation_stop_with_their_clients() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = serve(folder.path()).await;
    for _ in 0..2 {
        let request = Client::new().post(sidecar.url("/v1/audio/transcriptions"));
        let form = form("whisper", speech(800)).text("beam_size", "5").text("stream", "true");
        let mut answer = request.multipart(form).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
        assert!(!answer.chunk().await.unwrap().unwrap().is_empty());
        drop(answer);
        assert_stops(&sidecar, "a stream").await;
    }
    assert_heard(&sidecar).await;
    let texts = vec!["the dog sees the sun and the old house. ".repeat(10); 200];
    let body = json!({"q": texts, "source": "en", "target": "de", "model": "translation"});
    for moment in [200, 700] {
        let request = Client::new().post(sidecar.url("/translate")).json(&body);
        let answer = timeout(Duration::from_millis(moment), request.send()).await;
        assert!(answer.is_err(), "all was translated within {moment} ms");
        assert_stops(&sidecar, &format!("a translation after {moment} ms")).await;
    }
    assert_eq!(sidecar.translate("translation", "stop").await.status(), 200);
}

/// Row 40, before the work begins: those that wait for the only instance and go away leave their places to others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_40_those_who_wait_and_go_leave_their_places() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = serve(folder.path()).await;
    let clients: Vec<Client> = (0..17).map(|_| Client::new()).collect();
    let url = sidecar.url("/v1/audio/transcriptions");
    // It has the instance once the first of its text is there.
    let form_of_all = form("whisper", speech(800)).text("beam_size", "5").text("stream", "true");
    let working = Client::new().post(&url).multipart(form_of_all).send().await.unwrap();
    assert_eq!(working.status(), 200);
    for round in 0..2 {
        // As many as may wait, and one more.
        let ask =
            |client: &Client| tokio::spawn(client.post(&url).multipart(form("whisper", speech(2))).send());
        let waiting: Vec<_> = clients.iter().map(ask).collect();
        let mut refused = 0;
        let (started, mut waiting) = (Instant::now(), waiting);
        while refused == 0 && started.elapsed() < Duration::from_secs(20) {
            sleep(Duration::from_millis(50)).await;
            let (done, others): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|task| task.is_finished());
            waiting = others;
            for task in done {
                assert_eq!(task.await.unwrap().unwrap().status(), 429);
                refused += 1;
            }
        }
        assert_eq!((refused, waiting.len()), (1, 16), "in round {round}");
        let before = gone(&sidecar).await;
        waiting.iter().for_each(tokio::task::JoinHandle::abort);
        let started = Instant::now();
        sidecar.until("the places are left", async |it| gone(it).await - before >= 16.0).await;
        assert!(started.elapsed() < BOUND, "{:?}", started.elapsed());
    }
    drop(working);
    assert_stops(&sidecar, "the one that was at work").await;
    assert_heard(&sidecar).await;
}
