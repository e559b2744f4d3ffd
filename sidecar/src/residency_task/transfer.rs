//! A running transfer: how far it is, by its own word, and how to stop it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::AbortHandle;

use crate::loader::{OnTransfer, Transferred};
use crate::residency::Attempt;

/// A transfer's latest word, written by its thread and read at each interval.
#[derive(Default)]
pub(super) struct TransferCell {
    total_bytes: AtomicU64,
    completed_bytes: AtomicU64,
}

impl TransferCell {
    /// Who is to hear the transfer's word.
    pub(super) fn listener(self: &Arc<Self>) -> OnTransfer {
        let cell = Arc::clone(self);
        Arc::new(move |transferred: Transferred| {
            cell.total_bytes.store(transferred.total_bytes, Ordering::Relaxed);
            cell.completed_bytes.store(transferred.completed_bytes, Ordering::Relaxed);
        })
    }
}

pub(super) struct Transfer {
    pub(super) attempt: Attempt,
    pub(super) abort: AbortHandle,
    pub(super) cell: Arc<TransferCell>,
}

impl Transfer {
    /// How far it is.
    pub(super) fn transferred(&self) -> Transferred {
        Transferred {
            total_bytes: self.cell.total_bytes.load(Ordering::Relaxed),
            completed_bytes: self.cell.completed_bytes.load(Ordering::Relaxed),
        }
    }

    /// Stops it; what it has fetched stays on disk.
    pub(super) fn stop(&self) {
        self.abort.abort();
    }
}
