//! The program that is measured: `ostler-sidecar serve` in a process of its own.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ostler_tests::machine::{Memory, memory};
use serde_json::{Value, json};

use crate::Failure;
use crate::arguments::Arguments;

/// How long it may take until everything that is preloaded is up.
const START: Duration = Duration::from_secs(120);

/// A sidecar that serves; it ends when this is dropped.
pub(crate) struct Sidecar {
    process: Child,
    log: PathBuf,
    serving: u16,
    status: u16,
    quota: Option<Quota>,
}

impl Sidecar {
    /// Serves models, within so many bytes and, where that is said, so many processors.
    pub(crate) async fn start(
        arguments: &Arguments,
        folder: &Path,
        models: Vec<Value>,
        host: &str,
        processors: Option<f64>,
    ) -> Result<Self, Failure> {
        let manifest = json!({
            "apiVersion": "ostler.dev/v1alpha1", "kind": "ModelDeployment", "metadata": {"name": "serving"},
            "spec": {"models": models, "memory": {"host": host}},
        });
        let (serving, status) = (free_port()?, free_port()?);
        let (file, log) = (folder.join("manifest.yaml"), folder.join(format!("sidecar-{serving}.log")));
        // JSON is YAML.
        fs::write(&file, manifest.to_string())?;
        let quota = processors.map(Quota::new).transpose()?;
        let program = arguments.sidecar()?;
        let mut command = match &quota {
            Some(quota) => quota.command(&program),
            None => Command::new(&program),
        };
        command
            .arg("serve")
            .arg(&file)
            .args(["--listen", &format!("127.0.0.1:{serving}")])
            .args(["--status-listen", &format!("127.0.0.1:{status}")])
            .arg("--cache-dir")
            .arg(folder.join("cache"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?);
        let process = command.spawn()?;
        let sidecar = Self { process, log, serving, status, quota };
        sidecar.is_ready().await?;
        Ok(sidecar)
    }

    async fn is_ready(&self) -> Result<(), Failure> {
        let url = format!("http://127.0.0.1:{}/readyz", self.status);
        let started = Instant::now();
        while started.elapsed() < START {
            if reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(format!("the sidecar was not ready within {START:?}: {}", fs::read_to_string(&self.log)?).into())
    }

    /// The address of an endpoint.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.serving)
    }

    /// Its memory.
    pub(crate) fn memory(&self) -> Result<Memory, Failure> {
        Ok(memory(self.process.id())?)
    }

    /// One figure of its metrics: the sum over all labels.
    pub(crate) async fn metric(&self, name: &str) -> Result<f64, Failure> {
        let text = reqwest::get(format!("http://127.0.0.1:{}/metrics", self.status)).await?.text().await?;
        let values = text.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            (rest.starts_with(' ') || rest.starts_with('{'))
                .then(|| rest.rsplit(' ').next()?.parse::<f64>().ok())?
        });
        Ok(values.sum())
    }

    /// The milliseconds of each load since the start, as the log says them.
    pub(crate) fn loads(&self) -> Result<Vec<f64>, Failure> {
        let text = fs::read_to_string(&self.log)?;
        let loaded = text.lines().filter_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            if line["message"] == "loaded" { line["milliseconds"].as_f64() } else { None }
        });
        Ok(loaded.collect())
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
        drop(self.quota.take());
    }
}

fn free_port() -> Result<u16, Failure> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A cgroup whose processes together may take so much time of the processors.
struct Quota {
    folder: PathBuf,
}

/// The time over which a quota is kept, in microseconds.
const PERIOD: f64 = 100_000.0;

impl Quota {
    fn new(processors: f64) -> Result<Self, Failure> {
        let name = format!("ostler-serving-{}", std::process::id());
        let first = Path::new("/sys/fs/cgroup/cpu").join(&name);
        let second = Path::new("/sys/fs/cgroup").join(&name);
        let time = (PERIOD * processors).round();
        let failed = |error| format!("no cgroup can be made, which takes root: {error}");
        if first.parent().is_some_and(Path::is_dir) {
            fs::create_dir(&first).map_err(failed)?;
            let quota = Self { folder: first };
            fs::write(quota.folder.join("cpu.cfs_period_us"), format!("{PERIOD}"))?;
            fs::write(quota.folder.join("cpu.cfs_quota_us"), format!("{time}"))?;
            return Ok(quota);
        }
        fs::create_dir(&second).map_err(failed)?;
        let quota = Self { folder: second };
        fs::write(quota.folder.join("cpu.max"), format!("{time} {PERIOD}"))?;
        Ok(quota)
    }

    /// A program that starts inside: it must see its quota from its first moment on.
    fn command(&self, program: &Path) -> Command {
        let mut shell = Command::new("sh");
        shell
            .arg("-c")
            .arg("echo $$ > \"$0\" && exec \"$@\"")
            .arg(self.folder.join("cgroup.procs"))
            .arg(program);
        shell
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        // The kernel takes a moment to let go of a process that has ended.
        for _ in 0..50 {
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
