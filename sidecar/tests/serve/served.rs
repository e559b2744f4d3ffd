//! The sidecar, whole and in the test's own process, on free ports of loopback.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ostler_sidecar::config::{ComputeConfig, Config, DiskConfig, HubConfig, Origin};
use ostler_sidecar::run::run;
use ostler_test_hub::TestHub;
use reqwest::{Client, Response, StatusCode};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// One that runs.
pub(crate) struct Served {
    pub(crate) serving: SocketAddr,
    pub(crate) status: SocketAddr,
    pub(crate) client: Client,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Served {
    /// With its cache in `folder`.
    pub(crate) async fn start(origin: Origin, folder: &Path, hub: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let status_listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (serving, status) = (listener.local_addr().unwrap(), status_listener.local_addr().unwrap());
        let config = Config {
            origin,
            cache_folder: folder.join("cache"),
            hub: HubConfig { endpoint: hub.parse().unwrap(), token_file: None, redirect_hosts: Vec::new() },
            compute: ComputeConfig::default(),
            allow_pickle: true,
            packed_cache: true,
            disk: DiskConfig::default(),
            listen: serving,
            status_listen: status,
            grace: Duration::ZERO,
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            run(listener, status_listener, async { drop(stopped.await) }, config, None).await.unwrap();
        });
        Self { serving, status, client: Client::new(), stop, task }
    }

    /// As `serve` with a manifest.
    pub(crate) async fn manifest(manifest: &str, folder: &Path, hub: &str) -> Self {
        let file = folder.join("manifest.yaml");
        std::fs::write(&file, manifest).unwrap();
        Self::start(Origin::Manifest { file }, folder, hub).await
    }

    /// Asks a model for a translation.
    pub(crate) async fn translate(&self, model: &str, text: &str) -> Response {
        let body = json!({"q": text, "source": "en", "target": "de", "model": model});
        let url = format!("http://{}/translate", self.serving);
        self.client.post(url).json(&body).send().await.unwrap()
    }

    /// Asks the status port.
    pub(crate) async fn status(&self, path: &str) -> (StatusCode, String) {
        let response = self.client.get(format!("http://{}{path}", self.status)).send().await.unwrap();
        (response.status(), response.text().await.unwrap())
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(10), self.task).await.unwrap().unwrap();
    }
}

/// A header of a response; nothing where there is none.
pub(crate) fn header(response: &Response, name: &str) -> String {
    response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

/// A hub on loopback with the shipped models.
pub(crate) async fn hub() -> TestHub {
    let hub = TestHub::start().await.unwrap();
    hub.push_all(&examples().join("hub")).unwrap();
    hub
}

/// What the project ships to try it with.
pub(crate) fn examples() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples")
}
