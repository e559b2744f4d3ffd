//! Where one cluster lives: its folders, addresses and ports. Written to `cluster.json` in the state folder, so that
//! later calls find what an earlier one started.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The only node's name.
pub const NODE: &str = "node-a";
/// The bridge that the pods hang on. One cluster runs at a time, because this name and the addresses are fixed.
pub const BRIDGE: &str = "ostler0";
/// The node's address on the bridge; the API server, the kubelet and the DNS server listen there, and so are reached
/// from this machine and its pods alone.
pub const NODE_IP: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 1);
/// The pods' addresses.
pub const POD_CIDR: &str = "10.244.0.0/24";
/// The Services' addresses.
pub const SERVICE_CIDR: &str = "10.96.0.0/24";
/// The first of [`SERVICE_CIDR`]: the API server's own Service.
pub const API_SERVICE_IP: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);
/// The control group that holds all pods.
pub const CONTROL_GROUP: &str = "ostler-e2e";
/// Where containerd keeps its run-time state: short, because sockets below it have a path limit of 108 bytes.
pub const RUN_FOLDER: &str = "/run/ostler-e2e";

/// One cluster's folders and ports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// The folder of everything that the cluster writes.
    pub state: PathBuf,
    /// The folder of its programs.
    pub binaries: PathBuf,
    /// The ports, all of them free when the cluster was laid out.
    pub ports: Ports,
    /// Kernel settings as they were before, to be put back.
    pub kernel_settings: BTreeMap<String, String>,
    /// Folders outside the state folder that did not exist before, to be removed.
    pub new_folders: Vec<PathBuf>,
}

/// The ports of the components.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is named as the component whose port it is")]
pub struct Ports {
    pub api_server: u16,
    pub etcd_client: u16,
    pub etcd_peer: u16,
    pub kubelet: u16,
    pub kube_proxy_health: u16,
    pub kube_proxy_metrics: u16,
    pub dns_metrics: u16,
}

impl Ports {
    /// Picks ports that nothing listens on now.
    ///
    /// # Errors
    /// The operating system's answer when it has none left.
    pub fn free() -> std::io::Result<Self> {
        // All are held open until the last is found, so that no port is given out twice.
        let held =
            (0..7).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<Result<Vec<_>, _>>()?;
        let mut ports =
            held.iter().map(|listener| listener.local_addr().as_ref().map_or(0, SocketAddr::port));
        let mut next = || ports.next().unwrap_or_default();
        Ok(Self {
            api_server: next(),
            etcd_client: next(),
            etcd_peer: next(),
            kubelet: next(),
            kube_proxy_health: next(),
            kube_proxy_metrics: next(),
            dns_metrics: next(),
        })
    }
}

impl Layout {
    /// The file of a layout in its state folder.
    #[must_use]
    pub fn file(state: &Path) -> PathBuf {
        state.join("cluster.json")
    }

    /// A path below the state folder, as the configuration files and arguments need it.
    #[must_use]
    pub fn path(&self, name: &str) -> String {
        self.state.join(name).to_string_lossy().into_owned()
    }

    /// The path of a program.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.binaries.join(name)
    }

    /// The file that `kubectl`, Helm and clients read: an administrator of the cluster.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.state.join("kubeconfig")
    }

    /// The address of containerd's socket.
    #[must_use]
    pub fn containerd_socket(&self) -> String {
        format!("{RUN_FOLDER}/containerd.sock")
    }
}
