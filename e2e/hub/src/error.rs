//! What can go wrong when the hub starts or takes in a repository.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the hub could not start or could not take in a repository.
#[derive(Debug, thiserror::Error)]
pub enum TestHubError {
    /// The address could not be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What failed.
        #[source]
        source: std::io::Error,
    },
    /// A folder or file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The folder or file.
        path: PathBuf,
        /// What failed.
        #[source]
        source: std::io::Error,
    },
    /// A file name that is no UTF-8.
    #[error("file name {} must be UTF-8", path.display())]
    FileName {
        /// The file.
        path: PathBuf,
    },
    /// The repository was never pushed.
    #[error("repository {0:?} does not exist; push it first")]
    UnknownRepository(String),
    /// A model could not be made.
    #[error("cannot write a model into {}", folder.display())]
    Model {
        /// Its folder.
        folder: PathBuf,
        /// What failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Serving ended with an error.
    #[error("serving failed")]
    Serve(#[source] std::io::Error),
}
