//! Values, and a sidecar without weights, that the tests of several endpoints share.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, ready};
use ostler_crds::names::{Commit, StorageUri};
use ostler_crds::serving_plan::ServingPlan;
use ostler_crds::status::FailureLocation;
use ostler_inference::engine::{
    Control, Embeddings, Engine, EngineError, Job, JobProgress, LabelScore, Output, Segment, Transcript,
    Translation,
};
use serde_json::json;
use tokio::sync::watch;

use crate::loader::{Loader, OnTransfer, Prepared, Transferred};
use crate::manager::Manager;
use crate::metrics::Metrics;
use crate::residency::{Budget, Footprint, Settings};
use crate::state::{AppState, Limits};
use crate::target::{Target, VersionFailure};

pub(super) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

pub(super) fn segment(id: usize, start: f64, end: f64, text: &str) -> Segment {
    Segment {
        id,
        seek: 0,
        start,
        end,
        text: text.to_owned(),
        tokens: vec![50364, 7],
        temperature: 0.0,
        average_log_probability: -0.25,
        compression_ratio: 1.5,
        no_speech_probability: 0.125,
        words: Vec::new(),
    }
}

pub(super) fn transcript() -> Transcript {
    Transcript {
        text: "Hallo. Guten Tag.".to_owned(),
        language: "de".to_owned(),
        language_probability: Some(0.9),
        duration_seconds: 3.2,
        segments: vec![segment(0, 0.0, 1.5, " Hallo."), segment(1, 1.5, 3.0, " Guten Tag.")],
    }
}

/// The plan of `examples/video-translation.yaml`, and a sentence encoder.
pub(super) fn plan() -> ServingPlan {
    let artifact = |repository: &str, pair: Option<&str>| {
        let repository = repository.replace("{languagePair}", pair.unwrap_or_default());
        json!({"languagePair": pair, "source": format!("hf://ostler/{repository}:main"), "commit": COMMIT})
    };
    let version = |name: &str, weight: u8, artifacts: Vec<serde_json::Value>| json!({"name": name, "dtype": "auto", "weight": weight, "artifacts": artifacts});
    let model = |name: &str, task: &str, load: &str, versions: Vec<serde_json::Value>| {
        json!({
            "name": name, "task": task, "load": load, "keep": false, "instances": 1,
            "defaultVersion": "v1", "fallback": [], "versions": versions,
        })
    };
    let pairs = ["en-de", "de-en", "en-fr"].map(|pair| artifact("opus-mt-{languagePair}", Some(pair)));
    let plan = json!({
        "format": 1, "generation": 1, "salt": "default/video-translation",
        "models": [
            model("whisper", "automatic-speech-recognition", "Preload", vec![
                version("v1", 90, vec![artifact("whisper-v1", None)]),
                version("v2", 10, vec![artifact("whisper-v2", None)]),
            ]),
            model("translation", "translation", "Lazy", vec![version("v1", 100, pairs.to_vec())]),
            model("language-detection", "text-classification", "Lazy", vec![
                version("v1", 100, vec![artifact("xlm-roberta-language-detection", None)]),
            ]),
            model("similarity", "sentence-similarity", "Lazy", vec![
                version("v1", 100, vec![artifact("labse", None)]),
            ]),
        ],
    });
    ServingPlan::from_json(&plan.to_string()).expect("the fixture is a plan")
}

/// The plan with every repository of `version` of `whisper` unloadable.
pub(super) fn plan_with_broken(versions: &[&str], fallback: &[&str]) -> ServingPlan {
    let mut plan = plan();
    let whisper = &mut plan.models[0];
    whisper.fallback = fallback.iter().map(|name| name.parse().expect("a version's name")).collect();
    for version in whisper.versions.iter_mut().filter(|version| versions.contains(&version.name.as_str())) {
        version.artifacts[0].source = "hf://ostler/broken".parse().expect("a source");
    }
    plan
}

/// State over a plan whose engines answer at once with fixed answers.
pub(super) fn state(plan: ServingPlan, limits: Limits) -> (AppState, Arc<FakeLoader>) {
    state_over(FakeLoader::default(), plan, limits)
}

/// The same over a loader.
pub(super) fn state_over(
    loader: FakeLoader,
    plan: ServingPlan,
    limits: Limits,
) -> (AppState, Arc<FakeLoader>) {
    let loader = Arc::new(loader);
    let budget = Budget { bytes: 1 << 30, evict_above_percent: 80, evict_to_percent: 70 };
    let manager = Manager::start(Arc::clone(&loader) as Arc<dyn Loader>, Settings::with_budget(budget), plan);
    let metrics = Metrics::new().expect("the metrics register");
    (AppState { manager, limits, metrics }, loader)
}

/// Loads [`FakeEngine`]s, but nothing from the repository `broken`.
#[derive(Default)]
pub(super) struct FakeLoader {
    /// Jobs that were cancelled while they ran.
    pub(super) cancelled: Arc<AtomicUsize>,
    /// Jobs that have begun.
    pub(super) begun: Arc<AtomicUsize>,
    /// Transfers that have begun.
    pub(super) transfers: AtomicUsize,
    /// How transfers go that take their time: each word goes to those under way, and `None` ends them.
    pub(super) transferring: Option<watch::Receiver<Option<Transferred>>>,
    /// Whether jobs that wait for it go on.
    opened: Arc<AtomicBool>,
}

/// A loader whose transfers stand still, until they are told how far they are.
pub(super) fn slow() -> (FakeLoader, watch::Sender<Option<Transferred>>) {
    let nothing = Transferred { total_bytes: 0, completed_bytes: 0 };
    let (tell, transferring) = watch::channel(Some(nothing));
    (FakeLoader { transferring: Some(transferring), ..FakeLoader::default() }, tell)
}

impl FakeLoader {
    /// Lets the jobs that wait at the gate go on, and all that come after them.
    pub(super) fn open(&self) {
        self.opened.store(true, Ordering::SeqCst);
    }
}

impl Loader for FakeLoader {
    fn prepare(
        &self,
        target: &Target,
        on_transfer: OnTransfer,
    ) -> BoxFuture<'static, Result<Prepared, VersionFailure>> {
        let is_broken =
            matches!(&target.source, StorageUri::Hub { repository, .. } if repository.name() == "broken");
        let prepared = Prepared {
            folder: PathBuf::from("/nowhere"),
            revision: target.commit.as_ref().map_or(COMMIT, Commit::as_str).to_owned(),
            footprint: Footprint { resident_bytes: 1024, transient_bytes: 0, scratch_bytes: 0 },
        };
        let failure = VersionFailure {
            location: FailureLocation::Download,
            reason: "NotFound".to_owned(),
            message: "the hub has no repository ostler/broken".to_owned(),
            retryable: true,
            retry_after: Some(Duration::from_secs(30)),
        };
        self.transfers.fetch_add(1, Ordering::SeqCst);
        let outcome = if is_broken { Err(failure) } else { Ok(prepared) };
        let Some(mut transferring) = self.transferring.clone() else { return ready(outcome).boxed() };
        async move {
            loop {
                let word = *transferring.borrow_and_update();
                let Some(transferred) = word else { return outcome };
                on_transfer(transferred);
                // The test is over where nobody tells any more.
                if transferring.changed().await.is_err() {
                    return outcome;
                }
            }
        }
        .boxed()
    }

    fn load(&self, _: &Target, _: &Prepared) -> Result<Arc<dyn Engine>, VersionFailure> {
        Ok(Arc::new(FakeEngine {
            cancelled: Arc::clone(&self.cancelled),
            begun: Arc::clone(&self.begun),
            opened: Arc::clone(&self.opened),
        }))
    }
}

fn heard(segment: Segment) -> JobProgress {
    JobProgress::Transcribed { seconds: segment.end, total_seconds: 3.2, segments: vec![segment] }
}

/// Answers every job with something that shows what was asked.
struct FakeEngine {
    cancelled: Arc<AtomicUsize>,
    begun: Arc<AtomicUsize>,
    opened: Arc<AtomicBool>,
}

impl FakeEngine {
    /// Waits until the gate is open or the job is cancelled.
    fn wait(&self, control: &Control) -> Result<(), EngineError> {
        while !self.opened.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
            if let Err(error) = control.check() {
                self.cancelled.fetch_add(1, Ordering::SeqCst);
                return Err(error);
            }
        }
        Ok(())
    }
}

impl Engine for FakeEngine {
    fn run(&self, job: &Job, control: &Control) -> Result<Output, EngineError> {
        let number = self.begun.fetch_add(1, Ordering::SeqCst);
        match job {
            Job::Transcribe(job) => match job.prompt.as_deref() {
                Some("damaged") => {
                    control.report(heard(segment(0, 0.0, 1.5, " Hallo.")));
                    Err(EngineError::NotFinite("a logit"))
                }
                Some("klingon") => {
                    Err(EngineError::InvalidInput { parameter: "language", message: "is unknown".to_owned() })
                }
                Some("gate") => self.wait(control).map(|()| Output::Transcript(transcript())),
                Some("fails at first") => {
                    self.wait(control)?;
                    if number == 0 {
                        Err(EngineError::NotFinite("a logit"))
                    } else {
                        Ok(Output::Transcript(transcript()))
                    }
                }
                Some("panic") => panic!("a test asked for it"),
                Some("wait") => {
                    control.report(heard(segment(0, 0.0, 1.5, " Hallo.")));
                    loop {
                        std::thread::sleep(Duration::from_millis(5));
                        if let Err(error) = control.check() {
                            self.cancelled.fetch_add(1, Ordering::SeqCst);
                            return Err(error);
                        }
                    }
                }
                _ => {
                    for segment in transcript().segments {
                        control.report(heard(segment));
                    }
                    Ok(Output::Transcript(transcript()))
                }
            },
            Job::DetectLanguage(_) => {
                let label = |label: &str, score| LabelScore { label: label.to_owned(), score };
                Ok(Output::Languages(vec![label("de", 0.75), label("en", 0.25)]))
            }
            Job::Translate(job) => {
                let (source, target) = (job.source.as_deref(), job.target.as_deref());
                let (source, target) = (source.unwrap_or("?"), target.unwrap_or("?"));
                if job.texts.iter().any(|text| text == "overlong") {
                    return Err(EngineError::InvalidInput {
                        parameter: "texts",
                        message: "is too long".to_owned(),
                    });
                }
                if job.texts.iter().any(|text| text == "damaged") {
                    return Err(EngineError::NotFinite("the logits"));
                }
                let translate = |text: &String| Translation {
                    text: format!("{source}>{target} {text}"),
                    alternatives: (1..=job.alternatives).map(|number| format!("{number} {text}")).collect(),
                };
                Ok(Output::Translations(job.texts.iter().map(translate).collect()))
            }
            Job::Classify(job) => {
                let label = |label: &str, score| LabelScore { label: label.to_owned(), score };
                let labels = |text: &String| {
                    let (first, second) = if text.contains("Hallo") { ("de", "en") } else { ("en", "de") };
                    vec![label(first, 0.9), label(second, 0.1)]
                };
                Ok(Output::Labels(job.texts.iter().map(labels).collect()))
            }
            // Texts of the same length are alike, others less so the more their lengths differ.
            Job::Embed(job) => {
                let dimensions = job.dimensions.unwrap_or(2);
                if dimensions > 2 {
                    let message = format!("is {dimensions}, this model's vectors have 1 to 2 numbers");
                    return Err(EngineError::InvalidInput { parameter: "dimensions", message });
                }
                let vector = |text: &String| vec![text.len() as f32, 1.0][..dimensions].to_vec();
                let tokens = job.texts.iter().map(|text| text.split_whitespace().count() + 2).collect();
                Ok(Output::Embeddings(Embeddings { vectors: job.texts.iter().map(vector).collect(), tokens }))
            }
        }
    }

    fn canary(&self) -> Result<(), EngineError> {
        Ok(())
    }
}

/// A second of a tone as a 16-bit WAV file of 16 kHz.
pub(super) fn wav() -> Vec<u8> {
    const RATE: u32 = 16_000;
    let bytes = RATE * 2;
    let mut file = Vec::new();
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&(36 + bytes).to_le_bytes());
    file.extend_from_slice(b"WAVEfmt ");
    file.extend_from_slice(&16_u32.to_le_bytes());
    file.extend_from_slice(&1_u16.to_le_bytes());
    file.extend_from_slice(&1_u16.to_le_bytes());
    file.extend_from_slice(&RATE.to_le_bytes());
    file.extend_from_slice(&bytes.to_le_bytes());
    file.extend_from_slice(&2_u16.to_le_bytes());
    file.extend_from_slice(&16_u16.to_le_bytes());
    file.extend_from_slice(b"data");
    file.extend_from_slice(&bytes.to_le_bytes());
    for index in 0..RATE {
        let phase = f64::from(index) / f64::from(RATE) * 440.0 * std::f64::consts::TAU;
        file.extend_from_slice(&((phase.sin() * 10_000.0) as i16).to_le_bytes());
    }
    file
}
