//! Work on files, off the async threads, given up when nobody waits for it any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::ArtifactError;

/// Tells blocking work that its caller is gone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cancellation(Arc<AtomicBool>);

impl Cancellation {
    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

struct CancelOnDrop(Cancellation);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// Runs blocking work on tokio's threads for it. Dropping the future sets the work's cancellation.
///
/// # Errors
/// The work's own, and `Cancelled` where the runtime ends.
pub(crate) async fn run<T: Send + 'static>(
    work: impl FnOnce(&Cancellation) -> Result<T, ArtifactError> + Send + 'static,
) -> Result<T, ArtifactError> {
    let cancellation = Cancellation::default();
    let _cancel_on_drop = CancelOnDrop(cancellation.clone());
    tokio::task::spawn_blocking(move || work(&cancellation)).await.unwrap_or(Err(ArtifactError::Cancelled))
}
