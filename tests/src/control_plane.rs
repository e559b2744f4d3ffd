//! A Kubernetes control plane on loopback: etcd, kube-apiserver and kube-controller-manager.
//!
//! One is shared by all tests of a program, since its start takes seconds; each test has a namespace of its own.

mod certificates;
mod chart;
mod identity;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Output;

use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::sync::OnceCell;

use crate::audit::{self, Request};
use crate::guard::Guarded;
use crate::wait::eventually;

pub use chart::{OPERATOR_ACCOUNT, OPERATOR_NAMESPACE, OPERATOR_USER};

/// Controllers whose work the tests look at; the others would only use the processor.
const CONTROLLERS: &str = "garbage-collector-controller,namespace-controller,deployment-controller,\
                           replicaset-controller,serviceaccount-controller,disruption-controller";

/// Who the API server knows by a fixed token and lets do everything: the test, and the kube-controller-manager.
const ADMINISTRATORS: [&str; 2] = ["admin", "controllers"];

/// A running control plane. Dropping it, or the end of this process, stops it and removes its files.
#[derive(Debug)]
pub struct ControlPlane {
    folder: PathBuf,
    binaries: PathBuf,
    port: u16,
    // In this order: the last one removes the folder.
    controllers: Option<Guarded>,
    _api_server: Guarded,
    _etcd: Guarded,
}

static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();

impl ControlPlane {
    /// The control plane of this process, with Ostler's definitions applied; started by the first to ask.
    pub async fn shared() -> &'static Self {
        SHARED.get_or_init(Self::start).await
    }

    /// Starts a control plane and applies Ostler's definitions.
    ///
    /// # Panics
    /// When a program is missing or does not become ready.
    pub async fn start() -> Self {
        let binaries =
            tokio::task::spawn_blocking(binaries).await.expect("finding the programs does not panic");
        let folder = tempfile::tempdir().expect("a temporary folder can be made").keep();
        let [client_port, peer_port, port] = free_ports();
        let path = |name: &str| folder.join(name).display().to_string();
        certificates::write(&folder);
        let tokens = ADMINISTRATORS.map(|user| format!("{user}-token,{user},{user},\"system:masters\"\n"));
        write(&folder, "tokens.csv", &tokens.concat());
        write(&folder, "audit-policy.yaml", audit::POLICY);
        for user in ADMINISTRATORS {
            let text = kubeconfig(&folder, port, user, &format!("{user}-token"));
            write(&folder, &format!("{user}.kubeconfig"), &text);
        }

        let start = |program: &str, arguments: &[(&str, String)], owned: Option<&Path>| {
            let arguments: Vec<String> =
                arguments.iter().map(|(name, value)| format!("--{name}={value}")).collect();
            Guarded::start(&binaries.join(program), &arguments, &folder.join(format!("{program}.log")), owned)
        };
        let etcd_address = format!("http://127.0.0.1:{client_port}");
        let peer_address = format!("http://127.0.0.1:{peer_port}");
        let etcd = start(
            "etcd",
            &[
                ("data-dir", path("etcd")),
                // The data does not outlive the test, so nothing is lost when it was not yet on disk.
                ("unsafe-no-fsync", "true".to_owned()),
                ("listen-client-urls", etcd_address.clone()),
                ("advertise-client-urls", etcd_address.clone()),
                ("listen-peer-urls", peer_address.clone()),
                ("initial-advertise-peer-urls", peer_address.clone()),
                ("initial-cluster", format!("default={peer_address}")),
            ],
            Some(&folder),
        );
        let api_server = start(
            "kube-apiserver",
            &[
                ("etcd-servers", etcd_address),
                ("bind-address", "127.0.0.1".to_owned()),
                // Endpoints of the Service `kubernetes` may not be loopback; nothing connects to this one.
                ("advertise-address", "192.0.2.1".to_owned()),
                ("secure-port", port.to_string()),
                ("cert-dir", path("api-server")),
                ("tls-cert-file", path("server.crt")),
                ("tls-private-key-file", path("server.key")),
                ("token-auth-file", path("tokens.csv")),
                ("service-account-issuer", "https://kubernetes.default.svc".to_owned()),
                ("service-account-key-file", path("service-account.pub")),
                ("service-account-signing-key-file", path("service-account.key")),
                ("service-cluster-ip-range", "10.96.0.0/16".to_owned()),
                ("authorization-mode", "RBAC".to_owned()),
                ("audit-policy-file", path("audit-policy.yaml")),
                ("audit-log-path", path("audit.log")),
            ],
            None,
        );
        let mut control_plane =
            Self { folder, binaries, port, controllers: None, _api_server: api_server, _etcd: etcd };
        control_plane.wait_for_api_server().await;
        // Before the garbage collector starts: kinds that come later are unknown to it for up to half a minute.
        control_plane.apply_definitions().await;
        control_plane.start_controllers().await;
        chart::install(&control_plane).await;
        control_plane
    }

    async fn wait_for_api_server(&self) {
        let client = self.client().await;
        eventually("the API server to be ready", async || {
            let request = http::Request::get("/readyz").body(Vec::new()).ok()?;
            client.request_text(request).await.ok()
        })
        .await;
    }

    async fn start_controllers(&mut self) {
        let path = |name: &str| self.folder.join(name).display().to_string();
        let arguments = [
            ("kubeconfig", path("controllers.kubeconfig")),
            ("controllers", CONTROLLERS.to_owned()),
            ("service-account-private-key-file", path("service-account.key")),
            ("root-ca-file", path("ca.crt")),
            ("use-service-account-credentials", "true".to_owned()),
            ("leader-elect", "false".to_owned()),
            // The usual 20 requests a second would be what a test of many objects waits for.
            ("kube-api-qps", "500".to_owned()),
            ("kube-api-burst", "1000".to_owned()),
            ("secure-port", "0".to_owned()),
        ];
        let program = "kube-controller-manager";
        self.controllers = Some(start(&self.binaries, &self.folder, program, &arguments, None));
        // Pods need the account `default`, which proves that the controllers work.
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await, "default");
        eventually("the controllers to work", async || accounts.get_opt("default").await.ok()?).await;
    }

    async fn apply_definitions(&self) {
        let client = self.client().await;
        let api: Api<CustomResourceDefinition> = Api::all(client);
        for definition in ostler_crds::definitions::definitions() {
            let name = definition.metadata.name.clone().expect("a definition has a name");
            api.create(&PostParams::default(), &definition)
                .await
                .expect("the API server accepts the definition");
            eventually("the definition to be established", async || {
                let status = api.get(&name).await.ok()?.status?;
                let conditions = status.conditions.unwrap_or_default();
                conditions.iter().any(|one| one.type_ == "Established" && one.status == "True").then_some(())
            })
            .await;
        }
    }

    /// The folder of the control plane's files, which goes with it, and takes others along.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The administrator's kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("admin.kubeconfig")
    }

    /// Writes a kubeconfig for the holder of a token, as a program of its own needs it; it goes with the control plane.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn kubeconfig_with_token(&self, user: &str, token: &str) -> PathBuf {
        let name = format!("{user}.kubeconfig");
        write(&self.folder, &name, &kubeconfig(&self.folder, self.port, user, token));
        self.folder.join(name)
    }

    /// Makes a namespace whose name begins with `purpose` and is not taken.
    ///
    /// # Panics
    /// When the API server refuses it.
    pub async fn namespace(&self, purpose: &str) -> String {
        let client = self.client().await;
        let metadata = ObjectMeta { generate_name: Some(format!("{purpose}-")), ..Default::default() };
        let namespace = Namespace { metadata, ..Default::default() };
        let api: Api<Namespace> = Api::all(client);
        let created =
            api.create(&PostParams::default(), &namespace).await.expect("the namespace can be made");
        created.metadata.name.expect("the API server names it")
    }

    /// Every write, and every read of the operator's, that the API server has answered so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        audit::requests(&self.folder.join("audit.log"))
    }

    /// Runs one of the cluster's programs, such as `kubectl`, as the administrator.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn run(&self, program: &str, arguments: &[&str]) -> Output {
        tokio::process::Command::new(self.binaries.join(program))
            .args(arguments)
            .env("KUBECONFIG", self.kubeconfig())
            .env("HOME", &self.folder)
            .output()
            .await
            .unwrap_or_else(|error| panic!("{program} cannot be started: {error}"))
    }
}

fn start(
    binaries: &Path,
    folder: &Path,
    program: &str,
    arguments: &[(&str, String)],
    owned: Option<&Path>,
) -> Guarded {
    let arguments: Vec<String> = arguments.iter().map(|(name, value)| format!("--{name}={value}")).collect();
    Guarded::start(&binaries.join(program), &arguments, &folder.join(format!("{program}.log")), owned)
}

/// The folder of the control plane's programs: `OSTLER_CLUSTER_BIN`, else where the whole cluster keeps them, built
/// when they are missing.
fn binaries() -> PathBuf {
    match std::env::var_os("OSTLER_CLUSTER_BIN") {
        Some(folder) => PathBuf::from(folder),
        None => ostler_e2e::binaries::ensure().expect("the cluster's programs can be built"),
    }
}

/// Ports that nothing listens on. All are held before any is let go, so that they differ.
///
/// # Panics
/// When the system has none left.
#[must_use]
pub fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind(("127.0.0.1", 0)).expect("a port is free"));
    listeners.map(|listener| listener.local_addr().expect("a bound socket has an address").port())
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text)
        .unwrap_or_else(|error| panic!("{name} cannot be written: {error}"));
}

fn kubeconfig(folder: &Path, port: u16, user: &str, token: &str) -> String {
    let authority = folder.join("ca.crt");
    let authority = authority.display();
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: tests
  cluster: {{server: \"https://127.0.0.1:{port}\", certificate-authority: {authority}}}
users:
- name: {user}
  user: {{token: {token}}}
contexts:
- name: tests
  context: {{cluster: tests, user: {user}}}
current-context: tests
"
    )
}
