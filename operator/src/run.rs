//! The composition root: client, election, watches, controller, shutdown.
//!
//! What the operator asks of the API server (its RBAC must allow exactly this):
//!
//! | group | resource | verbs |
//! |---|---|---|
//! | ostler.dev | modeldeployments | get, list, watch |
//! | ostler.dev | modeldeployments/status | patch |
//! | ostler.dev | modelreplicas | get, list, watch |
//! | apps | deployments | get, list, watch, create, patch |
//! | core | configmaps, services, serviceaccounts | get, list, watch, create, patch |
//! | core | serviceaccounts | delete |
//! | core | pods | get, list, watch |
//! | rbac.authorization.k8s.io | rolebindings | get, list, watch, create, patch, delete |
//! | rbac.authorization.k8s.io | clusterroles, the sidecar's by name | bind |
//! | policy | poddisruptionbudgets | get, list, watch, create, patch |
//! | events.k8s.io | events | create, patch |
//! | coordination.k8s.io | leases, in its own namespace | get, create, update |

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::Client;
use kube::runtime::controller::{self, Controller};
use kube::runtime::events::{Recorder, Reporter};
use ostler_hub::{HubClient, HubError, HubSettings};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::context::{Context, Memory};
use crate::health::{Health, RESYNC};
use crate::hub::Hub;
use crate::leadership::{Election, Fence, LeaseSettings};
use crate::metrics::Metrics;
use crate::names::FIELD_MANAGER;
use crate::reconcile::{error_policy, reconcile};
use crate::settings::Settings;
use crate::{admin, watches};

/// `ModelDeployment`s that are reconciled at once.
const CONCURRENCY: u16 = 16;
/// How long reconciles under way may take to end at shutdown.
const DRAIN: Duration = Duration::from_secs(10);

/// Everything that the operator is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// The administrator's settings.
    pub settings: Settings,
    /// How the operator itself reaches the Hub; the endpoint is the one in `settings`.
    pub hub: HubSettings,
    /// How the leader is elected; `None` where this replica is the only one.
    pub lease: Option<LeaseSettings>,
    /// The only namespace to look at; `None` for all.
    pub watch_namespace: Option<String>,
}

/// Why the operator ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The metrics could not be set up.
    #[error("the metrics could not be registered")]
    Metrics(#[source] prometheus::Error),
    /// The Hub's client could not be made.
    #[error("the client of the Hub could not be made")]
    Hub(#[source] HubError),
    /// The listener failed.
    #[error("health and metrics can no longer be served")]
    Admin(#[source] std::io::Error),
    /// The watches ended though nobody asked them to.
    #[error("the watches have ended")]
    WatchesEnded,
}

/// Runs the operator until `shutdown`: health and metrics on `listener`, reconciles while this replica leads.
///
/// # Errors
/// [`RunError`]; a failing API server or Hub is none of them.
pub async fn run(
    client: Client,
    listener: TcpListener,
    config: Config,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    let metrics = Arc::new(Metrics::new().map_err(RunError::Metrics)?);
    let health = Arc::new(Health::default());
    let hub_client = HubClient::new(config.hub.clone()).map_err(RunError::Hub)?;
    let hub = Arc::new(Hub::new(Arc::new(hub_client), Arc::clone(&metrics)));
    // The election and the health answers outlive the reconciles, so that these end under a valid lead.
    let last = CancellationToken::new();
    let _end = last.clone().drop_guard();
    let mut served =
        tokio::spawn(admin::serve(listener, Arc::clone(&health), Arc::clone(&metrics), last.clone()));
    let (sender, leads) = watch::channel(config.lease.is_none());
    let (fence, election) = match config.lease.clone() {
        None => (Fence::open(), tokio::spawn(std::future::pending())),
        Some(settings) => {
            let fence = Fence::closed(Instant::now());
            let election = Election::new(client.clone(), settings, fence.clone(), Arc::clone(&health));
            (fence, tokio::spawn(election.run(sender, last.clone())))
        }
    };
    let parts = Parts { client, config, hub, fence, metrics, health };
    let result = tokio::select! {
        result = lead(&parts, leads, &shutdown) => result,
        served = &mut served => match served {
            Ok(Err(error)) => Err(RunError::Admin(error)),
            _ => Ok(()),
        },
    };
    last.cancel();
    if parts.config.lease.is_some() && timeout(DRAIN, election).await.is_err() {
        tracing::warn!("the lease was not given back in time");
    }
    result
}

struct Parts {
    client: Client,
    config: Config,
    hub: Arc<Hub>,
    fence: Fence,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
}

/// Waits for the lead, reconciles while it lasts, and waits again.
async fn lead(
    parts: &Parts,
    mut leads: watch::Receiver<bool>,
    shutdown: &CancellationToken,
) -> Result<(), RunError> {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            found = leads.wait_for(|leads| *leads) => if found.is_err() { return Ok(()) },
        }
        tracing::info!("this replica leads");
        parts.metrics.leader.set(1);
        parts.health.leads(true, Instant::now());
        // A lost lead drops the controller and with it every reconcile under way.
        let ended = tokio::select! {
            ended = control(parts, shutdown) => Some(ended),
            lost = leads.wait_for(|leads| !*leads) => { drop(lost); None }
        };
        parts.metrics.leader.set(0);
        parts.health.leads(false, Instant::now());
        match ended {
            Some(_) if shutdown.is_cancelled() => return Ok(()),
            Some(()) => return Err(RunError::WatchesEnded),
            None => tracing::warn!("this replica no longer leads"),
        }
    }
}

/// Watches and reconciles until told to stop; then ends what is under way.
async fn control(parts: &Parts, shutdown: &CancellationToken) {
    let namespace = parts.config.watch_namespace.as_deref();
    let watches::Watches { stores, changed, touched } =
        watches::start(&parts.client, namespace, &parts.metrics);
    let reporter = Reporter { controller: FIELD_MANAGER.to_owned(), instance: instance(&parts.config) };
    let context = Arc::new(Context {
        client: parts.client.clone(),
        stores: stores.clone(),
        settings: parts.config.settings.clone(),
        hub: Arc::clone(&parts.hub),
        fence: parts.fence.clone(),
        metrics: Arc::clone(&parts.metrics),
        health: Arc::clone(&parts.health),
        recorder: Recorder::new(parts.client.clone(), reporter),
        memory: Memory::default(),
    });
    let memory_of = Arc::clone(&context);
    let reader = stores.model_deployments.clone();
    let (delivered, all) = watch::channel(false);
    let reconcile_when_delivered = move |object, context: Arc<Context>| {
        let mut all = all.clone();
        async move {
            // Before every watch has delivered, an object that is there would look absent.
            drop(all.wait_for(|all| *all).await);
            reconcile(object, context).await
        }
    };
    let reconciles = Controller::for_stream(changed.map(Ok), reader)
        .reconcile_on(touched)
        .with_config(controller::Config::default().concurrency(CONCURRENCY))
        .graceful_shutdown_on(shutdown.clone().cancelled_owned())
        .run(reconcile_when_delivered, error_policy, context)
        .for_each(|_| std::future::ready(()));
    let keep_house = async {
        if stores.delivered().await {
            delivered.send_replace(true);
            let objects = stores.model_deployments.clone();
            parts.health.synced(move || objects.len());
        }
        loop {
            sleep(RESYNC).await;
            memory_of.memory.keep(&stores.uids());
        }
    };
    let reconciles = async {
        tokio::select! {
            () = reconciles => {}
            () = keep_house => {}
        }
    };
    tokio::pin!(reconciles);
    tokio::select! {
        () = &mut reconciles => return,
        () = shutdown.cancelled() => {}
    }
    if timeout(DRAIN, reconciles).await.is_err() {
        tracing::warn!("reconciles under way did not end in time");
    }
}

fn instance(config: &Config) -> Option<String> {
    config.lease.as_ref().map(|lease| lease.identity.clone())
}
