//! How tools reach a cluster: one of our own, or one that the user names.
//!
//! `OSTLER_E2E_KUBECONFIG` names an existing cluster. Its nodes must be able to pull `PREFIX/ostler-operator:TAG`,
//! `PREFIX/ostler-sidecar:TAG` and `PREFIX/ostler-test-hub:TAG`, where `OSTLER_E2E_REGISTRY` gives PREFIX and
//! `OSTLER_E2E_TAG` gives TAG, by default the version of this crate; `ostler-e2e image` writes them as archives to push.
//! `kubectl` and `helm` are then taken from the search path.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::Cluster;
use crate::command::{CommandError, capture};

/// A cluster, and the tools to talk to it with.
#[derive(Debug, Clone)]
pub struct Access {
    kubeconfig: PathBuf,
    kubectl: PathBuf,
    helm: PathBuf,
    /// Our own cluster, where it is one.
    pub own: Option<Cluster>,
}

impl Access {
    /// A cluster of our own.
    #[must_use]
    pub fn own(cluster: Cluster) -> Self {
        Self {
            kubeconfig: cluster.kubeconfig(),
            kubectl: cluster.program("kubectl"),
            helm: cluster.program("helm"),
            own: Some(cluster),
        }
    }

    /// The existing cluster that `OSTLER_E2E_KUBECONFIG` names, if it does.
    #[must_use]
    pub fn existing() -> Option<Self> {
        let kubeconfig = std::env::var_os("OSTLER_E2E_KUBECONFIG").filter(|path| !path.is_empty())?;
        Some(Self {
            kubeconfig: kubeconfig.into(),
            kubectl: "kubectl".into(),
            helm: "helm".into(),
            own: None,
        })
    }

    /// The file that clients read.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// `kubectl` with these arguments, not yet started.
    #[must_use]
    pub fn kubectl_command(&self, arguments: &[&str]) -> Command {
        self.command(&self.kubectl, arguments)
    }

    /// `helm` with these arguments, not yet started.
    #[must_use]
    pub fn helm_command(&self, arguments: &[&str]) -> Command {
        self.command(&self.helm, arguments)
    }

    /// Runs `kubectl` and answers what it printed.
    ///
    /// # Errors
    /// [`CommandError`] with its words.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String, CommandError> {
        capture(&mut self.kubectl_command(arguments))
    }

    /// Runs `helm` and answers what it printed.
    ///
    /// # Errors
    /// [`CommandError`] with its words.
    pub fn helm(&self, arguments: &[&str]) -> Result<String, CommandError> {
        capture(&mut self.helm_command(arguments))
    }

    fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).env("KUBECONFIG", &self.kubeconfig);
        command
    }
}
