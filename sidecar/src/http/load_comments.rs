//! How far a load is, told in the comments of a stream of server-sent events before its first event, so that neither the
//! client nor what lies between takes the connection for dead.

use std::future::Future;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use ostler_crds::status::VersionState;
use tokio::time::{Instant, sleep_until};

use super::admission::Place;
use super::error::ApiError;
use crate::manager::Manager;
use crate::snapshot::VersionSnapshot;
use crate::target::VersionKey;

/// A load that takes longer is told of; what fails sooner has its own status.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often the stream says how far the load is, and that it is alive though nothing has changed.
const INTERVAL: Duration = Duration::from_millis(500);
const ALIVE: Duration = Duration::from_secs(15);

/// The response that `begin` will give.
type Beginning = BoxFuture<'static, Result<Response, ApiError>>;

/// Answers with the response of `begin`, a stream of server-sent events. Where a version has to be loaded for it, and that
/// takes a while, the stream is begun before, with comments.
///
/// # Errors
/// What `begin` fails with before that; what comes later is an event.
pub(super) async fn tell(
    manager: &Manager,
    key: VersionKey,
    place: Place,
    begin: impl Future<Output = Result<Response, ApiError>> + Send + 'static,
) -> Result<Response, ApiError> {
    let mut begin = begin.boxed();
    let mut next_look = Instant::now() + PATIENCE;
    loop {
        tokio::select! {
            response = &mut begin => return response,
            () = sleep_until(next_look) => {}
        }
        if manager.snapshot().version(&key).is_some_and(is_awaited) {
            break;
        }
        next_look = Instant::now() + INTERVAL;
    }
    let waiting =
        Waiting { manager: manager.clone(), key, place, begin, said: String::new(), said_at: Instant::now() };
    let pieces = stream::unfold(Stream::Waiting(Box::new(waiting)), |state| async move {
        let (piece, state) = match state {
            Stream::Waiting(waiting) => {
                let (piece, state) = waiting.next().await;
                (Ok(piece), state)
            }
            Stream::Answering(mut pieces) => (pieces.next().await?, Stream::Answering(pieces)),
            Stream::Over => return None,
        };
        Some((piece, state))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// Whether a version is not there yet: it is on its way, or waits for memory.
fn is_awaited(version: &VersionSnapshot) -> bool {
    !matches!(version.state, VersionState::Loaded | VersionState::FailedToLoad)
}

/// Where the stream is.
enum Stream {
    Waiting(Box<Waiting>),
    Answering(BodyDataStream),
    Over,
}

/// A stream that has no answer yet. Dropping it, as happens when the client goes away, gives up the wait.
struct Waiting {
    manager: Manager,
    key: VersionKey,
    place: Place,
    begin: Beginning,
    said: String,
    said_at: Instant,
}

impl Waiting {
    /// The next comment, or the beginning of the answer.
    async fn next(mut self: Box<Self>) -> (Bytes, Stream) {
        loop {
            let comment = self.comment();
            if comment != self.said || self.said_at.elapsed() >= ALIVE {
                self.said.clone_from(&comment);
                self.said_at = Instant::now();
                return (Bytes::from(format!(": {comment}\n\n")), Stream::Waiting(self));
            }
            let begun = tokio::select! {
                begun = &mut self.begin => begun,
                () = tokio::time::sleep(INTERVAL) => continue,
                () = sleep_until(self.place.deadline()) => Err(self.place.too_late()),
            };
            return match begun {
                Ok(response) => {
                    let (parts, body) = response.into_parts();
                    (Bytes::from(provenance(&parts.headers)), Stream::Answering(body.into_data_stream()))
                }
                Err(error) => (Bytes::from(failure(&error)), Stream::Over),
            };
        }
    }

    /// How far the load is, in a few words.
    fn comment(&self) -> String {
        let snapshot = self.manager.snapshot();
        let Some(version) = snapshot.version(&self.key) else { return "waiting".to_owned() };
        match (version.stage, version.state) {
            (Some(stage), _) => format!("{} {} %", stage.word(), version.percent),
            (None, VersionState::Loaded) => "loaded".to_owned(),
            (None, _) => "waiting".to_owned(),
        }
    }
}

/// The headers that say what produced the answer, which was not known when the head of the response was sent.
fn provenance(headers: &HeaderMap) -> String {
    let ours = headers.iter().filter(|(name, _)| name.as_str().starts_with("x-ostler-"));
    let lines = ours.filter_map(|(name, value)| Some(format!(": {name}: {}\n", value.to_str().ok()?)));
    format!("{}\n", lines.collect::<String>())
}

/// The event of a request that failed when the status had been sent already: OpenAI's clients raise it.
fn failure(error: &ApiError) -> String {
    tracing::warn!(kind = error.kind(), %error, "a streamed request failed while it waited");
    format!("data: {}\n\n", serde_json::json!({"error": error.openai_object()}))
}
