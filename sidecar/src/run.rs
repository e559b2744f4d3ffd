//! The composition root: puts the parts together, serves until it is told to stop, and stops gracefully.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use indicatif::MultiProgress;
use jiff::Timestamp;
use kube::Client;
use ostler_artifacts::{ArtifactError, Cache, CollectionPolicy, FetchPolicy};
use ostler_crds::serving_plan::ServingPlan;
use ostler_hub::{HubClient, HubError, HubSettings};
use ostler_inference::processor::{InstructionsError, Processor};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{ComputeConfig, Config, DiskConfig, HubConfig, Origin};
use crate::housekeeping::{keep_house, start_scrub};
use crate::http;
use crate::http::server::{ServerBounds, serve};
use crate::manager::Manager;
use crate::memory_watch::MemoryWatch;
use crate::metrics::{Metrics, MetricsError};
use crate::model_loader::ModelLoader;
use crate::plan::{ReadError, follow, keep_resolving, read_manifest, read_plan, resolve};
use crate::report::{ClusterReporter, log_transitions, show_bars};
use crate::residency::{Budget, Settings};
use crate::state::{AppState, Limits};

/// Why the process cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The Hub's client cannot be made.
    #[error("the Hub's settings cannot be used")]
    Hub(#[source] HubError),
    /// The cache cannot be opened.
    #[error("the cache folder cannot be used")]
    Cache(#[source] ArtifactError),
    /// There is no plan.
    #[error("there is no plan to serve")]
    Plan(#[source] ReadError),
    /// The metrics cannot be set up.
    #[error("the metrics cannot be set up")]
    Metrics(#[source] MetricsError),
    /// The processor lacks the instructions that were asked for.
    #[error("--instructions names what this processor lacks")]
    Instructions(#[source] InstructionsError),
    /// The program's own path is unknown, so that pickles cannot be converted.
    #[error("the path of this program cannot be found; --allow-pickle=false does without it")]
    Program(#[source] std::io::Error),
}

/// Serves `config` on two listeners until `shutdown` is done, then lets requests in work end. `bars` is where
/// progress is drawn, where there is a terminal.
///
/// # Errors
/// See [`RunError`]. Nothing that happens while serving ends the process.
pub async fn run(
    listener: TcpListener,
    status_listener: TcpListener,
    shutdown: impl Future<Output = ()>,
    config: Config,
    bars: Option<MultiProgress>,
) -> Result<(), RunError> {
    let started_at = Timestamp::now();
    let hub = HubClient::new(hub_settings(&config.hub)).map_err(RunError::Hub)?;
    let metrics = Metrics::new().map_err(RunError::Metrics)?;
    let cache = open_cache(&config, metrics.clone()).map_err(RunError::Cache)?;
    let mut shutdown = pin!(shutdown);
    let (plan, budget) = tokio::select! {
        first = first_plan(&config.origin, &hub, &cache) => first?,
        // A Hub that does not answer must not hold up the end.
        () = &mut shutdown => return Ok(()),
    };
    let ComputeConfig { threads, instructions } = config.compute;
    let processor = Processor::new(threads, instructions).map_err(RunError::Instructions)?;
    let program = config.allow_pickle.then(std::env::current_exe).transpose().map_err(RunError::Program)?;
    let mut loader = ModelLoader::new(hub.clone(), cache.clone(), program, Arc::new(processor));
    if config.packed_cache {
        loader = loader.with_packed_cache(metrics.clone());
    }
    let settings = Settings::with_budget(budget);
    let manager = Manager::start_watching(Arc::new(loader), settings, plan, Some(MemoryWatch::new()));
    let state = AppState { manager: manager.clone(), limits: Limits::default(), metrics };

    let mut background = JoinSet::new();
    background.spawn(keep_house(cache.clone(), manager.clone()));
    match bars {
        Some(bars) => {
            let greeting =
                format!("serving on http://{}, status on http://{}", config.listen, config.status_listen);
            background.spawn(show_bars(bars, greeting, manager.watch()))
        }
        None => background.spawn(log_transitions(manager.watch())),
    };
    match config.origin {
        Origin::Pod { plan_file, plan_config_map, identity, .. } => {
            let client = client().await;
            if let Some(client) = client.clone() {
                let reporter = ClusterReporter::new(client, identity.clone(), started_at);
                background.spawn(reporter.run(manager.watch()));
            }
            background.spawn(follow(client, identity.namespace, plan_config_map, plan_file, manager.clone()));
        }
        Origin::Manifest { .. } => {
            background.spawn(keep_resolving(manager.clone(), hub, cache.root().to_owned()));
        }
    }

    let _scrub = config.disk.scrub.then(|| start_scrub(cache.clone(), manager.clone()));

    let (stop, stop_status) = (CancellationToken::new(), CancellationToken::new());
    let draining = CancellationToken::new();
    let bounds = ServerBounds::default();
    let serving = tokio::spawn(serve(
        listener,
        http::app(state.clone()),
        bounds.clone(),
        draining.clone(),
        stop.clone().cancelled_owned(),
    ));
    let showing = tokio::spawn(serve(
        status_listener,
        http::status_app(state),
        bounds,
        draining.clone(),
        stop_status.clone().cancelled_owned(),
    ));
    tracing::info!(budget_bytes = budget.bytes, "serving");
    shutdown.await;
    tracing::info!("draining");
    manager.drain();
    draining.cancel();
    tokio::time::sleep(config.grace).await;
    stop.cancel();
    // The status listener answers until the last request has ended.
    let _ = serving.await;
    stop_status.cancel();
    let _ = showing.await;
    background.shutdown().await;
    Ok(())
}

async fn first_plan(
    origin: &Origin,
    hub: &HubClient,
    cache: &Cache,
) -> Result<(ServingPlan, Budget), RunError> {
    match origin {
        Origin::Pod { plan_file, budget, .. } => Ok((read_plan(plan_file).map_err(RunError::Plan)?, *budget)),
        Origin::Manifest { file } => {
            let mut manifest = read_manifest(file).map_err(RunError::Plan)?;
            resolve(&mut manifest.plan, hub, cache.root()).await;
            Ok((manifest.plan, manifest.budget))
        }
    }
}

/// The way to the API server; serving goes on without it.
async fn client() -> Option<Client> {
    match Client::try_default().await {
        Ok(client) => Some(client),
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::error!(
                error,
                "no way to the API server: nothing is reported, and new plans come by the file"
            );
            None
        }
    }
}

fn open_cache(config: &Config, metrics: Metrics) -> Result<Cache, ArtifactError> {
    let DiskConfig { keep_free_percent, limit_bytes, .. } = config.disk;
    let cache = Cache::open(config.cache_folder.clone())?
        .with_policy(FetchPolicy { limit_bytes, ..FetchPolicy::default() })
        .with_collection(keep_free_percent.map(CollectionPolicy::keeping_free))
        .watched(Arc::new(move |event| metrics.observe_cache(event)));
    Ok(cache)
}

fn hub_settings(config: &HubConfig) -> HubSettings {
    let mut settings = HubSettings::new(config.endpoint.clone());
    settings.token_file.clone_from(&config.token_file);
    settings.allowed_redirect_hosts.extend(config.redirect_hosts.iter().cloned());
    settings
}
