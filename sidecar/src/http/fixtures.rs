//! Values, and a sidecar without weights, that the tests of several endpoints share.

mod engine;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, ready};
use ostler_crds::names::{Commit, StorageUri};
use ostler_crds::serving_plan::ServingPlan;
use ostler_crds::status::FailureLocation;
use ostler_inference::engine::{Engine, Segment, Transcript};
use serde_json::json;
use tokio::sync::watch;

use crate::loader::{Loader, OnTransfer, Prepared, Transferred};
use crate::manager::Manager;
use crate::metrics::Metrics;
use crate::residency::{Budget, Footprint, Settings};
use crate::state::{AppState, Limits};
use crate::target::{Target, VersionFailure};
use engine::FakeEngine;

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

    /// Closes the gate again.
    pub(super) fn close(&self) {
        self.opened.store(false, Ordering::SeqCst);
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
