//! The task with a scripted loader: what it does with effects, and that callers can come and go as they like.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use ostler_crds::names::ModelName;
use ostler_crds::serving_plan::{PlannedResultCache, ServingPlan};
use ostler_crds::status::{FailureLocation, VersionState};
use ostler_inference::engine::{ClassifyJob, Control, Engine, EngineError, Job, Output};
use serde_json::json;
use tokio::sync::Notify;

use crate::loader::{Loader, OnTransfer, Prepared, Transferred};
use crate::manager::{AcquireError, Manager};
use crate::memory_watch::MemoryWatch;
use crate::pool::RunError;
use crate::residency::{Budget, Footprint, Settings};
use crate::routing::{Request, Subject};
use crate::target::{Target, VersionFailure};

/// An engine that answers nothing after `steps` steps of 5 ms, or panics.
struct ScriptedEngine {
    alive: Arc<AtomicUsize>,
}

impl Drop for ScriptedEngine {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Engine for ScriptedEngine {
    fn run(&self, job: &Job, control: &Control) -> Result<Output, EngineError> {
        let Job::Classify(ClassifyJob { texts }) = job else { return Err(EngineError::WrongTask("this")) };
        assert!(texts[0] != "panic", "told to");
        for _ in 0..texts[0].parse().unwrap_or(0) {
            control.check()?;
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(Output::Labels(Vec::new()))
    }

    fn canary(&self) -> Result<(), EngineError> {
        Ok(())
    }
}

#[derive(Default)]
struct ScriptedLoader {
    prepares: AtomicUsize,
    loads: AtomicUsize,
    alive: Arc<AtomicUsize>,
    /// Models whose load fails.
    broken: Mutex<Vec<ModelName>>,
    /// What a model takes, where it is not the usual 40 bytes.
    resident_bytes: Option<u64>,
    /// Preparations wait for this where they are to be held.
    hold: Option<Arc<Notify>>,
}

impl Loader for ScriptedLoader {
    fn prepare(
        &self,
        target: &Target,
        on_transfer: OnTransfer,
    ) -> BoxFuture<'static, Result<Prepared, VersionFailure>> {
        self.prepares.fetch_add(1, Ordering::SeqCst);
        let revision = target.commit.as_ref().map(ToString::to_string).unwrap_or_default();
        let hold = self.hold.clone();
        let resident_bytes = self.resident_bytes.unwrap_or(40);
        async move {
            on_transfer(Transferred { total_bytes: 100, completed_bytes: 40 });
            if let Some(hold) = hold {
                hold.notified().await;
            }
            let footprint = Footprint { resident_bytes, transient_bytes: 5, scratch_bytes: 1 };
            Ok(Prepared { folder: "/nowhere".into(), revision, footprint })
        }
        .boxed()
    }

    fn load(&self, target: &Target, _prepared: &Prepared) -> Result<Arc<dyn Engine>, VersionFailure> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        if self.broken.lock().unwrap().contains(&target.key.model) {
            return Err(VersionFailure {
                location: FailureLocation::Load,
                reason: "Corrupted".to_owned(),
                message: "model.safetensors is damaged".to_owned(),
                retryable: false,
                retry_after: None,
            });
        }
        self.alive.fetch_add(1, Ordering::SeqCst);
        Ok(Arc::new(ScriptedEngine { alive: Arc::clone(&self.alive) }))
    }
}

fn plan(models: &[(&str, &str, char)]) -> ServingPlan {
    let models: Vec<serde_json::Value> = models
        .iter()
        .map(|(name, load, pin)| {
            json!({"name": name, "task": "text-classification", "load": load, "keep": false, "instances": 1,
                "defaultVersion": "v1", "fallback": [], "versions": [{"name": "v1", "dtype": "auto", "weight": 100,
                    "artifacts": [{"source": "hf://o/r", "commit": pin.to_string().repeat(40)}]}]})
        })
        .collect();
    serde_json::from_value(json!({"format": 1, "generation": 1, "salt": "s", "models": models})).unwrap()
}

fn start(loader: ScriptedLoader, plan: ServingPlan) -> (Manager, Arc<ScriptedLoader>) {
    let loader = Arc::new(loader);
    let budget = Budget { bytes: 100, evict_above_percent: 100, evict_to_percent: 90 };
    let settings = Settings { minimum_residency: Duration::ZERO, ..Settings::with_budget(budget) };
    (Manager::start(loader.clone(), settings, plan), loader)
}

fn request(model: &str) -> Request {
    Request {
        model: model.parse().unwrap(),
        language_pair: None,
        version: None,
        subject: Subject::Named("s".to_owned()),
    }
}

fn job(text: &str) -> Job {
    Job::Classify(ClassifyJob { texts: vec![text.to_owned()] })
}

async fn until(mut is_done: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if is_done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it does not come");
}

#[tokio::test]
async fn many_requests_share_one_load_and_get_the_provenance() {
    let (manager, loader) = start(ScriptedLoader::default(), plan(&[("a", "Lazy", 'a')]));
    assert!(manager.is_ready());
    let leases = futures::future::join_all((0..50).map(|_| manager.acquire(request("a")))).await;
    for lease in &leases {
        let provenance = lease.as_ref().unwrap().provenance();
        assert_eq!(
            (provenance.version.as_str(), provenance.revision.as_str()),
            ("v1", "a".repeat(40).as_str())
        );
    }
    assert_eq!((loader.prepares.load(Ordering::SeqCst), loader.loads.load(Ordering::SeqCst)), (1, 1));
}

#[tokio::test]
async fn a_preloaded_version_makes_ready_and_shows_its_progress() {
    let hold = Arc::new(Notify::new());
    let loader = ScriptedLoader { hold: Some(Arc::clone(&hold)), ..ScriptedLoader::default() };
    let (manager, _loader) = start(loader, plan(&[("a", "Preload", 'a')]));
    let mut snapshots = manager.watch();
    let seen = snapshots.wait_for(|snapshot| snapshot.progress_percent == 36).await.unwrap().clone();
    assert_eq!(seen.versions[0].state, VersionState::Downloading);
    assert_eq!(seen.versions[0].progress.unwrap().completed_bytes, 40);
    assert!(!manager.is_ready());
    hold.notify_one();
    let done = snapshots.wait_for(|snapshot| snapshot.ready).await.unwrap().clone();
    assert_eq!((done.progress_percent, done.reserved_bytes, done.budget_bytes), (100, 41, 100));
    assert!(manager.is_ready());
    manager.drain();
    assert!(!manager.is_ready());
}

/// Row 40.
#[tokio::test]
async fn row_40_a_request_that_gives_up_stops_the_transfer() {
    let loader = ScriptedLoader { hold: Some(Arc::new(Notify::new())), ..ScriptedLoader::default() };
    let (manager, _loader) = start(loader, plan(&[("a", "Lazy", 'a')]));
    let waiting = tokio::time::timeout(Duration::from_millis(50), manager.acquire(request("a")));
    assert!(waiting.await.is_err());
    let mut snapshots = manager.watch();
    snapshots.wait_for(|snapshot| snapshot.versions[0].state == VersionState::Remote).await.unwrap();
}

#[tokio::test]
async fn a_failure_is_told_and_the_version_stays_failed() {
    let loader =
        ScriptedLoader { broken: Mutex::new(vec!["a".parse().unwrap()]), ..ScriptedLoader::default() };
    let (manager, _loader) = start(loader, plan(&[("a", "Lazy", 'a')]));
    let Err(AcquireError::Unavailable { attempts, retry_after: None, .. }) =
        manager.acquire(request("a")).await
    else {
        panic!("it was acquired")
    };
    assert_eq!(attempts[0].failure.reason, "Corrupted");
    let snapshot = manager.snapshot();
    assert_eq!(snapshot.versions[0].state, VersionState::FailedToLoad);
    assert_eq!(snapshot.reserved_bytes, 0);
}

#[tokio::test]
async fn a_changed_pin_is_swapped_under_load_and_the_old_engine_is_really_gone() {
    let (manager, loader) = start(ScriptedLoader::default(), plan(&[("a", "Preload", 'a')]));
    let old = manager.acquire(request("a")).await.unwrap();
    manager.apply(plan(&[("a", "Preload", 'b')]));
    let mut snapshots = manager.watch();
    let is_new = |snapshot: &Arc<crate::snapshot::Snapshot>| {
        let version = &snapshot.versions[0];
        version.state == VersionState::Loaded && version.revision == "b".repeat(40)
    };
    snapshots.wait_for(is_new).await.unwrap();
    assert_eq!(loader.alive.load(Ordering::SeqCst), 2, "the old one is leased");
    assert!(old.run(job("1"), Control::default()).await.is_ok());
    drop(old);
    until(|| loader.alive.load(Ordering::SeqCst) == 1).await;
    snapshots.wait_for(|snapshot| snapshot.reserved_bytes == 41).await.unwrap();
}

/// Row 24.
#[tokio::test]
async fn row_24_eviction_makes_room_and_waits_for_leases() {
    let models = [("a", "Lazy", 'a'), ("b", "Lazy", 'b'), ("c", "Lazy", 'c')];
    let (manager, loader) = start(ScriptedLoader::default(), plan(&models));
    let (a, b) = (manager.acquire(request("a")).await.unwrap(), manager.acquire(request("b")).await.unwrap());
    let third = manager.acquire(request("c"));
    let mut third = std::pin::pin!(third);
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut third).await.is_err(), "both are leased");
    drop(a);
    let c = third.await.unwrap();
    assert_eq!(c.provenance().model.as_str(), "c");
    assert_eq!(loader.alive.load(Ordering::SeqCst), 2);
    drop(b);
}

/// Row 40.
#[tokio::test]
async fn row_40_a_client_that_goes_away_stops_the_job_and_frees_its_instance() {
    let (manager, _loader) = start(ScriptedLoader::default(), plan(&[("a", "Lazy", 'a')]));
    let lease = manager.acquire(request("a")).await.unwrap();
    let endless = lease.run(job("1000000"), Control::default());
    assert!(tokio::time::timeout(Duration::from_millis(50), endless).await.is_err());
    let next = lease.run(job("1"), Control::default());
    let next = tokio::time::timeout(Duration::from_secs(1), next).await;
    assert!(next.is_ok_and(|output| output.is_ok()), "the instance is still taken");
}

/// Row 41.
#[tokio::test]
async fn row_41_an_engine_that_panics_serves_on_and_a_full_queue_refuses() {
    let (manager, _loader) = start(ScriptedLoader::default(), plan(&[("a", "Lazy", 'a')]));
    let lease = manager.acquire(request("a")).await.unwrap();
    let broken = lease.run(job("panic"), Control::default()).await;
    assert!(matches!(broken, Err(RunError::Panicked(text)) if text.contains("told to")));
    let jobs = (0..40).map(|_| lease.run(job("2"), Control::default()));
    let outcomes = futures::future::join_all(jobs).await;
    let refused = outcomes.iter().filter(|outcome| matches!(outcome, Err(RunError::Busy { .. }))).count();
    assert_eq!((refused, outcomes.iter().filter(|outcome| outcome.is_ok()).count()), (23, 17));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_request_costs_less_than_a_fifth_of_a_millisecond() {
    let (manager, _loader) = start(ScriptedLoader::default(), plan(&[("a", "Lazy", 'a')]));
    drop(manager.acquire(request("a")).await.unwrap());
    let mut times = Vec::new();
    for _ in 0..500 {
        let started = std::time::Instant::now();
        drop(manager.acquire(request("a")).await.unwrap());
        times.push(started.elapsed());
    }
    times.sort();
    let median = times[times.len() / 2];
    assert!(median < Duration::from_micros(200), "the median is {median:?}");
}

#[tokio::test]
async fn the_task_ends_with_its_last_user() {
    let (manager, loader) = start(ScriptedLoader::default(), plan(&[("a", "Lazy", 'a')]));
    let lease = manager.acquire(request("a")).await.unwrap();
    drop(manager);
    drop(lease);
    until(|| loader.alive.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test]
async fn what_nobody_uses_is_unloaded_by_itself_and_loaded_again_when_asked_for() {
    let mut plan = plan(&[("a", "Lazy", 'a')]);
    plan.models[0].idle_seconds = Some(1);
    let (manager, loader) = start(ScriptedLoader::default(), plan);
    for loads in [1, 2] {
        drop(manager.acquire(request("a")).await.unwrap());
        assert_eq!(loader.loads.load(Ordering::SeqCst), loads);
        until(|| loader.alive.load(Ordering::SeqCst) == 0).await;
    }
    let mut snapshots = manager.watch();
    let is_on_disk = |snapshot: &Arc<crate::snapshot::Snapshot>| {
        (snapshot.versions[0].state, snapshot.reserved_bytes) == (VersionState::Cached, 0)
    };
    snapshots.wait_for(is_on_disk).await.unwrap();
}

#[tokio::test]
async fn what_kept_answers_may_take_is_set_aside_and_idle_versions_make_room_for_it() {
    let mut plan = plan(&[("a", "Lazy", 'a'), ("b", "Lazy", 'b')]);
    let (manager, loader) = start(ScriptedLoader::default(), plan.clone());
    for model in ["a", "b"] {
        drop(manager.acquire(request(model)).await.unwrap());
    }
    let mut snapshots = manager.watch();
    snapshots.wait_for(|snapshot| snapshot.reserved_bytes == 81).await.unwrap();
    plan.models[0].result_cache =
        Some(PlannedResultCache { max_entries: 1, max_bytes: 30, time_to_live_seconds: 1 });
    manager.apply(plan.clone());
    let seen = snapshots.wait_for(|snapshot| snapshot.reserved_bytes == 71).await.unwrap().clone();
    assert_eq!((seen.budget_bytes, loader.alive.load(Ordering::SeqCst)), (100, 1));
    // What is left is all that there is for models.
    plan.models[0].result_cache =
        Some(PlannedResultCache { max_entries: 1, max_bytes: 60, time_to_live_seconds: 1 });
    manager.apply(plan);
    let Err(AcquireError::Unavailable { attempts, .. }) = manager.acquire(request("a")).await else {
        panic!("it was acquired")
    };
    assert_eq!(attempts[0].failure.reason, "TooLarge");
    snapshots.wait_for(|snapshot| snapshot.reserved_bytes == 60).await.unwrap();
}

#[tokio::test]
async fn the_memory_that_is_really_there_is_measured_and_bounds_loads() {
    let loader = Arc::new(ScriptedLoader::default());
    let budget = Budget { bytes: u64::MAX / 2, evict_above_percent: 100, evict_to_percent: 90 };
    let settings = Settings::with_budget(budget);
    let memory_watch = Some(MemoryWatch::new());
    let plan = plan(&[("a", "Lazy", 'a')]);
    let manager = Manager::start_watching(loader.clone(), settings, plan.clone(), memory_watch.clone());
    until(|| manager.memory().is_some()).await;
    let memory = manager.memory().unwrap();
    assert!(memory.process_bytes > 0 && memory.free_bytes <= memory.limit_bytes, "{memory:?}");
    // What fits is loaded, as before.
    drop(manager.acquire(request("a")).await.unwrap());
    // Far more than any machine has is refused before it is read.
    let huge = Arc::new(ScriptedLoader { resident_bytes: Some(1 << 60), ..ScriptedLoader::default() });
    let manager = Manager::start_watching(huge.clone(), settings, plan, memory_watch);
    until(|| manager.memory().is_some()).await;
    let Err(AcquireError::Unavailable { attempts, .. }) = manager.acquire(request("a")).await else {
        panic!("it was acquired")
    };
    assert_eq!(attempts[0].failure.reason, "NotEnoughFree");
    assert_eq!(huge.loads.load(Ordering::SeqCst), 0);
}
