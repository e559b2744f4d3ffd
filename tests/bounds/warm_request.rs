//! What a warm request costs beside its computation, through HTTP: the time of a request to the sidecar's router whose
//! engine computes nothing, less that of the same request to a bare route of the same server.
//!
//! So it holds reading the form, routing, the lease, the hand-over to a blocking thread, the metrics, the log line and
//! the headers of the answer.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use axum::routing::post;
use axum::{Json, Router};
use futures::FutureExt;
use futures::future::BoxFuture;
use ostler_crds::serving_plan::ServingPlan;
use ostler_inference::engine::{Control, Engine, EngineError, Job, LabelScore, Output};
use ostler_sidecar::http::server::{ServerBounds, serve};
use ostler_sidecar::loader::{Loader, OnTransfer, Prepared};
use ostler_sidecar::manager::Manager;
use ostler_sidecar::metrics::Metrics;
use ostler_sidecar::residency::{Budget, Footprint, Settings};
use ostler_sidecar::state::{AppState, Limits};
use ostler_sidecar::target::{Target, VersionFailure};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::Failure;
use ostler_tests::percentile::{percentile, sorted};

use crate::measurement::Measurement;

/// The bound, in milliseconds.
const BOUND: f64 = 0.2;
/// Requests to each of the two that count.
const ROUNDS: usize = 10_000;
/// Requests to each of the two before them.
const WARM_UP: usize = 1_000;
/// Models in the plan, as many as plans have at most.
const MODELS: usize = 32;

/// Computes nothing, so that everything measured is overhead.
struct Idle;

impl Engine for Idle {
    fn run(&self, job: &Job, _control: &Control) -> Result<Output, EngineError> {
        let count = if let Job::Classify(job) = job { job.texts.len() } else { 0 };
        let label = || vec![LabelScore { label: "de".to_owned(), score: 0.9 }];
        Ok(Output::Labels(std::iter::repeat_with(label).take(count).collect()))
    }

    fn canary(&self) -> Result<(), EngineError> {
        Ok(())
    }
}

impl Loader for Idle {
    fn prepare(&self, _: &Target, _: OnTransfer) -> BoxFuture<'static, Result<Prepared, VersionFailure>> {
        let footprint = Footprint { resident_bytes: 1, transient_bytes: 0, scratch_bytes: 0 };
        async move { Ok(Prepared { folder: "/".into(), revision: "a".repeat(40), footprint }) }.boxed()
    }

    fn load(&self, _: &Target, _: &Prepared) -> Result<Arc<dyn Engine>, VersionFailure> {
        Ok(Arc::new(Self))
    }
}

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
    let models: Vec<_> = (0..MODELS).map(model).collect();
    serde_json::from_value(json!({"format": 1, "generation": 1, "salt": "default/bounds", "models": models}))
}

async fn sidecar() -> Result<Router, Failure> {
    let budget = Budget { bytes: 1 << 30, evict_above_percent: 80, evict_to_percent: 70 };
    let manager = Manager::start(Arc::new(Idle), Settings::with_budget(budget), plan()?);
    manager.watch().wait_for(|snapshot| snapshot.ready).await?;
    Ok(ostler_sidecar::http::app(AppState { manager, limits: Limits::default(), metrics: Metrics::new()? }))
}

/// Reads the body and answers what the sidecar answers.
fn bare() -> Router {
    let answer = |_: Bytes| async { Json(json!([{"language": "de", "confidence": 90.0}])) };
    Router::new().route("/detect", post(answer))
}

async fn start(router: Router) -> Result<(SocketAddr, JoinHandle<()>), Failure> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let (bounds, draining) = (ServerBounds::default(), CancellationToken::new());
    Ok((address, tokio::spawn(serve(listener, router, bounds, draining, std::future::pending()))))
}

/// A client that does next to nothing itself, so that little is added to both times.
struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    fn connect(address: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; 16 * 1024] })
    }

    /// The milliseconds from the first byte sent to the last byte received.
    fn ask(&mut self, round: usize) -> Result<f64, Failure> {
        let body = format!("q=Guten+Morgen&model=m{}", round % MODELS);
        let request = format!(
            "POST /detect HTTP/1.1\r\nhost: bounds\r\nx-ostler-subject: user-{round}\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let started = Instant::now();
        self.stream.write_all(request.as_bytes())?;
        let mut filled = 0;
        loop {
            let read = self.stream.read(self.buffer.get_mut(filled..).unwrap_or_default())?;
            filled += read;
            let answer = self.buffer.get(..filled).unwrap_or_default();
            if read == 0 || is_complete(answer) {
                let elapsed = started.elapsed().as_secs_f64() * 1e3;
                return if answer.starts_with(b"HTTP/1.1 200") {
                    Ok(elapsed)
                } else {
                    Err(format!("the answer is {:?}", String::from_utf8_lossy(answer)).into())
                };
            }
        }
    }
}

/// Whether head and body of an answer are there in full.
fn is_complete(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    length.is_some_and(|length: usize| body.len() >= length)
}

fn compare(sidecar: SocketAddr, bare: SocketAddr) -> Result<(Vec<f64>, Vec<f64>), Failure> {
    let (mut sidecar, mut bare) = (Client::connect(sidecar)?, Client::connect(bare)?);
    let (mut with, mut without) = (Vec::with_capacity(ROUNDS), Vec::with_capacity(ROUNDS));
    // One after the other in turn, so that whatever else the machine does falls on both alike.
    for round in 0..WARM_UP + ROUNDS {
        let times = (sidecar.ask(round)?, bare.ask(round)?);
        if round >= WARM_UP {
            with.push(times.0);
            without.push(times.1);
        }
    }
    Ok((sorted(with), sorted(without)))
}

/// Measures it.
pub(crate) async fn measure() -> Result<Measurement, Failure> {
    // The log is part of the cost, and as long as in a pod; only nobody reads it.
    let log = Arc::new(File::options().write(true).open("/dev/null")?);
    tracing_subscriber::fmt().json().flatten_event(true).with_span_list(false).with_writer(log).init();
    let (sidecar, serving) = start(sidecar().await?).await?;
    let (bare, serving_bare) = start(bare()).await?;
    let (with, without) = tokio::task::spawn_blocking(move || compare(sidecar, bare)).await??;
    serving.abort();
    serving_bare.abort();
    let overhead = |percent: usize| percentile(&with, percent) - percentile(&without, percent);
    Ok(Measurement {
        what: "warm request overhead",
        bound: BOUND,
        measured: overhead(50),
        unit: "ms",
        remark: format!(
            "medians of {ROUNDS} over HTTP, {:.3} ms less {:.3} ms of a bare route; 99th percentiles {:.3} ms less {:.3} ms",
            percentile(&with, 50),
            percentile(&without, 50),
            percentile(&with, 99),
            percentile(&without, 99),
        ),
    })
}
