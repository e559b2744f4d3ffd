//! `ostler-sidecar serve` as a process, and what the system says of it.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ostler_crds::names::{Dtype, Task};
use ostler_inference::load::{LoadOptions, PicklePolicy, inspect};
use ostler_inference::processor::Processor;
use ostler_sidecar::residency::Footprint;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};

use crate::cgroup::Cgroup;

/// How long something may take that takes well under a second on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A sidecar that serves; it ends when this is dropped.
pub(crate) struct Sidecar {
    process: Child,
    log: PathBuf,
    serving: u16,
    status: u16,
    pub(crate) client: Client,
    /// Given back last, when the process has ended.
    _alone: MutexGuard<'static, ()>,
}

/// One runs at a time: what is bounded by a clock, such as an answer about health, is not to wait for another test's load.
static ALONE: Mutex<()> = Mutex::const_new(());

/// The memory of a process in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) resident: u64,
    /// The most that ever was resident.
    pub(crate) peak: u64,
    /// What its limit of data is held against.
    pub(crate) data: u64,
}

/// A model of a manifest whose one version is a folder; `fields` are further fields of it.
pub(crate) fn model(name: &str, task: &str, folder: &Path, fields: Value) -> Value {
    let mut model = json!({
        "name": name, "task": task,
        "versions": [{"name": "v1", "storageUri": format!("file://{}", folder.display())}],
    });
    for (field, value) in fields.as_object().unwrap() {
        model[field] = value.clone();
    }
    model
}

/// The same for translation in float32, whose weights take twice as much as in the files that are made here.
pub(crate) fn translator(name: &str, folder: &Path, mut fields: Value) -> Value {
    let uri = format!("file://{}", folder.display());
    fields["versions"] = json!([{"name": "v1", "storageUri": uri, "dtype": "float32"}]);
    model(name, "translation", folder, fields)
}

/// What a model for translation takes in float32.
pub(crate) fn footprint(folder: &Path) -> Footprint {
    let options = LoadOptions {
        dtype: Dtype::Float32,
        pickle: PicklePolicy::Refused,
        processor: Arc::new(Processor::whole()),
        packed: None,
    };
    let measured = inspect(folder, Task::Translation, &options).unwrap();
    Footprint {
        resident_bytes: measured.resident_bytes,
        transient_bytes: measured.transient_bytes,
        scratch_bytes: measured.scratch_bytes,
    }
}

/// A budget that holds so many halves of the weights, with the working memory of one job.
pub(crate) fn room_for_halves(halves: u64, footprint: Footprint) -> u64 {
    footprint.scratch_bytes + footprint.resident_bytes * halves / 2
}

/// A folder of the models that are shipped as examples.
pub(crate) fn shipped(name: &str) -> PathBuf {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/models");
    models.join(name).canonicalize().unwrap()
}

impl Sidecar {
    /// Serves models within so much memory, and waits until it answers.
    pub(crate) async fn start(folder: &Path, models: Vec<Value>, host: &str) -> Self {
        Self::start_in(None, folder, models, host).await
    }

    /// The same within a cgroup.
    pub(crate) async fn start_in(
        cgroup: Option<&Cgroup>,
        folder: &Path,
        models: Vec<Value>,
        host: &str,
    ) -> Self {
        let manifest = json!({
            "apiVersion": "ostler.dev/v1alpha1", "kind": "ModelDeployment", "metadata": {"name": "faults"},
            "spec": {"models": models, "memory": {"host": host}},
        });
        let alone = ALONE.lock().await;
        let (serving, status) = (free_port(), free_port());
        let (file, log) = (folder.join("manifest.yaml"), folder.join(format!("sidecar-{serving}.log")));
        // JSON is YAML.
        fs::write(&file, manifest.to_string()).unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_ostler-sidecar"));
        let mut command = cgroup.map_or_else(|| Command::new(program), |cgroup| cgroup.command(program));
        command
            .arg("serve")
            .arg(&file)
            .args(["--listen", &format!("127.0.0.1:{serving}")])
            .args(["--status-listen", &format!("127.0.0.1:{status}")])
            .arg("--cache-dir")
            .arg(folder.join("cache"))
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap());
        let process = command.spawn().unwrap();
        let mut sidecar = Self { process, log, serving, status, client: Client::new(), _alone: alone };
        let started = Instant::now();
        while sidecar.client.get(sidecar.status_url("/healthz")).send().await.is_err() {
            assert!(sidecar.is_alive() && started.elapsed() < PATIENCE, "{}", sidecar.log_text());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        sidecar
    }

    /// Asks about its health until then, and gives the longest that an answer took.
    pub(crate) async fn health_until(&self, until: Instant) -> Duration {
        let mut longest = Duration::ZERO;
        while Instant::now() < until {
            let started = Instant::now();
            // As the kubelet asks: each time on a new connection.
            let answer = Client::new().get(self.status_url("/healthz")).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            longest = longest.max(started.elapsed());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        longest
    }

    /// The address of an endpoint.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.serving)
    }

    pub(crate) fn serving_address(&self) -> (&'static str, u16) {
        ("127.0.0.1", self.serving)
    }

    pub(crate) fn status_url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.status)
    }

    pub(crate) async fn translate(&self, model: &str, text: &str) -> Response {
        let body = json!({"q": text, "source": "en", "target": "de", "model": model});
        self.client.post(self.url("/translate")).json(&body).send().await.unwrap()
    }

    pub(crate) async fn status(&self, path: &str) -> (StatusCode, String) {
        let response = self.client.get(self.status_url(path)).send().await.unwrap();
        (response.status(), response.text().await.unwrap())
    }

    /// What the progress page says of a version.
    pub(crate) async fn version(&self, name: &str) -> Value {
        serde_json::from_str(&self.status(&format!("/progress/{name}")).await.1).unwrap()
    }

    /// One figure of its metrics: the sum over all labels that hold a text.
    pub(crate) async fn metric(&self, name: &str, label: &str) -> f64 {
        let text = self.status("/metrics").await.1;
        let value = |line: &str| {
            let rest = line.strip_prefix(name)?;
            let is_it = (rest.starts_with(' ') || rest.starts_with('{')) && rest.contains(label);
            is_it.then(|| rest.rsplit(' ').next()?.parse::<f64>().ok())?
        };
        text.lines().filter_map(value).sum()
    }

    /// Waits until something is so.
    pub(crate) async fn until(&self, what: &str, mut is_so: impl AsyncFnMut(&Self) -> bool) {
        let started = Instant::now();
        while !is_so(self).await {
            assert!(started.elapsed() < PATIENCE, "waited in vain: {what}\n{}", self.log_text());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    pub(crate) fn memory(&self) -> Memory {
        memory(self.process.id())
    }

    /// The time that processors have spent on it.
    pub(crate) fn processor_time(&self) -> Duration {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        // The name before it may hold anything, but no further parenthesis follows it.
        let fields = text.rsplit(')').next().unwrap().split_whitespace();
        let ticks: u64 = fields.skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
        // The kernel's tick is a hundredth of a second on every Linux.
        Duration::from_millis(ticks * 10)
    }

    /// How many files and sockets it has open.
    pub(crate) fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.process.id())).unwrap().count()
    }

    pub(crate) fn log_text(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The memory of a process.
pub(crate) fn memory(process_id: u32) -> Memory {
    let text = fs::read_to_string(format!("/proc/{process_id}/status")).unwrap();
    let bytes = |name: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
    };
    Memory { resident: bytes("VmRSS"), peak: bytes("VmHWM"), data: bytes("VmData") }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub(crate) fn header(response: &Response, name: &str) -> String {
    response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}
