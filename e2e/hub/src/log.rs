//! What was asked of the hub.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How many requests are remembered; a hub that runs for days must not grow.
const REMEMBERED: usize = 10_000;

/// Which part of the hub a request went to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A repository's listing.
    Listing,
    /// The endpoint's address of a file.
    Resolve,
    /// The storage behind a redirect.
    Storage,
    /// Whichever of the two carries a file's bytes; only used to choose requests.
    Bytes,
    /// Anything else.
    Other,
}

/// One request, as a test looks at it.
#[derive(Debug, Clone)]
pub struct LoggedRequest {
    /// The method, such as `GET`.
    pub method: String,
    /// The path as it was sent, without its query.
    pub path: String,
    /// The part of the hub.
    pub part: Part,
    /// The file asked for.
    pub file: Option<String>,
    /// Whether it came to the storage's own listener rather than the endpoint's.
    pub at_storage_listener: bool,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// The `Range` header.
    pub range: Option<String>,
    /// The status answered.
    pub status: u16,
    /// The bytes of the body handed to the connection so far.
    pub bytes_sent: u64,
}

#[derive(Debug)]
struct Entry {
    request: LoggedRequest,
    sent: Arc<AtomicU64>,
}

/// The log.
#[derive(Debug, Default)]
pub(crate) struct Log {
    entries: Mutex<VecDeque<Entry>>,
}

impl Log {
    /// Notes a request; the returned counter takes the bytes of its body.
    pub(crate) fn add(&self, request: LoggedRequest) -> Arc<AtomicU64> {
        let sent = Arc::new(AtomicU64::new(0));
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() == REMEMBERED {
            entries.pop_front();
        }
        entries.push_back(Entry { request, sent: Arc::clone(&sent) });
        sent
    }

    pub(crate) fn all(&self) -> Vec<LoggedRequest> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let look = |entry: &Entry| LoggedRequest {
            bytes_sent: entry.sent.load(Ordering::Relaxed),
            ..entry.request.clone()
        };
        entries.iter().map(look).collect()
    }

    pub(crate) fn clear(&self) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
