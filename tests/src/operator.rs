//! The operator as its program runs it, inside the test: with the chart's account, on loopback, in a runtime of its own
//! that can be ended as a process is.

mod interruption;

use std::net::{Ipv4Addr, SocketAddr};

use kube::client::ClientBuilder;
use ostler_hub::HubSettings;
use ostler_operator::leadership::LeaseSettings;
use ostler_operator::run::{Config, RunError, run};
use ostler_operator::settings::Settings;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::control_plane::ControlPlane;

pub use interruption::Interruption;

/// A running operator. Dropping it ends it at once, as the death of its process would.
#[derive(Debug)]
pub struct Operator {
    address: SocketAddr,
    shutdown: CancellationToken,
    task: Option<JoinHandle<Result<(), RunError>>>,
    runtime: Option<Runtime>,
}

/// What an operator is started with.
#[derive(Debug)]
pub struct OperatorBuilder {
    namespace: String,
    hub_endpoint: String,
    lease: Option<LeaseSettings>,
    interruption: Option<Interruption>,
}

impl OperatorBuilder {
    /// An operator for one namespace, alone.
    #[must_use]
    pub fn new(namespace: &str, hub_endpoint: String) -> Self {
        Self { namespace: namespace.to_owned(), hub_endpoint, lease: None, interruption: None }
    }

    /// One of several, which elect a leader.
    #[must_use]
    pub fn lease(mut self, lease: LeaseSettings) -> Self {
        self.lease = Some(lease);
        self
    }

    /// Cut off from the API server once a certain write has been made.
    #[must_use]
    pub fn interrupted_by(mut self, interruption: Interruption) -> Self {
        self.interruption = Some(interruption);
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// When no listener, client or runtime can be made.
    pub async fn start(self, control_plane: &ControlPlane) -> Operator {
        let endpoint = self.hub_endpoint.parse().expect("the hub's endpoint is a URL");
        let settings = Settings {
            sidecar_image: "ostler-sidecar:test".to_owned(),
            hub_endpoint: endpoint,
            hub_redirect_hosts: Vec::new(),
            host_path_prefix: Some("/var/lib/ostler".to_owned()),
            allow_pickle: true,
            sidecar_cluster_role: "ostler-sidecar".to_owned(),
        };
        let hub = HubSettings::new(settings.hub_endpoint.clone());
        let config = Config { settings, hub, lease: self.lease, watch_namespace: Some(self.namespace) };
        let mut connection = control_plane.operator_config().await;
        // As the program: requests are tried again by the operator's own rules.
        connection.default_retry = false;
        let interruption = self.interruption.unwrap_or_else(Interruption::never);

        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime can be made");
        let shutdown = CancellationToken::new();
        let until = shutdown.clone();
        let (sender, address) = tokio::sync::oneshot::channel();
        let task = runtime.spawn(async move {
            let builder = ClientBuilder::try_from(connection).expect("a client can be made");
            let client = builder.with_layer(&interruption).build();
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
            sender
                .send(listener.local_addr().expect("a bound socket has an address"))
                .expect("the test waits");
            run(client, listener, config, until).await
        });
        let address = address.await.expect("the operator has bound its listener");
        Operator { address, shutdown, task: Some(task), runtime: Some(runtime) }
    }
}

impl Operator {
    /// The answer of its health and metrics listener.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn get(&self, path: &str) -> String {
        let answer =
            reqwest::get(format!("http://{}{path}", self.address)).await.expect("the operator answers");
        answer.text().await.expect("the operator's answer is text")
    }

    /// The sum of a metric over its labels.
    ///
    /// # Panics
    /// When the operator does not answer.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").await;
        let samples = text.lines().filter(|line| line.starts_with(name));
        samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Asks it to stop, as SIGTERM does, and waits for its end.
    ///
    /// # Panics
    /// When it ends with an error.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        let task = self.task.take().expect("an operator is stopped once");
        task.await.expect("the operator does not panic").expect("the operator ends well");
    }

    /// Ends it at once, as SIGKILL does.
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
