//! openai-python and libretranslatepy, both unchanged, against `ostler-sidecar serve` with the shipped models, which
//! it fetches from a hub on loopback.

#![expect(clippy::expect_used, reason = "a broken test environment must fail the test that stands on it")]

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use ostler_test_hub::{Files, TestHub};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// How long the shipped models may take until they are loaded, on a busy machine without optimisation.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// How long every check of the clients together may take.
const CHECKED_WITHIN: Duration = Duration::from_secs(600);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A small random sentence encoder, with what sentence-transformers computes with it.
const SENTENCE_ENCODER: &str = "sidecar/inference/tests/goldens/embed/bert-cls-dense-normalize";

/// What the example is served with beside its own models.
const SIMILARITY: &str = "  - name: similarity
    task: sentence-similarity
    versions:
    - name: v1
      storageUri: hf://ostler/sentence-encoder
      dtype: float32
";

/// The example with the sentence encoder.
fn manifest() -> String {
    let example = std::fs::read_to_string(root().join("examples/video-translation.yaml"));
    let example = example.expect("the example is there");
    let (models, rest) = example.split_once("  memory:").expect("the example says how much memory there is");
    format!("{models}{SIMILARITY}  memory:{rest}")
}

/// A sidecar that is killed with the test that started it.
struct Sidecar {
    child: Child,
    serving: SocketAddr,
    status: SocketAddr,
    _folder: tempfile::TempDir,
}

/// Two free addresses of loopback, bound together so that they differ.
fn free_addresses() -> [SocketAddr; 2] {
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    [bind(), bind()].map(|listener| listener.local_addr().expect("a bound listener has an address"))
}

impl Sidecar {
    fn start(hub: &TestHub) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the manifest and the cache");
        let file = folder.path().join("manifest.yaml");
        std::fs::write(&file, manifest()).expect("the manifest can be written");
        let [serving, status] = free_addresses();
        let child = Command::new(env!("CARGO_BIN_EXE_ostler-sidecar"))
            .arg("serve")
            .arg(file)
            .args(["--listen", &serving.to_string(), "--status-listen", &status.to_string()])
            .arg("--cache-dir")
            .arg(folder.path().join("cache"))
            .args(["--hub-endpoint", &hub.endpoint()])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the sidecar starts");
        Self { child, serving, status, _folder: folder }
    }

    async fn until_ready(&mut self) {
        let url = format!("http://{}/readyz", self.status);
        let started = Instant::now();
        let mut last = String::new();
        while started.elapsed() < READY_WITHIN {
            if let Some(status) = self.child.try_wait().expect("the sidecar can be waited for") {
                panic!("the sidecar ended with {status}");
            }
            match reqwest::get(&url).await {
                Ok(answer) if answer.status().is_success() => return,
                Ok(answer) => last = answer.text().await.unwrap_or_default(),
                Err(error) => last = error.to_string(),
            }
            sleep(Duration::from_millis(100)).await;
        }
        panic!("the sidecar is not ready: {last}");
    }

    /// Asks it to end as the kubelet does, and waits until it has.
    async fn stop(mut self) {
        let id =
            self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).expect("it still runs");
        kill_process(id, Signal::TERM).expect("the sidecar can be signalled");
        let status = timeout(Duration::from_secs(60), self.child.wait()).await;
        let status = status.expect("it ends within its grace").expect("it can be waited for");
        assert!(status.success(), "the sidecar ended with {status}");
    }
}

/// The Python of an environment that holds both clients.
async fn python() -> PathBuf {
    let setup = Command::new(root().join("tests/clients/setup.sh")).stderr(Stdio::inherit()).output().await;
    let setup = setup.expect("tests/clients/setup.sh can be run");
    assert!(setup.status.success(), "tests/clients/setup.sh ended with {}", setup.status);
    let path = String::from_utf8(setup.stdout).expect("it prints a path");
    PathBuf::from(path.trim())
}

#[tokio::test(flavor = "multi_thread")]
async fn openai_python_and_libretranslatepy_work_unchanged() {
    let hub = TestHub::start().await.expect("the hub starts");
    hub.push_all(&root().join("examples/hub")).expect("the shipped models are there");
    let encoder = Files::Folder(root().join(SENTENCE_ENCODER));
    hub.push("ostler/sentence-encoder", "main", encoder).expect("the sentence encoder is there");
    let mut sidecar = Sidecar::start(&hub);
    let python = python().await;
    sidecar.until_ready().await;
    let checks = Command::new(python)
        .arg(root().join("tests/clients/test_clients.py"))
        .args([format!("http://{}", sidecar.serving), format!("http://{}", sidecar.status)])
        .arg(root().join("examples"))
        .arg(root().join(SENTENCE_ENCODER).join("goldens.json"))
        // A proxy of the environment knows no loopback address.
        .env("NO_PROXY", "127.0.0.1,localhost")
        .kill_on_drop(true)
        .status();
    let status = timeout(CHECKED_WITHIN, checks).await.expect("the checks end in time").expect("Python runs");
    assert!(status.success(), "tests/clients/test_clients.py ended with {status}; its lines above say why");
    sidecar.stop().await;
}
