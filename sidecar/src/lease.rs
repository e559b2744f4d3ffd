//! The right to use a loaded version. While a lease, or a job started with it, lives, the version stays in memory.

use std::sync::Arc;

use ostler_crds::names::{Dtype, LanguagePair, ModelName, VersionName};
use ostler_crds::status::FailureLocation;
use ostler_inference::engine::{Control, Engine, Job, Output};
use serde::Serialize;

use crate::pool::{RunError, Slots};

/// What produced an answer, for the response's headers and for whoever must be able to reproduce it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Provenance {
    /// The model.
    pub model: ModelName,
    /// The version that answers.
    pub version: VersionName,
    /// The language pair, where the version has one set of files for each.
    pub language_pair: Option<LanguagePair>,
    /// The commit, or `sha256:` and the digest of a folder.
    pub revision: String,
    /// The number format that it computes in.
    pub dtype: Dtype,
    /// Why this is not the version that was chosen.
    pub fallback: Option<Fallback>,
}

/// Why another version than the chosen one answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fallback {
    /// The version that was chosen.
    pub chosen: VersionName,
    /// In which part of the way it failed.
    pub location: FailureLocation,
    /// Its failure in one PascalCase word.
    pub reason: String,
    /// Its failure for a person.
    pub message: String,
}

/// The right to use a loaded version; dropping it gives it back.
pub struct Lease {
    provenance: Provenance,
    slots: Arc<Slots>,
    held: Arc<Held>,
}

/// Fields are dropped in this order: the engine first, so that its memory is free to go when the release is heard.
struct Held {
    engine: Arc<dyn Engine>,
    _release: Release,
}

/// Tells the residency task that the lease is over.
struct Release(Option<Box<dyn FnOnce() + Send + Sync>>);

impl Drop for Release {
    fn drop(&mut self) {
        if let Some(release) = self.0.take() {
            release();
        }
    }
}

/// What a running job holds on to.
struct HeldByJob(Arc<Held>);

impl AsRef<dyn Engine> for HeldByJob {
    fn as_ref(&self) -> &(dyn Engine + 'static) {
        self.0.engine.as_ref()
    }
}

impl Lease {
    pub(crate) fn new(
        provenance: Provenance,
        engine: Arc<dyn Engine>,
        slots: Arc<Slots>,
        release: impl FnOnce() + Send + Sync + 'static,
    ) -> Self {
        let held = Held { engine, _release: Release(Some(Box::new(release))) };
        Self { provenance, slots, held: Arc::new(held) }
    }

    /// What answers.
    #[must_use]
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// Runs a job once an instance is free. Working memory is reserved for one job of a lease, so run one after the other
    /// where there are several. Dropping the future cancels the job; the version stays leased until
    /// the computation has really stopped.
    ///
    /// # Errors
    /// See [`RunError`].
    pub async fn run(&self, job: Job, control: Control) -> Result<Output, RunError> {
        self.slots.run(HeldByJob(Arc::clone(&self.held)), job, control).await
    }
}
