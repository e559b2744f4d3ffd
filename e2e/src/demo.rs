//! The demo: from nothing to a transcript, a translation, and a change of version without a restart. Every command is
//! printed as a person would type it.

mod answer;
mod screen;

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::access::Access;
use crate::command::{CommandError, capture, describe, feed, output};
use crate::forward::Forward;
use crate::installation::{self, InstallationError};
use answer::Answer;
use screen::Screen;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const MANIFEST: &str = "examples/video-translation.yaml";
const CLIP: &str = "examples/audio/05-de.wav";
const DEPLOYMENT: &str = "video-translation";
const SERVING_PORT: u16 = 8470;
/// How long the models may take until they are ready, and a change until it shows.
const PATIENCE: Duration = Duration::from_secs(180);

/// Why the demo stopped.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// Ostler could not be brought into the cluster.
    #[error(transparent)]
    Installation(#[from] InstallationError),
    /// A program failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The terminal is gone.
    #[error("the output could not be written")]
    Output(#[from] io::Error),
    /// The deployment did not become ready.
    #[error("{DEPLOYMENT} was not ready after {} seconds; its conditions:\n{conditions}", PATIENCE.as_secs())]
    NotReady {
        /// The status as YAML.
        conditions: String,
    },
    /// An answer was not what the demo shows.
    #[error("{what} was expected, but the answer was:\n{answer}")]
    Unexpected {
        /// What was expected.
        what: &'static str,
        /// The whole answer.
        answer: String,
    },
}

/// Runs the demo. `programs` is the folder of the built programs.
///
/// # Errors
/// [`DemoError`], at the first step that does not go as it should; the cluster stays, to be looked at.
pub fn run(state: &Path, programs: &Path) -> Result<(), DemoError> {
    let mut screen = Screen { out: io::stdout() };
    screen.title("A Kubernetes on this machine")?;
    let access = installation::cluster(state)?;
    screen.line(&format!("export KUBECONFIG={}", access.kubeconfig().display()))?;
    screen.run(access.kubectl_command(&["get", "nodes", "-o", "wide"]))?;

    screen.title("Ostler's images, a hub with the example models, and the chart")?;
    let images = installation::images(&access, programs)?;
    for image in [&images.operator, &images.sidecar, &images.hub] {
        screen.line(image)?;
    }
    for (mut command, input) in installation::commands(&access, &images) {
        screen.command(&describe(&command))?;
        let answer = match input {
            Some(input) => feed(&mut command, &input)?,
            None => capture(&mut command)?,
        };
        screen.text(&answer)?;
    }

    screen.title("One file, two pods, every model pinned to a commit")?;
    screen.run(access.kubectl_command(&["apply", "-f", &format!("{ROOT}/{MANIFEST}")]))?;
    wait_until_ready(&mut screen, &access)?;

    screen.title("A German clip becomes text, the text becomes English")?;
    let service = format!("service/{DEPLOYMENT}");
    screen.command(&format!("kubectl port-forward {service} :{SERVING_PORT}"))?;
    let forward = Forward::open(&access, "default", &service, SERVING_PORT)?;
    let base = format!("http://127.0.0.1:{}", forward.port);
    screen.line(&format!("listening on {base}"))?;
    let (subject, text) = first_version_subject(&mut screen, &base)?;
    let request = serde_json::json!({"q": text, "source": "de", "target": "en"}).to_string();
    let json = "content-type: application/json";
    let answer = screen.curl(&[&format!("{base}/translate"), "-H", json, "-d", &request])?;
    if answer.field("translatedText").is_none() {
        return Err(DemoError::Unexpected { what: "a translation", answer: answer.whole });
    }

    screen.title("Everyone moves to v2: a change of weights, no restart")?;
    let before = pods(&access)?;
    screen.run(access.kubectl_command(&["get", "pods"]))?;
    let patch = r#"[{"op": "replace", "path": "/spec/models/0/versions/1/weight", "value": 100}]"#;
    screen.run(access.kubectl_command(&["patch", "mdep", DEPLOYMENT, "--type=json", "-p", patch]))?;
    let changed = Instant::now();
    let mut answer = transcribe(&base, &subject)?;
    while answer.header("x-ostler-version").as_deref() != Some("v2") && changed.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(100));
        answer = transcribe(&base, &subject)?;
    }
    screen.command(&transcribe_command(&base, &subject))?;
    screen.text(&answer.shown())?;
    if answer.header("x-ostler-version").as_deref() != Some("v2") {
        return Err(DemoError::Unexpected { what: "version v2", answer: answer.whole });
    }
    screen.line(&format!(
        "{subject} is served by v2, {:.1} s after the change",
        changed.elapsed().as_secs_f64()
    ))?;
    wait_until_ready(&mut screen, &access)?;
    screen.run(access.kubectl_command(&["get", "pods"]))?;
    let after = pods(&access)?;
    if before != after {
        return Err(DemoError::Unexpected { what: "the same pods without a restart", answer: after });
    }

    screen.title("That was it")?;
    screen.line("The cluster goes on running. To look around:")?;
    screen.line(&format!("  export KUBECONFIG={}", access.kubeconfig().display()))?;
    if let Some(cluster) = &access.own {
        let folder = cluster.program("kubectl");
        screen.line(&format!("  export PATH={}:$PATH", folder.parent().unwrap_or(&folder).display()))?;
    }
    screen.line("  kubectl explain mdep.spec.models.versions")?;
    screen.line("To remove all of it: make demo-down")?;
    Ok(())
}

/// Shows the deployment and its reports whenever they change, until the deployment is ready.
fn wait_until_ready(screen: &mut Screen<impl Write>, access: &Access) -> Result<(), DemoError> {
    let started = Instant::now();
    let mut shown = String::new();
    let get = ["get", "mdep,mrep"];
    let current = format!("mdep/{DEPLOYMENT}");
    loop {
        let table = access.kubectl(&get)?;
        if table != shown {
            screen.command("kubectl get mdep,mrep")?;
            screen.text(&table)?;
            shown = table;
        }
        let wait = ["wait", "--for=condition=Ready", &current, "--timeout=1s"];
        if is_current(access)? && access.kubectl(&wait).is_ok() {
            screen.run(access.kubectl_command(&["wait", "--for=condition=Ready", &current]))?;
            screen.run(access.kubectl_command(&get))?;
            return Ok(());
        }
        if started.elapsed() > PATIENCE {
            let conditions = access.kubectl(&["get", "mdep", DEPLOYMENT, "-o", "yaml"])?;
            return Err(DemoError::NotReady { conditions });
        }
    }
}

/// Whether the status speaks of the spec as it is now.
fn is_current(access: &Access) -> Result<bool, DemoError> {
    let template = "jsonpath={.metadata.generation} {.status.observedGeneration}";
    let generations = access.kubectl(&["get", "mdep", DEPLOYMENT, "-o", template])?;
    Ok(generations.split_once(' ').is_some_and(|(spec, status)| spec == status))
}

/// Each pod's identity and restarts: what a change of weights must leave as it is.
fn pods(access: &Access) -> Result<String, DemoError> {
    let selector = format!("ostler.dev/deployment={DEPLOYMENT}");
    let template = r"jsonpath={range .items[*]}{.metadata.uid}{range .status.containerStatuses[*]} {.restartCount}{end}{'\n'}{end}";
    Ok(access.kubectl(&["get", "pods", "--selector", &selector, "-o", template])?)
}

/// Finds a speaker whom the weights give v1, as nine of ten, and shows the transcript.
fn first_version_subject(screen: &mut Screen<impl Write>, base: &str) -> Result<(String, String), DemoError> {
    let mut last = String::new();
    for number in 1..=50 {
        let subject = format!("speaker-{number}");
        let answer = transcribe(base, &subject)?;
        if answer.header("x-ostler-version").as_deref() == Some("v1")
            && let Some(text) = answer.field("text")
        {
            screen.command(&transcribe_command(base, &subject))?;
            screen.text(&answer.shown())?;
            return Ok((subject, text));
        }
        last = answer.whole;
    }
    Err(DemoError::Unexpected { what: "a transcript by version v1", answer: last })
}

fn transcribe_arguments(base: &str, subject: &str) -> [String; 9] {
    [
        "-sS".to_owned(),
        "-i".to_owned(),
        format!("{base}/v1/audio/transcriptions"),
        "-H".to_owned(),
        format!("x-ostler-subject: {subject}"),
        "-F".to_owned(),
        format!("file=@{ROOT}/{CLIP}"),
        "-F".to_owned(),
        "model=whisper".to_owned(),
    ]
}

fn transcribe(base: &str, subject: &str) -> Result<Answer, DemoError> {
    Ok(Answer { whole: output("curl", &transcribe_arguments(base, subject))? })
}

fn transcribe_command(base: &str, subject: &str) -> String {
    describe(std::process::Command::new("curl").args(transcribe_arguments(base, subject)))
}
