//! Brings Ostler into a cluster: images, a hub with the example models, and the chart.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::access::Access;
use crate::binaries;
use crate::cluster::{self, ClusterError};
use crate::command::{CommandError, capture, feed};
use crate::images::{Images, ImagesError, Part};

/// The namespace of the operator.
pub const NAMESPACE: &str = "ostler-system";
/// The namespace of the hub.
pub const HUB_NAMESPACE: &str = "ostler-hub";
/// The address of the hub inside the cluster.
pub const HUB_ENDPOINT: &str = "http://hub.ostler-hub.svc.cluster.local:8080";

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/ostler");
const HUB_MANIFEST: &str = include_str!("../manifests/hub.yaml");

/// Why Ostler could not be brought into the cluster.
#[derive(Debug, thiserror::Error)]
pub enum InstallationError {
    /// The cluster failed.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A program failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// An image could not be packed.
    #[error(transparent)]
    Images(#[from] ImagesError),
    /// No folder for the work could be made.
    #[error("no temporary folder could be made")]
    Temporary(#[source] std::io::Error),
}

/// The cluster to work on: the one that the environment names, else our own, which is started when it does not run.
///
/// # Errors
/// [`InstallationError`] when our own cannot be built or started.
pub fn cluster(state: &Path) -> Result<Access, InstallationError> {
    match Access::existing() {
        Some(access) => Ok(access),
        None => Ok(Access::own(cluster::up(&binaries::ensure()?, state)?)),
    }
}

/// The images to use: packed from `programs` and given to our own cluster's node, or those in the registry that the
/// environment names.
///
/// # Errors
/// [`InstallationError`] when a program is not built or an image not taken.
pub fn images(access: &Access, programs: &Path) -> Result<Images, InstallationError> {
    let Some(cluster) = &access.own else { return Ok(Images::in_registry()) };
    let folder = tempfile::tempdir().map_err(InstallationError::Temporary)?;
    let archive = folder.path().join("image.tar");
    let import = |part: Part| -> Result<String, InstallationError> {
        let name = part.pack(programs, &archive)?;
        cluster.import_image(&archive)?;
        Ok(name)
    };
    Ok(Images { operator: import(Part::Operator)?, sidecar: import(Part::Sidecar)?, hub: import(Part::Hub)? })
}

/// The commands that install the hub and the chart, in their order, each with its standard input.
#[must_use]
pub fn commands(access: &Access, images: &Images) -> Vec<(Command, Option<String>)> {
    let (operator, operator_tag) = split(&images.operator);
    let (sidecar, sidecar_tag) = split(&images.sidecar);
    let set = [
        format!("hub.endpoint={HUB_ENDPOINT}"),
        format!("operator.image.repository={operator},operator.image.tag={operator_tag}"),
        format!("sidecar.image.repository={sidecar},sidecar.image.tag={sidecar_tag}"),
    ];
    let mut arguments = vec!["upgrade", "--install", "ostler", CHART, "--namespace", NAMESPACE];
    for setting in &set {
        // A tag of digits alone is still text.
        arguments.extend(["--set-string", setting]);
    }
    arguments.extend(["--wait", "--timeout=3m"]);
    vec![
        (access.kubectl_command(&["apply", "-f", "-"]), Some(HUB_MANIFEST.replace("HUB_IMAGE", &images.hub))),
        (
            access.kubectl_command(&[
                "rollout",
                "status",
                "deployment/hub",
                "-n",
                HUB_NAMESPACE,
                "--timeout=2m",
            ]),
            None,
        ),
        (access.helm_command(&arguments), None),
    ]
}

/// Installs the hub and the chart, and waits until both are up.
///
/// # Errors
/// [`InstallationError`] with the words of `kubectl` or Helm.
pub fn install(access: &Access, images: &Images) -> Result<(), InstallationError> {
    for (mut command, input) in commands(access, images) {
        match input {
            Some(input) => feed(&mut command, &input)?,
            None => capture(&mut command)?,
        };
    }
    Ok(())
}

/// Removes Ostler, its kinds and the hub from a cluster that is not ours.
///
/// # Errors
/// [`InstallationError`] with the words of `kubectl` or Helm.
pub fn uninstall(access: &Access) -> Result<(), InstallationError> {
    let definitions = ["modeldeployments.ostler.dev", "modelreplicas.ostler.dev"];
    // The operator goes last: until then it can still finish what a deletion needs of it.
    access.kubectl(&[&["delete", "crd", "--ignore-not-found"][..], &definitions].concat())?;
    access.helm(&["uninstall", "ostler", "--namespace", NAMESPACE, "--ignore-not-found", "--wait"])?;
    access.kubectl(&["delete", "namespace", NAMESPACE, HUB_NAMESPACE, "--ignore-not-found"])?;
    Ok(())
}

/// The folder of the programs that `cargo` built together with the running one.
#[must_use]
pub fn programs_beside(executable: &Path) -> PathBuf {
    let folder = executable.parent().unwrap_or(Path::new("."));
    // Tests lie one folder deeper than programs.
    let folder = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
    folder.to_owned()
}

/// A reference as repository and tag. A colon before the last slash belongs to a port.
fn split(reference: &str) -> (&str, &str) {
    match reference.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (reference, "latest"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_split_at_the_tag() {
        assert_eq!(split("localhost/a:1"), ("localhost/a", "1"));
        assert_eq!(split("localhost:5000/a"), ("localhost:5000/a", "latest"));
        assert_eq!(split("localhost:5000/a:0.1.0"), ("localhost:5000/a", "0.1.0"));
    }

    #[test]
    fn programs_are_found_from_a_program_and_from_a_test() {
        assert_eq!(programs_beside(Path::new("/t/debug/ostler-e2e")), Path::new("/t/debug"));
        assert_eq!(programs_beside(Path::new("/t/debug/deps/cluster-1")), Path::new("/t/debug"));
    }
}
