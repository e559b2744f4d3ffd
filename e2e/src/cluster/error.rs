//! Why a cluster did not do what was asked.

use std::io;
use std::path::PathBuf;

use super::certificates::CertificateError;
use super::components::NAMES;
use crate::command::CommandError;
use crate::image::ImageError;

/// Why the cluster did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The caller may not make interfaces and mounts.
    #[error("the test cluster needs root: run it with sudo")]
    NotRoot,
    /// Another cluster of this kind runs.
    #[error(
        "another test cluster runs on this machine: end it first, with `make demo-down` or `ostler-e2e --state FOLDER down`"
    )]
    Occupied,
    /// No cluster was started with this state folder.
    #[error("no cluster was started in {}: run `ostler-e2e up`", state.display())]
    NotStarted {
        /// The state folder.
        state: PathBuf,
    },
    /// There is no component of that name.
    #[error("there is no component {name}: there are {}", NAMES.join(", "))]
    UnknownComponent {
        /// The name asked for.
        name: String,
    },
    /// A component did not come up.
    #[error("{component} was not up after {seconds} seconds; its log ends:\n{log}")]
    NotReady {
        /// The component.
        component: &'static str,
        /// How long it had.
        seconds: u64,
        /// The end of its log.
        log: String,
    },
    /// A file of the state folder could not be read or written.
    #[error("{} could not be read or written", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        #[source]
        source: io::Error,
    },
    /// `cluster.json` is not what this version writes.
    #[error("{} cannot be read: remove the folder", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The certificates could not be made.
    #[error(transparent)]
    Certificates(#[from] CertificateError),
    /// A program failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The image of the pods' first process could not be written.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The machine could not be prepared or cleaned.
    #[error("the machine could not be prepared or cleaned")]
    Host(#[source] io::Error),
}
