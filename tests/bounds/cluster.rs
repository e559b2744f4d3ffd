//! The control plane, a hub, and the operator as a process with the account and the roles that the chart gives it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::Client;
use ostler_test_hub::TestHub;
use ostler_tests::control_plane::{ControlPlane, OPERATOR_ACCOUNT, OPERATOR_NAMESPACE, free_ports};
use ostler_tests::guard::Guarded;
use ostler_tests::wait::eventually;

use crate::Failure;
use crate::fleet::{self, Commits};
use ostler_tests::machine::{Memory, memory};

/// The small models that the example's manifest names.
const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/hub");

/// Everything that the measurements in a cluster need.
pub(crate) struct Cluster {
    /// The API server's clients speak as its administrator.
    pub(crate) client: Client,
    /// The small models, and those that are only ever pinned.
    pub(crate) hub: TestHub,
    /// What the fleet's repositories are pinned to.
    pub(crate) commits: Commits,
    /// The folder of the programs under test.
    pub(crate) programs: PathBuf,
    // Before the control plane, whose folder it writes its log into.
    operator: Option<Operator>,
    /// The control plane.
    pub(crate) control_plane: ControlPlane,
}

/// A running operator.
struct Operator {
    process: Guarded,
    address: String,
}

impl Cluster {
    /// Starts all of it.
    pub(crate) async fn start(programs: PathBuf) -> Result<Self, Failure> {
        let control_plane = ControlPlane::start().await;
        let client = control_plane.client().await;
        let hub = TestHub::start().await?;
        hub.push_all(Path::new(EXAMPLES))?;
        let commits = fleet::push_repositories(&hub)?;
        let mut cluster = Self { client, hub, commits, programs, operator: None, control_plane };
        cluster.restart_operator().await;
        Ok(cluster)
    }

    /// Ends the operator, where one runs, and starts another, which is ready and leads when this returns.
    pub(crate) async fn restart_operator(&mut self) {
        drop(self.operator.take());
        let control_plane = &self.control_plane;
        let token = control_plane.token(OPERATOR_NAMESPACE, OPERATOR_ACCOUNT, None).await;
        let kubeconfig = control_plane.kubeconfig_with_token("operator", &token);
        let [port] = free_ports();
        let arguments = [
            format!("KUBECONFIG={}", kubeconfig.display()),
            "RUST_LOG=info".to_owned(),
            self.programs.join("ostler-operator").display().to_string(),
            "run".to_owned(),
            format!("--hub-endpoint={}", self.hub.endpoint()),
            "--sidecar-image=ostler-sidecar:bounds".to_owned(),
            "--allow-pickle=true".to_owned(),
            format!("--listen=127.0.0.1:{port}"),
            format!("--namespace-of-lease={OPERATOR_NAMESPACE}"),
            "--identity=bounds".to_owned(),
        ];
        let log = control_plane.folder().join("operator.log");
        let process = Guarded::start(Path::new("env"), &arguments, &log, None);
        let address = format!("http://127.0.0.1:{port}");
        answers(&format!("{address}/readyz"), "the operator to be ready").await;
        self.operator = Some(Operator { process, address });
    }

    /// The operator's memory now.
    pub(crate) fn operator_memory(&self) -> Result<Memory, Failure> {
        Ok(memory(self.operator.as_ref().ok_or("no operator runs")?.process.process_id())?)
    }

    /// The sum of one of the operator's metrics over its labels.
    pub(crate) async fn operator_metric(&self, name: &str) -> Result<f64, Failure> {
        let address = &self.operator.as_ref().ok_or("no operator runs")?.address;
        let text = reqwest::get(format!("{address}/metrics")).await?.error_for_status()?.text().await?;
        let samples = text.lines().filter(|line| line.starts_with(name));
        Ok(samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }
}

/// Waits until an address answers that all is well.
pub(crate) async fn answers(address: &str, what: &str) {
    eventually(what, async || {
        let request = reqwest::Client::new().get(address).timeout(Duration::from_secs(1)).send();
        request.await.ok()?.error_for_status().ok()
    })
    .await;
}
