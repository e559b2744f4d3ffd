//! Where the serving plan comes from: the mounted file at start and the watched ConfigMap afterwards, or a manifest.

mod manifest;
mod resolve;
mod watch;

pub use manifest::{Manifest, ManifestError};
pub use resolve::{keep_resolving, resolve};
pub use watch::follow;

use std::io::Read;
use std::path::{Path, PathBuf};

use ostler_crds::serving_plan::{MAX_PLAN_BYTES, PlanError, ServingPlan};

/// The largest manifest in bytes.
const MAX_MANIFEST_BYTES: usize = 4 * 1024 * 1024;

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("{} cannot be read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system answered.
        #[source]
        source: std::io::Error,
    },
    /// The file is larger than anything that could be meant.
    #[error("{} is larger than {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most that is read.
        limit: usize,
    },
    /// The file holds no plan.
    #[error("{}", path.display())]
    Plan {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: PlanError,
    },
    /// The file holds no usable ModelDeployment.
    #[error("{}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<ManifestError>,
    },
}

/// Reads a mounted plan.
///
/// # Errors
/// See [`ReadError`].
pub fn read_plan(path: &Path) -> Result<ServingPlan, ReadError> {
    let text = read_text(path, MAX_PLAN_BYTES)?;
    ServingPlan::from_json(&text).map_err(|source| ReadError::Plan { path: path.to_owned(), source })
}

/// Reads a manifest, from its file or, as `-`, from the standard input.
///
/// # Errors
/// See [`ReadError`].
pub fn read_manifest(path: &Path) -> Result<Manifest, ReadError> {
    let text = read_text(path, MAX_MANIFEST_BYTES)?;
    let of_manifest = |source| ReadError::Manifest { path: path.to_owned(), source: Box::new(source) };
    Manifest::from_yaml(&text).map_err(of_manifest)
}

fn read_text(path: &Path, limit: usize) -> Result<String, ReadError> {
    let of_file = |source| ReadError::File { path: path.to_owned(), source };
    let file: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path).map_err(of_file)?)
    };
    let mut text = String::new();
    let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.take(bound).read_to_string(&mut text).map_err(of_file)?;
    if text.len() > limit {
        return Err(ReadError::TooLarge { path: path.to_owned(), limit });
    }
    Ok(text)
}
