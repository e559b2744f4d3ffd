//! How much the process takes on at once: requests, bytes of uploads, samples of decoded audio. Everything else
//! waits where it costs nothing, in the client's socket, or is told to come back.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::error::ApiError;
use crate::state::Limits;

/// How many uploads of the largest size may be in memory at once; smaller ones are counted by their bytes.
const LARGEST_UPLOADS_AT_ONCE: usize = 8;

/// How many clips are decoded at once. Decoding is short next to inference, and its result is large.
const DECODERS: usize = 2;

/// How long an upload waits for its place before its client is told to come back.
const UPLOAD_WAIT: Duration = Duration::from_secs(10);

/// When a client that was sent away may come back.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Permits count in units of this many bytes, so that they fit the semaphore's counter.
const UNIT_BYTES: u64 = 1024;

/// Bytes of one decoded sample.
const SAMPLE_BYTES: u64 = 4;

/// Samples of one second of decoded audio.
const SAMPLES_PER_SECOND: u64 = 16_000;

/// The permits of the process.
#[derive(Debug)]
pub(super) struct Admission {
    requests: Arc<Semaphore>,
    uploads: Arc<Semaphore>,
    decoders: Arc<Semaphore>,
    samples: Arc<Semaphore>,
}

/// A share of something that is bounded, until it is dropped.
#[derive(Debug)]
pub(super) struct Permit(#[expect(dead_code, reason = "it is held for its drop")] OwnedSemaphorePermit);

/// A place among the requests in work and how long it may be kept. An answer that is sent piece by piece keeps a
/// clone of its request's.
#[derive(Debug, Clone)]
pub(super) struct Place {
    _permit: Arc<Permit>,
    allowed: Duration,
    deadline: Instant,
}

impl Place {
    /// When the answer must have ended.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What a client is told whose answer has not.
    pub(super) fn too_late(&self) -> ApiError {
        ApiError::DeadlineExceeded { allowed: self.allowed }
    }
}

impl Admission {
    /// Bounds that follow from those of one request: all decoded clips together are at most one of the longest.
    pub(super) fn new(limits: &Limits) -> Self {
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        let uploads = units(limits.upload_bytes as u64) as usize * LARGEST_UPLOADS_AT_ONCE;
        let longest = u64::from(limits.audio_seconds) * SAMPLES_PER_SECOND * SAMPLE_BYTES;
        Self {
            requests: semaphore(limits.concurrent_requests),
            uploads: semaphore(uploads),
            decoders: semaphore(DECODERS),
            samples: semaphore(units(longest) as usize),
        }
    }

    /// A place among the requests in work, for `allowed` from now on.
    ///
    /// # Errors
    /// [`ApiError::Busy`] at once where there is none.
    pub(super) fn request(&self, allowed: Duration) -> Result<Place, ApiError> {
        let busy = |_| ApiError::Busy { what: "this replica", retry_after: RETRY_AFTER };
        let permit = Permit(Arc::clone(&self.requests).try_acquire_owned().map_err(busy)?);
        Ok(Place { _permit: Arc::new(permit), allowed, deadline: Instant::now() + allowed })
    }

    /// Room for an upload of so many bytes.
    ///
    /// # Errors
    /// [`ApiError::Busy`] where there is none for a while.
    pub(super) async fn upload(&self, bytes: u64) -> Result<Permit, ApiError> {
        let room = Arc::clone(&self.uploads).acquire_many_owned(units(bytes));
        match timeout(UPLOAD_WAIT, room).await {
            Ok(Ok(permit)) => Ok(Permit(permit)),
            Ok(Err(_)) => Err(ApiError::ShuttingDown),
            Err(_) => Err(ApiError::Busy { what: "uploads", retry_after: RETRY_AFTER }),
        }
    }

    /// The right to decode one clip.
    ///
    /// # Errors
    /// Never while the process lives.
    pub(super) async fn decoder(&self) -> Result<Permit, ApiError> {
        take(&self.decoders, 1).await
    }

    /// Room for so many samples, at most those of the longest clip.
    ///
    /// # Errors
    /// Never while the process lives.
    pub(super) async fn samples(&self, count: usize) -> Result<Permit, ApiError> {
        take(&self.samples, units(count as u64 * SAMPLE_BYTES)).await
    }
}

async fn take(semaphore: &Arc<Semaphore>, permits: u32) -> Result<Permit, ApiError> {
    let permit = Arc::clone(semaphore).acquire_many_owned(permits).await;
    Ok(Permit(permit.map_err(|_| ApiError::ShuttingDown)?))
}

/// Bytes in whole units, at least one.
fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES).max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn limits() -> Limits {
        Limits { upload_bytes: 10_240, audio_seconds: 1, concurrent_requests: 1, ..Limits::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn one_more_request_is_told_to_come_back() {
        let admission = Admission::new(&limits());
        let first = admission.request(LONG).unwrap();
        let kept = first.clone();
        drop(first);
        assert_eq!(admission.request(LONG).unwrap_err().status(), 429);
        drop(kept);
        assert!(admission.request(LONG).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn uploads_are_counted_by_their_bytes() {
        let admission = Admission::new(&limits());
        let mut held = Vec::new();
        for _ in 0..LARGEST_UPLOADS_AT_ONCE * 10 {
            held.push(admission.upload(1024).await.unwrap());
        }
        let started = Instant::now();
        assert_eq!(admission.upload(1).await.unwrap_err().status(), 429);
        assert_eq!(started.elapsed(), UPLOAD_WAIT);
        held.pop();
        assert!(admission.upload(1).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_clip_has_room_alone() {
        let admission = Admission::new(&limits());
        let longest = admission.samples(16_000).await.unwrap();
        let next = timeout(Duration::from_secs(60), admission.samples(1)).await;
        assert!(next.is_err());
        drop(longest);
        assert!(admission.samples(16_000).await.is_ok());
    }
}
