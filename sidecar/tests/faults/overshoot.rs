//! Loads at once, over and over, and the memory that the process really takes meanwhile.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use ostler_artifacts::Cache;
use ostler_crds::names::Dtype;
use ostler_crds::serving_plan::ServingPlan;
use ostler_hub::{HubClient, HubSettings};
use ostler_inference::engine::{Control, Engine, EngineError, Job, Output, TextFormat, TranslateJob};
use ostler_inference::processor::Processor;
use ostler_sidecar::loader::{Loader, OnTransfer, Prepared};
use ostler_sidecar::manager::Manager;
use ostler_sidecar::model_loader::ModelLoader;
use ostler_sidecar::residency::{Budget, Footprint, Settings};
use ostler_sidecar::routing::{Request, Subject};
use ostler_sidecar::target::{Target, VersionFailure};
use ostler_test_hub::models;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use crate::is_soak;
use crate::process::{footprint, memory, room_for_halves};

const FOLDER: &str = "OSTLER_TEST_OVERSHOOT_FOLDER";

/// What jobs, threads and the allocator take beside weights.
const SPARE: u64 = 64 << 20;

const MODELS: usize = 8;
const WORKERS: usize = 8;

fn cycles() -> usize {
    if is_soak() { 10_000 } else { 300 }
}

/// The bytes of what is in memory, or on its way there, by what its header said of it.
#[derive(Default)]
struct Tally {
    now: AtomicU64,
    most: AtomicU64,
}

impl Tally {
    fn add(&self, bytes: u64) {
        let now = self.now.fetch_add(bytes, Ordering::SeqCst) + bytes;
        self.most.fetch_max(now, Ordering::SeqCst);
    }

    fn subtract(&self, bytes: u64) {
        self.now.fetch_sub(bytes, Ordering::SeqCst);
    }
}

/// An engine whose bytes are in the tally until it is dropped.
struct Tallied {
    inner: Option<Arc<dyn Engine>>,
    bytes: u64,
    tally: Arc<Tally>,
}

impl Engine for Tallied {
    fn run(&self, job: &Job, control: &Control) -> Result<Output, EngineError> {
        self.inner.as_ref().unwrap().run(job, control)
    }

    fn canary(&self) -> Result<(), EngineError> {
        self.inner.as_ref().unwrap().canary()
    }
}

impl Drop for Tallied {
    fn drop(&mut self) {
        drop(self.inner.take());
        self.tally.subtract(self.bytes);
    }
}

/// The loader of real models, which counts its loads.
struct Counted {
    inner: ModelLoader,
    loads: AtomicUsize,
    tally: Arc<Tally>,
}

impl Loader for Counted {
    fn prepare(
        &self,
        target: &Target,
        on_transfer: OnTransfer,
    ) -> BoxFuture<'static, Result<Prepared, VersionFailure>> {
        self.inner.prepare(target, on_transfer)
    }

    fn dtype(&self, target: &Target) -> Dtype {
        self.inner.dtype(target)
    }

    fn load(&self, target: &Target, prepared: &Prepared) -> Result<Arc<dyn Engine>, VersionFailure> {
        self.loads.fetch_add(1, Ordering::Relaxed);
        let Footprint { resident_bytes, transient_bytes, .. } = prepared.footprint;
        self.tally.add(resident_bytes + transient_bytes);
        let inner = self.inner.load(target, prepared)?;
        self.tally.subtract(transient_bytes);
        let tally = Arc::clone(&self.tally);
        Ok(Arc::new(Tallied { inner: Some(inner), bytes: resident_bytes, tally }))
    }
}

fn plan(folder: &str) -> ServingPlan {
    let model = |number: usize| -> Value {
        let artifact = json!({"source": format!("file://{folder}/m{}", number % 3)});
        json!({"name": format!("m{number}"), "task": "translation", "load": "Lazy", "keep": false, "instances": 1,
            "defaultVersion": "v1", "fallback": [],
            "versions": [{"name": "v1", "dtype": "float32", "weight": 100, "artifacts": [artifact]}]})
    };
    let models: Vec<Value> = (0..MODELS).map(model).collect();
    let plan = json!({"format": 1, "generation": 1, "salt": "s", "models": models});
    ServingPlan::from_json(&plan.to_string()).unwrap()
}

fn job() -> Job {
    Job::Translate(TranslateJob {
        texts: vec!["stop".to_owned()],
        source: None,
        target: None,
        beams: None,
        split_sentences: false,
        format: TextFormat::Plain,
        alternatives: 0,
    })
}

/// Room for two of the largest model and a half.
fn budget(folder: &str) -> u64 {
    room_for_halves(5, footprint(&Path::new(folder).join("m2")))
}

/// What the process does whose memory is measured; without its variable it is no child, and there is nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overshoot_child() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let hub = HubClient::new(HubSettings::new("http://127.0.0.1:1".parse().unwrap())).unwrap();
    let cache = Cache::open(PathBuf::from(&folder).join("cache")).unwrap();
    let inner = ModelLoader::new(hub, cache, None, Arc::new(Processor::whole()));
    let tally = Arc::new(Tally::default());
    let loader = Arc::new(Counted { inner, loads: AtomicUsize::new(0), tally: Arc::clone(&tally) });
    let budget_bytes = budget(&folder);
    let budget = Budget { bytes: budget_bytes, evict_above_percent: 80, evict_to_percent: 70 };
    // Versions may go as soon as they are idle, and as many loads begin at once as fit.
    let settings = Settings {
        minimum_residency: Duration::ZERO,
        residency_per_load: 0,
        max_loads: WORKERS,
        max_transfers: WORKERS,
        ..Settings::with_budget(budget)
    };
    let manager = Manager::start(Arc::clone(&loader) as Arc<dyn Loader>, settings, plan(&folder));
    let before = memory(std::process::id()).resident;
    let work = |worker: usize| {
        let (manager, loader) = (manager.clone(), Arc::clone(&loader));
        async move {
            let mut random = StdRng::seed_from_u64(worker as u64);
            while loader.loads.load(Ordering::Relaxed) < cycles() {
                let model = format!("m{}", random.random_range(0..MODELS)).parse().unwrap();
                let request = Request {
                    model,
                    language_pair: None,
                    version: None,
                    subject: Subject::Request(String::new()),
                };
                let lease = manager.acquire(request).await.unwrap();
                lease.run(job(), Control::default()).await.unwrap();
                let reserved = manager.snapshot().reserved_bytes;
                assert!(reserved <= budget_bytes, "{reserved} bytes are reserved");
            }
        }
    };
    join_all((0..WORKERS).map(|worker| tokio::spawn(work(worker))))
        .await
        .into_iter()
        .for_each(Result::unwrap);
    let peak = memory(std::process::id()).peak;
    let (loads, most) = (loader.loads.load(Ordering::Relaxed), tally.most.load(Ordering::SeqCst));
    println!("loads={loads} taken={} tallied={most} budget={budget_bytes}", peak - before);
}

/// Row 25: what is reserved first and loaded then never takes more than the budget and a tenth of it, over hundreds of
/// loads at once. The decisions alone are held over 10,000 cycles in `residency/tests`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_25_loads_at_once_never_take_more_than_the_budget_and_a_tenth() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..3 {
        models::write(&folder.path().join(format!("m{number}")), 1 + number).unwrap();
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "overshoot::overshoot_child", "--nocapture"]).env(FOLDER, folder.path());
    let output = tokio::task::spawn_blocking(move || child.output().unwrap()).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    let figure = |name: &str| -> u64 {
        let figure = text.split_whitespace().find_map(|word| word.strip_prefix(name)).unwrap();
        figure.parse().unwrap()
    };
    let (loads, taken) = (figure("loads="), figure("taken="));
    let (tallied, budget) = (figure("tallied="), figure("budget="));
    println!("{loads} loads took {taken} bytes at most, {tallied} by their headers, of a budget of {budget}");
    assert!(loads >= cycles() as u64, "{loads} loads");
    assert!(taken <= budget + budget / 10, "{taken} bytes of a budget of {budget}");
    // Of the budget a part is for jobs larger than these. What the weights took is what their headers said.
    assert!(taken > tallied / 2, "{taken} bytes, {tallied} by their headers");
    assert!(taken <= tallied + tallied / 10 + SPARE, "{taken} bytes, {tallied} by their headers");
}
