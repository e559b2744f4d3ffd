//! Reads the body of a request, bounded in size and in time.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use tokio::time::{Instant, timeout_at};

use super::error::ApiError;

/// How long a body may stand still.
const IDLE: Duration = Duration::from_secs(30);

/// The slowest that a body may come over its whole length, once [`IDLE`] is over. A phone's uplink is faster; who
/// sends a byte now and then to hold a place is slower.
const SLOWEST_BYTES_PER_SECOND: u64 = 32 * 1024;

/// How much of a body that is too large is read and thrown away, as a multiple of the limit. Clients that are still
/// writing when the answer comes do not read it, and report a broken connection in its place.
const DRAINED_LIMITS: u64 = 4;

/// How long a body that is too large is read and thrown away.
const DRAIN: Duration = Duration::from_secs(5);

/// The length that the client announced.
pub(super) fn announced_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads a body of at most `limit` bytes. `what` names it in the error.
///
/// # Errors
/// [`ApiError::TooLarge`], [`ApiError::BodyTooSlow`], [`ApiError::BodyInterrupted`].
pub(super) async fn read(
    body: Body,
    announced: Option<u64>,
    limit: usize,
    what: &'static str,
) -> Result<Bytes, ApiError> {
    let started = Instant::now();
    let mut stream = body.into_data_stream();
    let mut received: u64 = 0;
    let mut bytes = BytesMut::new();
    let is_over = |length: u64| length > limit as u64;
    let mut too_large = announced.is_some_and(is_over);
    while !too_large {
        let next = timeout_at(deadline(started, Instant::now(), received), stream.next()).await;
        match next.map_err(|_| ApiError::BodyTooSlow { allowed: IDLE })? {
            None => return Ok(bytes.freeze()),
            Some(Err(_)) => return Err(ApiError::BodyInterrupted),
            Some(Ok(chunk)) => {
                received += chunk.len() as u64;
                too_large = is_over(received);
                bytes.extend_from_slice(&chunk);
            }
        }
    }
    drop(bytes);
    let end = Instant::now() + DRAIN;
    while received <= DRAINED_LIMITS * limit as u64 {
        let Ok(Some(Ok(chunk))) = timeout_at(end, stream.next()).await else { break };
        received += chunk.len() as u64;
    }
    Err(ApiError::TooLarge { what, limit: format!("{limit} bytes") })
}

/// When the next bytes must have come: soon after the last ones, and at no slower pace than the slowest.
fn deadline(started: Instant, now: Instant, received: u64) -> Instant {
    let pace = Duration::from_secs(received / SLOWEST_BYTES_PER_SECOND);
    (now + IDLE).min(started + IDLE + pace)
}

#[cfg(test)]
mod tests {
    use std::io;

    use futures::stream;
    use tokio::time::sleep;

    use super::*;

    /// A body of so many chunks of a size, each after a pause.
    fn slow(chunks: usize, size: usize, pause: Duration) -> Body {
        let chunk = move |left: usize| async move {
            let next = left.checked_sub(1)?;
            sleep(pause).await;
            Some((Ok::<_, io::Error>(Bytes::from(vec![b'x'; size])), next))
        };
        Body::from_stream(stream::unfold(chunks, chunk))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_within_its_limits_is_read_whole() {
        let body = slow(25, 1_000_000, Duration::from_secs(20));
        assert_eq!(read(body, None, 25_000_000, "it").await.unwrap().len(), 25_000_000);
        assert!(read(Body::empty(), Some(0), 0, "it").await.unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_over_its_limit_is_refused_announced_or_not() {
        for announced in [None, Some(11)] {
            let error = read(Body::from(vec![0; 11]), announced, 10, "the file").await.unwrap_err();
            assert_eq!(error.to_string(), "the file is over the limit of 10 bytes");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_endless_body_is_not_drained_for_ever() {
        let started = Instant::now();
        let endless = slow(usize::MAX, 1, Duration::from_secs(1));
        assert!(matches!(read(endless, Some(1_000_000), 10, "it").await, Err(ApiError::TooLarge { .. })));
        assert!(started.elapsed() <= DRAIN + Duration::from_secs(1));
    }

    /// Row 39.
    #[tokio::test(start_paused = true)]
    async fn row_39_a_body_that_stands_still_or_trickles_is_given_up() {
        for body in [
            slow(2, 10, Duration::from_secs(31)),
            slow(usize::MAX, 1, Duration::from_secs(1)),
            slow(usize::MAX, 100_000, Duration::from_secs(29)),
        ] {
            let started = Instant::now();
            let error = read(body, None, 25_000_000, "it").await.unwrap_err();
            assert!(matches!(error, ApiError::BodyTooSlow { .. }), "{error}");
            assert!(started.elapsed() < Duration::from_secs(1_000));
        }
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_an_error() {
        let broken = stream::iter([Ok(Bytes::from_static(b"x")), Err(io::Error::other("reset"))]);
        let error = read(Body::from_stream(broken), None, 10, "it").await.unwrap_err();
        assert!(matches!(error, ApiError::BodyInterrupted));
    }
}
