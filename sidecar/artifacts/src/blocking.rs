//! Work on files, off the async threads and behind requests, given up when nobody waits for it any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::oneshot;

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

/// Runs blocking work on a thread of its own, since one that has stepped behind requests stays there. Dropping the
/// future sets the work's cancellation.
///
/// # Errors
/// The work's own; `NoThread` where the system gives none, `Cancelled` where the work broke down.
pub(crate) async fn run<T: Send + 'static>(
    work: impl FnOnce(&Cancellation) -> Result<T, ArtifactError> + Send + 'static,
) -> Result<T, ArtifactError> {
    let cancellation = Cancellation::default();
    let _cancel_on_drop = CancelOnDrop(cancellation.clone());
    let (reply, answer) = oneshot::channel();
    let on_thread = move || {
        work_behind_requests();
        // Whoever does not listen any more has gone away.
        let _ = reply.send(work(&cancellation));
    };
    let spawned = std::thread::Builder::new().name("ostler-files".to_owned()).spawn(on_thread);
    spawned.map_err(ArtifactError::NoThread)?;
    answer.await.unwrap_or(Err(ArtifactError::Cancelled))
}
