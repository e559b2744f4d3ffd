//! Loads ahead by usage: the pair that followed German speech is loaded while the next German clip is transcribed.

use std::time::Duration;

use reqwest::RequestBuilder;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::served::{Served, examples, hub};

/// Pairs leave memory when nobody has used them for three seconds.
const MANIFEST: &str = "
apiVersion: ostler.dev/v1alpha1
kind: ModelDeployment
metadata: {name: talks}
spec:
  models:
  - {name: whisper, task: automatic-speech-recognition, versions: [{name: v1, storageUri: 'hf://ostler/whisper-v2'}]}
  - name: translation
    task: translation
    languagePairs: [en-de, de-en]
    idleSeconds: 3
    versions: [{name: v1, storageUri: 'hf://ostler/opus-mt-{languagePair}'}]
  memory: {host: 1Gi}
  preloadByUsage: {maxVersions: 1}
";

/// A German clip, over and over with silence between, so that each window of 30 s begins with it.
fn long_german_clip(seconds: usize) -> Vec<u8> {
    const RATE: usize = 16_000;
    let clip = std::fs::read(examples().join("audio/14-de.wav")).unwrap();
    let header = 44;
    let mut window = clip[header..].to_vec();
    window.resize(30 * RATE * 2, 0);
    let samples = window.repeat(seconds / 30);
    let size = u32::try_from(samples.len()).unwrap();
    let mut file = clip[..header].to_vec();
    file[4..8].copy_from_slice(&(size + 36).to_le_bytes());
    file[40..44].copy_from_slice(&size.to_le_bytes());
    file.extend(samples);
    file
}

struct Pod(Served);

impl Pod {
    fn speech(&self, talk: &str, file: Vec<u8>) -> RequestBuilder {
        let form = Form::new()
            .text("model", "whisper")
            .text("response_format", "verbose_json")
            .part("file", Part::bytes(file).file_name("talk.wav"));
        let url = format!("http://{}/v1/audio/transcriptions", self.0.serving);
        self.0.client.post(url).header("x-ostler-subject", talk).multipart(form)
    }

    async fn language(&self, talk: &str, file: Vec<u8>) -> String {
        let answer: Value = self.speech(talk, file).send().await.unwrap().json().await.unwrap();
        answer["language"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    async fn translate(&self, talk: &str) -> String {
        let url = format!("http://{}/translate", self.0.serving);
        let body = json!({"q": "start neun", "source": "de", "target": "en"});
        let request = self.0.client.post(url).header("x-ostler-subject", talk).json(&body);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        answer["translatedText"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    async fn pair(&self) -> Value {
        serde_json::from_str(&self.0.status("/progress/translation/de-en").await.1).unwrap()
    }

    async fn until(&self, state: &str) -> Value {
        for _ in 0..600 {
            let pair = self.pair().await;
            if pair["state"] == state {
                return pair;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the pair is never {state}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pair_that_followed_german_speech_is_there_before_the_next_transcript_ends() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub().await);
    let pod = Pod(Served::manifest(MANIFEST, folder.path(), &hub.endpoint()).await);
    for (talk, clip) in [("talk-1", "00-de.wav"), ("talk-2", "14-de.wav")] {
        let file = std::fs::read(examples().join("audio").join(clip)).unwrap();
        assert_eq!(pod.language(talk, file).await, "german");
        assert_eq!(pod.translate(talk).await, "start nine");
    }
    pod.until("Cached").await;

    let long = long_german_clip(600);
    let transcribing = tokio::spawn({
        let request = pod.speech("talk-3", long);
        async move { request.send().await.unwrap().json::<Value>().await.unwrap() }
    });
    let pair = pod.until("Loaded").await;
    assert!(!transcribing.is_finished(), "the transcript is there already");
    assert_eq!(pair["loadedAhead"], "it followed whisper@v1 in de 2.0 of 2.0 times");
    assert_eq!(pod.translate("talk-3").await, "start nine");
    assert_eq!(pod.pair().await["loadedAhead"], Value::Null);
    assert_eq!(transcribing.await.unwrap()["language"], "german");
    let metrics = pod.0.status("/metrics").await.1;
    for line in [
        "ostler_predicted_loads_total{reason=\"sequence\"} 1",
        "ostler_predicted_loads_used_total{reason=\"sequence\"} 1",
        "ostler_predicted_loads_unused_total{reason=\"sequence\"} 0",
    ] {
        assert!(metrics.lines().any(|other| other == line), "{line}\n{metrics}");
    }
    pod.0.stop().await;
}
