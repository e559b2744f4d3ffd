//! A pod whose plan holds a commit that its version has left, with real weights: a hub on loopback, the shipped models.

use std::path::Path;

use ostler_sidecar::config::{Origin, PodIdentity};
use ostler_sidecar::residency::Budget;
use ostler_test_hub::TestHub;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::served::{Served, examples, header};

/// The files of a model, with the signs of a part of its weights turned round.
fn with_other_weights(model: &Path) -> Vec<(String, Vec<u8>)> {
    let files = std::fs::read_dir(model).unwrap().map(|file| file.unwrap());
    let read = |file: std::fs::DirEntry| {
        let (name, mut bytes) =
            (file.file_name().into_string().unwrap(), std::fs::read(file.path()).unwrap());
        if name == "model.safetensors" {
            let header = usize::from(bytes[0]) | usize::from(bytes[1]) << 8 | usize::from(bytes[2]) << 16;
            let half = (bytes.len() - header) / 8 * 4;
            let highest = bytes.iter_mut().skip(8 + header + half).skip(3).step_by(4);
            highest.for_each(|byte| *byte ^= 0x80);
        }
        (name, bytes)
    };
    files.map(read).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_the_history_answers_with_the_weights_of_that_time() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), TestHub::start().await.unwrap());
    let model = examples().join("hub/ostler/opus-mt-en-de");
    let old = hub.push("ostler/opus", "main", model.as_path()).unwrap();
    let new = hub.push("ostler/opus", "main", with_other_weights(&model)).unwrap();
    assert_ne!(old, new);
    let artifact = json!({"languagePair": "en-de", "source": "hf://ostler/opus", "commit": new,
        "history": [{"source": "hf://ostler/opus", "commit": old, "dtype": "float32"}]});
    let plan = json!({"format": 1, "generation": 1, "salt": "a/b", "models": [
        {"name": "translation", "task": "translation", "load": "Preload", "keep": true, "instances": 1,
         "defaultVersion": "v1", "fallback": [],
         "versions": [{"name": "v1", "dtype": "float32", "weight": 100, "artifacts": [artifact]}]}]});
    let plan_file = folder.path().join("plan.json");
    std::fs::write(&plan_file, plan.to_string()).unwrap();

    let text = |text: &str| text.to_owned();
    let identity = PodIdentity {
        name: text("pod"),
        namespace: text("a"),
        uid: text("uid"),
        deployment: text("b"),
        container: text("ostler-sidecar"),
    };
    let budget = Budget { bytes: 1 << 30, evict_above_percent: 80, evict_to_percent: 70 };
    let origin = Origin::Pod { plan_file, plan_config_map: text("b-plan"), budget, identity };
    let served = Served::start(origin, folder.path(), &hub.endpoint()).await;

    let Served { client, serving, .. } = &served;
    let translate = |headers: Vec<(&'static str, String)>| {
        let body = json!({"q": "hello model seven", "source": "en", "target": "de"});
        let request = client.post(format!("http://{serving}/translate")).json(&body);
        headers.into_iter().fold(request, |request, (name, value)| request.header(name, value)).send()
    };
    let now = translate(Vec::new()).await.unwrap();
    let revision = header(&now, "x-ostler-revision");
    let now: Value = now.json().await.unwrap();
    assert_eq!(revision, new, "{now}");
    let then = translate(vec![("x-ostler-version", text("v1")), ("x-ostler-revision", old.clone())]);
    let then = then.await.unwrap();
    assert_eq!(header(&then, "x-ostler-revision"), old, "{:?}", then.headers());
    let then: Value = then.json().await.unwrap();
    assert_eq!(then["translatedText"], "hallo modell sieben");
    assert_ne!(now["translatedText"], then["translatedText"], "the present weights are other ones");
    let again: Value =
        translate(vec![("x-ostler-version", new.clone())]).await.unwrap().json().await.unwrap();
    assert_eq!(again, now, "both are in memory at once");
    let models =
        client.get(format!("http://{serving}/v1/models")).send().await.unwrap().text().await.unwrap();
    assert!(models.contains(&format!("translation@v1@{old}")), "{models}");
    // What is kept and preloaded is ready, whatever becomes of its history.
    assert_eq!(served.status("/readyz").await.0, StatusCode::OK);
    served.stop().await;
}
