//! The cluster that the tests share, and the namespace that each has of its own.

use std::error::Error;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use ostler_e2e::access::Access;
use ostler_e2e::cluster;
use ostler_e2e::command::{CommandError, feed, output};
use ostler_e2e::images::Images;
use ostler_e2e::installation::{self, HUB_NAMESPACE, NAMESPACE};
use serde_json::Value;

/// How long a deployment of small models may take until it is ready, on a machine that is busy.
pub(crate) const READY: Duration = Duration::from_secs(120);

/// The cluster, with the hub and the chart in it.
pub(crate) struct World {
    pub(crate) access: Access,
    pub(crate) state: PathBuf,
    pub(crate) programs: PathBuf,
    pub(crate) images: Images,
}

impl World {
    pub(crate) fn create() -> Result<Self, Box<dyn Error>> {
        // A folder apart from the demo's, so that a demo that runs is noticed and not taken for ours.
        let state = cluster::default_state()?.with_file_name("test-state");
        let programs = installation::programs_beside(&std::env::current_exe()?);
        end_on_signals(state.clone());
        let access = installation::cluster(&state)?;
        let prepare = || -> Result<Images, Box<dyn Error>> {
            let images = installation::images(&access, &programs)?;
            installation::install(&access, &images)?;
            Ok(images)
        };
        match prepare() {
            Ok(images) => Ok(Self { access, state, programs, images }),
            Err(error) => {
                eprintln!("{}", show(&access, &["get", "pods", "-A", "-o", "wide"]));
                eprintln!("{}", show(&access, &["describe", "pods", "-n", NAMESPACE]));
                eprintln!("{}", show(&access, &["logs", "-n", NAMESPACE, "deployment/ostler", "--tail=50"]));
                remove(&access, &state);
                Err(error)
            }
        }
    }

    /// A namespace for one test, which admits only what the restricted standard allows.
    pub(crate) fn space(&self, test: &str) -> Space<'_> {
        let name: String = test.replace('_', "-").chars().take(50).collect();
        let name = name.trim_end_matches('-').to_owned();
        let space = Space { world: self, name };
        // Left over where an earlier run was told to keep it.
        space.world.access.kubectl(&["delete", "namespace", &space.name, "--ignore-not-found"]).unwrap();
        space.world.access.kubectl(&["create", "namespace", &space.name]).unwrap();
        let label = "pod-security.kubernetes.io/enforce=restricted";
        space.world.access.kubectl(&["label", "namespace", &space.name, label]).unwrap();
        space
    }
}

impl Drop for World {
    fn drop(&mut self) {
        remove(&self.access, &self.state);
    }
}

fn remove(access: &Access, state: &std::path::Path) {
    if std::env::var_os("OSTLER_E2E_KEEP").is_some() {
        println!("left running: export KUBECONFIG={}", access.kubeconfig().display());
        return;
    }
    let removed = match &access.own {
        Some(_) => cluster::down(state).map_err(|error| error.to_string()),
        None => installation::uninstall(access).map_err(|error| error.to_string()),
    };
    if let Err(error) = removed {
        eprintln!("not all could be removed: {error}");
    }
}

/// Interrupted tests take their cluster down too.
fn end_on_signals(state: PathBuf) {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let mut terminate = signal(SignalKind::terminate()).unwrap();
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        });
        let _ = cluster::down(&state);
        std::process::exit(130);
    });
}

/// One test's namespace. Dropping it deletes what is in it.
pub(crate) struct Space<'a> {
    pub(crate) world: &'a World,
    pub(crate) name: String,
}

impl Space<'_> {
    /// Runs `kubectl` in the namespace.
    pub(crate) fn try_kubectl(&self, arguments: &[&str]) -> Result<String, CommandError> {
        self.world.access.kubectl(&[&["--namespace", self.name.as_str()][..], arguments].concat())
    }

    /// Runs `kubectl` in the namespace, which must succeed.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        self.try_kubectl(arguments).unwrap_or_else(|error| panic!("{error}"))
    }

    /// `kubectl` in the namespace with a text as its input.
    pub(crate) fn try_feed(&self, arguments: &[&str], input: &str) -> Result<String, CommandError> {
        let arguments = [&["--namespace", self.name.as_str()][..], arguments].concat();
        feed(&mut self.world.access.kubectl_command(&arguments), input)
    }

    /// Applies a manifest.
    pub(crate) fn apply(&self, manifest: &Value) {
        self.try_feed(&["apply", "-f", "-"], &manifest.to_string()).unwrap_or_else(|error| panic!("{error}"));
    }

    /// An object as JSON, or a list of them.
    pub(crate) fn get(&self, arguments: &[&str]) -> Value {
        let text = self.kubectl(&[&["get", "-o", "json"][..], arguments].concat());
        serde_json::from_str(&text).unwrap()
    }

    /// Waits for `Ready`, as a person would.
    pub(crate) fn wait_until_ready(&self, deployment: &str) {
        let (object, limit) = (format!("mdep/{deployment}"), format!("--timeout={}s", READY.as_secs()));
        // A condition of the spec before this one would be taken for an answer.
        eventually("the status to speak of the newest spec", READY, || {
            let object = self.get(&["mdep", deployment]);
            (object["metadata"]["generation"] == object["status"]["observedGeneration"]).then_some(())
        });
        self.kubectl(&["wait", "--for=condition=Ready", &object, &limit]);
    }

    /// The address of a deployment's Service, once this machine reaches it as pods do: kube-proxy needs a moment after
    /// the first pod is ready.
    pub(crate) fn service(&self, deployment: &str) -> String {
        let address = self.kubectl(&["get", "service", deployment, "-o", "jsonpath={.spec.clusterIP}"]);
        let base = format!("http://{address}:8470");
        eventually("the Service to lead to a pod", Duration::from_secs(30), || {
            output("curl", &["-sS", "--max-time", "5", &format!("{base}/v1/models")]).ok()
        });
        base
    }

    /// The pods of a deployment that are not on their way out.
    pub(crate) fn pods(&self, deployment: &str) -> Vec<Value> {
        let selector = format!("--selector=ostler.dev/deployment={deployment}");
        let list = self.get(&["pods", &selector]);
        let staying = |pod: &&Value| pod["metadata"]["deletionTimestamp"].is_null();
        list["items"].as_array().into_iter().flatten().filter(staying).cloned().collect()
    }

    /// Everything that helps to see why a test failed.
    pub(crate) fn diagnose(&self) {
        let access = &self.world.access;
        let here = ["--namespace", self.name.as_str()];
        for arguments in [
            &["get", "mdep,mrep,pods,deployments,events", "-o", "wide"][..],
            &["describe", "pods"],
            &["get", "mdep,mrep", "-o", "yaml"],
            &[
                "logs",
                "--selector=app.kubernetes.io/name=ostler",
                "--all-containers",
                "--tail=40",
                "--prefix",
            ],
        ] {
            eprintln!("{}", show(access, &[&here[..], arguments].concat()));
        }
        let logs = ["logs", "--selector=app.kubernetes.io/name=ostler-operator", "--tail=60", "--prefix"];
        eprintln!("{}", show(access, &[&["--namespace", NAMESPACE][..], &logs].concat()));
        eprintln!("{}", show(access, &["logs", "--namespace", HUB_NAMESPACE, "deployment/hub", "--tail=20"]));
        eprintln!("{}", show(access, &["get", "pods", "-A"]));
    }
}

impl Drop for Space<'_> {
    fn drop(&mut self) {
        if std::env::var_os("OSTLER_E2E_KEEP").is_none() {
            let _ = self.try_kubectl(&["delete", "mdep", "--all", "--timeout=30s"]);
            let _ = self.world.access.kubectl(&["delete", "namespace", &self.name, "--wait=false"]);
        }
    }
}

fn show(access: &Access, arguments: &[&str]) -> String {
    let answer = match access.kubectl(arguments) {
        Ok(text) => text,
        Err(error) => error.to_string(),
    };
    format!("\n--- kubectl {}\n{answer}", arguments.join(" "))
}

/// Asks until there is an answer, and fails when there is none in time.
pub(crate) fn eventually<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(started.elapsed() < limit, "waited {} s for {what}", limit.as_secs());
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// A deployment of one preloaded model from the hub in the cluster, which translates German.
pub(crate) fn translator(name: &str, replicas: u32) -> Value {
    serde_json::json!({
        "apiVersion": "ostler.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "models": [{
                "name": "translation",
                "task": "translation",
                "load": "Preload",
                "languagePairs": ["de-en"],
                "versions": [{"name": "v1", "storageUri": "hf://ostler/opus-mt-{languagePair}"}],
            }],
            "memory": {"host": "256Mi"},
        },
    })
}

/// What the shipped model is asked, as the body of a LibreTranslate request, and what it answers.
pub(crate) const QUESTION: &str = r#"{"q": "drei rechts sechs", "source": "de", "target": "en"}"#;
/// See [`QUESTION`].
pub(crate) const ANSWER: &str = "three right six";

/// Asks [`QUESTION`] with `curl`, and answers the translation.
pub(crate) fn translate(base: &str) -> String {
    let url = format!("{base}/translate");
    let json = "content-type: application/json";
    let answer = output("curl", &["-sS", "--max-time", "60", &url, "-H", json, "-d", QUESTION]);
    let answer = answer.unwrap_or_else(|error| panic!("{error}"));
    let value: Value = serde_json::from_str(&answer).unwrap_or_else(|_| panic!("not JSON: {answer}"));
    value["translatedText"].as_str().unwrap_or_else(|| panic!("no translation: {answer}")).to_owned()
}

/// Runs a command that must fail, and answers its words.
pub(crate) fn refused(command: &mut Command, input: &str) -> String {
    match feed(command, input) {
        Ok(answer) => panic!("it was allowed: {answer}"),
        Err(error) => error.to_string(),
    }
}
