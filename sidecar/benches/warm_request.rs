//! What a request pays beside its computation: routing, the lease, an instance's slot, and giving all of it back.
//!
//! `cargo bench -p ostler-sidecar` prints the median and the 99th percentile; the bound is 0.2 ms.
#![expect(clippy::print_stdout, reason = "a benchmark says what it measured")]

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use ostler_crds::serving_plan::ServingPlan;
use ostler_inference::engine::{ClassifyJob, Control, Engine, EngineError, Job, Output};
use ostler_sidecar::loader::{Loader, OnTransfer, Prepared};
use ostler_sidecar::manager::Manager;
use ostler_sidecar::residency::{Budget, Footprint, Settings};
use ostler_sidecar::routing::Request;
use ostler_sidecar::target::{Target, VersionFailure};
use serde_json::json;

const ROUNDS: usize = 20_000;

/// Computes nothing, so that everything measured is overhead.
struct Idle;

impl Engine for Idle {
    fn run(&self, _job: &Job, _control: &Control) -> Result<Output, EngineError> {
        Ok(Output::Labels(Vec::new()))
    }

    fn canary(&self) -> Result<(), EngineError> {
        Ok(())
    }
}

impl Loader for Idle {
    fn prepare(
        &self,
        _target: &Target,
        _: OnTransfer,
    ) -> BoxFuture<'static, Result<Prepared, VersionFailure>> {
        let footprint = Footprint { resident_bytes: 1, transient_bytes: 0, scratch_bytes: 0 };
        async move { Ok(Prepared { folder: "/".into(), revision: "a".repeat(40), footprint }) }.boxed()
    }

    fn load(&self, _target: &Target, _prepared: &Prepared) -> Result<Arc<dyn Engine>, VersionFailure> {
        Ok(Arc::new(Self))
    }
}

/// As large as plans get in practice: 32 models of two versions.
fn plan() -> Result<ServingPlan, serde_json::Error> {
    let version = |name: &str, weight: u8, repository: usize| {
        json!({"name": name, "dtype": "auto", "weight": weight, "artifacts": [
            {"source": format!("hf://o/r{repository}"), "commit": "a".repeat(40)}]})
    };
    let model = |index: usize| {
        json!({"name": format!("m{index}"), "task": "text-classification", "load": "Preload", "keep": true,
            "instances": 4, "defaultVersion": "v1", "fallback": ["v1"],
            "versions": [version("v1", 90, index), version("v2", 10, index + 100)]})
    };
    let models: Vec<_> = (0..32).map(model).collect();
    serde_json::from_value(json!({"format": 1, "generation": 1, "salt": "default/bench", "models": models}))
}

async fn measure() -> Result<Vec<Duration>, Box<dyn Error>> {
    let budget = Budget { bytes: 1 << 30, evict_above_percent: 80, evict_to_percent: 70 };
    let manager = Manager::start(Arc::new(Idle), Settings::with_budget(budget), plan()?);
    manager.watch().wait_for(|snapshot| snapshot.ready).await?;
    let mut times = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        let request = Request {
            model: format!("m{}", round % 32).parse()?,
            language_pair: None,
            version: None,
            subject: format!("user-{round}"),
        };
        let started = Instant::now();
        let lease = manager.acquire(request).await?;
        lease.run(Job::Classify(ClassifyJob { texts: Vec::new() }), Control::default()).await?;
        drop(lease);
        times.push(started.elapsed());
    }
    times.sort_unstable();
    Ok(times)
}

fn main() -> Result<(), Box<dyn Error>> {
    let times = tokio::runtime::Runtime::new()?.block_on(measure())?;
    let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default();
    println!("warm request: median {:?}, 99th percentile {:?}", at(50), at(99));
    Ok(())
}
