//! What every HTTP handler sees.

use std::time::Duration;

use crate::manager::Manager;
use crate::metrics::Metrics;

/// Shared by both listeners. Cloning is cheap.
#[derive(Clone)]
pub struct AppState {
    /// Acquires versions.
    pub manager: Manager,
    /// What a request may ask for.
    pub limits: Limits,
    /// Counters and histograms.
    pub metrics: Metrics,
}

/// Bounds of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The largest body of an upload, in bytes: 25 MB, as OpenAI has it.
    pub upload_bytes: usize,
    /// The largest body of any other request, in bytes.
    pub body_bytes: usize,
    /// The longest text in one request, in characters.
    pub text_characters: usize,
    /// The most texts in one request.
    pub texts: usize,
    /// The most texts that one request may have embedded or compared: 2,048, as OpenAI has it.
    pub embedding_texts: usize,
    /// The longest text in one such request, in characters.
    pub embedding_characters: usize,
    /// The longest clip, in seconds.
    pub audio_seconds: u32,
    /// The longest that one request may take in all.
    pub request_time: Duration,
    /// Requests in work or waiting at once, over all models; more are answered 429.
    pub concurrent_requests: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            upload_bytes: 25 * 1024 * 1024,
            body_bytes: 2 * 1024 * 1024,
            text_characters: 100_000,
            texts: 256,
            embedding_texts: 2048,
            embedding_characters: 1_000_000,
            audio_seconds: 2 * 3600,
            request_time: Duration::from_secs(3600),
            concurrent_requests: 512,
        }
    }
}
