//! Loads from packed weights do not read the weights they were made of; and where they are gone, those are checked.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;

use crate::served::{Served, header, hub};

/// A model that leaves memory as soon as nobody has used it for a second.
const MANIFEST: &str = "
apiVersion: ostler.dev/v1alpha1
kind: ModelDeployment
metadata: {name: translation}
spec:
  models:
  - name: translation
    task: translation
    languagePairs: [en-de]
    idleSeconds: 1
    versions:
    - {name: v1, storageUri: 'hf://ostler/opus-mt-{languagePair}'}
  memory: {host: 1Gi}
";

/// The file of weights in the cache.
fn weights(cache: &Path) -> PathBuf {
    let snapshots = cache.join("models--ostler--opus-mt-en-de/snapshots");
    let snapshot = std::fs::read_dir(snapshots).unwrap().next().unwrap().unwrap().path();
    snapshot.join("model.safetensors").canonicalize().unwrap()
}

/// Turns bits of the last tensor round.
fn damage(weights: &Path) {
    let mut bytes = std::fs::read(weights).unwrap();
    bytes.iter_mut().rev().take(4096).for_each(|byte| *byte ^= 0x80);
    std::fs::set_permissions(weights, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(weights, bytes).unwrap();
}

async fn until_unloaded(served: &Served) {
    let is_unloaded = async {
        while !served.status("/metrics").await.1.contains("state=\"Cached\",version=\"v1\"} 1") {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), is_unloaded).await.unwrap();
}

async fn translated(served: &Served) -> String {
    let answer = served.translate("translation", "hello model seven").await;
    assert_eq!((answer.status(), header(&answer, "x-ostler-fallback")), (StatusCode::OK, String::new()));
    let body: Value = answer.json().await.unwrap();
    body["translatedText"].as_str().unwrap().to_owned()
}

/// Row 16: damaged weights hurt nobody while a sound copy is packed, and are found, removed and fetched again when it is
/// gone.
#[tokio::test(flavor = "multi_thread")]
async fn row_16_weights_are_checked_before_they_are_read_and_not_when_a_packed_copy_is() {
    let (folder, hub) = (tempfile::tempdir().unwrap(), hub().await);
    let served = Served::manifest(MANIFEST, folder.path(), &hub.endpoint()).await;
    let expected = "hallo modell sieben";
    assert_eq!(translated(&served).await, expected);
    until_unloaded(&served).await;

    let weights = weights(&folder.path().join("cache"));
    damage(&weights);
    let damaged = std::fs::read(&weights).unwrap();
    assert_eq!(translated(&served).await, expected);
    let metrics = served.status("/metrics").await.1;
    assert!(metrics.contains("ostler_packed_weights_total{outcome=\"read\"} 1"), "{metrics}");
    assert!(std::fs::read(&weights).unwrap() == damaged, "nobody has looked");
    until_unloaded(&served).await;

    std::fs::remove_dir_all(folder.path().join("cache/models--ostler--opus-mt-en-de/.ostler/packed"))
        .unwrap();
    assert_eq!(translated(&served).await, expected);
    assert!(std::fs::read(&weights).unwrap() != damaged, "they were fetched again");
    let metrics = served.status("/metrics").await.1;
    assert!(metrics.contains("ostler_cache_damaged_total{found_by=\"load\"} 1"), "{metrics}");
    served.stop().await;
}
