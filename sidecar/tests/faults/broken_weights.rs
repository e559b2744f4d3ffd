//! Weights that are there, of the right shapes, and no numbers.

use std::path::{Path, PathBuf};

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::process::{Sidecar, header, model, shipped};

/// The shipped model with the last thousand of its weights replaced.
fn damaged(folder: &Path, number: f32) -> PathBuf {
    std::fs::create_dir_all(folder).unwrap();
    for entry in std::fs::read_dir(shipped("opus-mt-en-de")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
    }
    let path = folder.join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let start = bytes.len() - 4_000;
    bytes[start..].copy_from_slice(&number.to_le_bytes().repeat(1_000));
    std::fs::write(&path, bytes).unwrap();
    folder.to_owned()
}

/// Row 33: weights that are NaN or infinite, or so large that what they compute is, fail the first small job. The pod is
/// not ready, the version takes no request, and the fallback answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_33_weights_that_are_no_numbers_keep_the_pod_from_being_ready() {
    let folder = tempfile::tempdir().unwrap();
    let uri = |folder: &Path| format!("file://{}", folder.display());
    let small = shipped("opus-mt-en-de");
    let mut versions = vec![json!({"name": "whole", "storageUri": uri(&small)})];
    let broken = [("nan", f32::NAN), ("infinite", f32::INFINITY), ("huge", 3e38)];
    for (name, number) in broken {
        let weights = damaged(&folder.path().join(name), number);
        for dtype in ["float32", "auto"] {
            versions.push(
                json!({"name": format!("{name}-{dtype}"), "storageUri": uri(&weights), "dtype": dtype}),
            );
        }
    }
    let fields = json!({"load": "Preload", "defaultVersion": "nan-float32", "fallback": ["whole"],
        "versions": versions});
    let served = vec![model("translation", "translation", &small, fields)];
    let sidecar = Sidecar::start(folder.path(), served, "1Gi").await;
    for (name, _) in broken {
        for dtype in ["float32", "auto"] {
            let version = format!("translation@{name}-{dtype}");
            sidecar.until(&version, async |it| it.version(&version).await["lastFailure"].is_object()).await;
            let state = sidecar.version(&version).await;
            assert_eq!(
                (&state["state"], &state["proven"]),
                (&json!("FailedToLoad"), &json!(false)),
                "{state}"
            );
            assert_eq!(state["lastFailure"]["reason"], "NotFinite", "{state}");
            assert_eq!(state["residentBytes"], 0);
        }
    }
    let (status, text) = sidecar.status("/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{text}");
    assert!(text.contains("NotFinite"), "{text}");
    assert_eq!(sidecar.metric("ostler_ready", "").await, 0.0);
    let answer = sidecar.translate("translation", "hello model seven").await;
    assert_eq!((answer.status(), header(&answer, "x-ostler-version")), (StatusCode::OK, "whole".into()));
    let why = header(&answer, "x-ostler-fallback");
    assert!(why.contains("location=Load; reason=NotFinite"), "{why}");
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["translatedText"], "hallo modell sieben");
}
