//! The narrow waist between the residency task and whatever fetches and loads.

use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;
use ostler_crds::names::Dtype;
use ostler_crds::status::FailureLocation;
use ostler_inference::engine::{Engine, EngineError};

use crate::causes::with_causes;
use crate::residency::Footprint;
use crate::target::{Target, VersionFailure};

/// Verified files on disk, and what they will need in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// Where the files are.
    pub folder: PathBuf,
    /// The commit, or `sha256:` and the digest of a folder.
    pub revision: String,
    /// The bytes that loading and running will take, known before any weight is read.
    pub footprint: Footprint,
}

/// How far a transfer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transferred {
    /// All bytes to fetch.
    pub total_bytes: u64,
    /// Bytes already here.
    pub completed_bytes: u64,
}

/// Hears of a transfer's progress, from any thread, as often as the transfer likes.
pub type OnTransfer = Arc<dyn Fn(Transferred) + Send + Sync>;

/// Fetches and loads targets.
pub trait Loader: Send + Sync + 'static {
    /// Fetches and verifies the files, and sizes them. Dropping the future stops the transfer.
    fn prepare(
        &self,
        target: &Target,
        on_transfer: OnTransfer,
    ) -> BoxFuture<'static, Result<Prepared, VersionFailure>>;

    /// The number format that a target really computes in, for the provenance of its answers.
    fn dtype(&self, target: &Target) -> Dtype {
        target.dtype
    }

    /// Reads the files into an engine. It blocks: call it on a blocking thread.
    ///
    /// # Errors
    /// A failure whose location is `Load`.
    fn load(&self, target: &Target, prepared: &Prepared) -> Result<Arc<dyn Engine>, VersionFailure>;

    /// Proves an engine with its canary job. It blocks too.
    ///
    /// # Errors
    /// A failure whose location is `Load`.
    fn prove(&self, engine: &dyn Engine) -> Result<(), VersionFailure> {
        engine.canary().map_err(|error| VersionFailure {
            location: FailureLocation::Load,
            reason: if matches!(error, EngineError::NotFinite(_)) { "NotFinite" } else { "CanaryFailed" }
                .to_owned(),
            message: format!("the first job after loading failed: {}", with_causes(&error)),
            retryable: false,
            retry_after: None,
        })
    }
}
