//! Work on files, off the async threads and behind requests, given up when nobody waits for it any more.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use tokio::runtime::{Builder, Runtime};

use crate::error::ArtifactError;
use crate::priority::work_behind_requests;

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

/// Threads that have stepped behind requests, and stay there, so that none of the caller's can be taken.
static THREADS: LazyLock<std::io::Result<Runtime>> = LazyLock::new(|| {
    Builder::new_current_thread().thread_name("ostler-files").on_thread_start(work_behind_requests).build()
});

/// Runs blocking work on threads of its own. Dropping the future sets the work's cancellation.
///
/// # Errors
/// The work's own; `NoThreads` where the system gives none, `Cancelled` where the work broke down.
pub(crate) async fn run<T: Send + 'static>(
    work: impl FnOnce(&Cancellation) -> Result<T, ArtifactError> + Send + 'static,
) -> Result<T, ArtifactError> {
    let cancellation = Cancellation::default();
    let _cancel_on_drop = CancelOnDrop(cancellation.clone());
    let threads = THREADS.as_ref().map_err(|error| ArtifactError::NoThreads(error.to_string()))?;
    threads.spawn_blocking(move || work(&cancellation)).await.unwrap_or(Err(ArtifactError::Cancelled))
}
