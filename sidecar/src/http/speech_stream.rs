//! A transcription that is sent while it is made, as server-sent events.

use std::convert::Infallible;

use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures::future::BoxFuture;
use futures::{FutureExt, Stream, stream};
use ostler_crds::names::Task;
use ostler_inference::engine::{Control, Job, JobProgress, Output, Segment};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::sleep_until;

use super::admission::Place;
use super::api;
use super::error::ApiError;
use super::transcript_events::{Deltas, TranscriptEvent};
use crate::lease::Lease;

/// A job at work and what it has told so far. Dropping it, as happens when the client goes away, cancels the job.
struct Work<Held> {
    job: BoxFuture<'static, Result<Output, ApiError>>,
    segments: UnboundedReceiver<Vec<Segment>>,
    deltas: Deltas,
    place: Place,
    /// What the job's answer was, once it has ended.
    ended: Option<Result<Output, ApiError>>,
    /// Whether the last event was sent.
    is_over: bool,
    _held: Held,
}

/// Begins a job and answers with its events once there is a first one. `held` is kept until the last. `names` maps
/// the job's fields to those of the endpoint.
///
/// # Errors
/// What the job fails with before it has anything to tell; what comes later is an event.
pub(super) async fn answer<Held: Send + 'static>(
    lease: Lease,
    job: Job,
    names: &'static [(&'static str, &'static str)],
    place: Place,
    held: Held,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>> + use<Held>>, ApiError> {
    let (tell, segments) = unbounded_channel();
    let control = Control::with_progress(move |progress| {
        if let JobProgress::Transcribed { segments, .. } = progress {
            // Nobody listens any more where the client is gone, and then the job is being cancelled.
            drop(tell.send(segments));
        }
    });
    let job = async move { api::run_controlled(&lease, job, control, names).await }.boxed();
    let mut work =
        Work { job, segments, deltas: Deltas::default(), place, ended: None, is_over: false, _held: held };
    let first = work.next().await?;
    let events = stream::unfold((Some(first), work), |(first, mut work)| async move {
        let event = match first {
            Some(event) => event,
            None => work.next().await.unwrap_or_else(|error| Some(failed(&error))),
        };
        let event = event?;
        Some((Ok(event), (None, work)))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

impl<Held> Work<Held> {
    /// The next event; `None` after the last.
    ///
    /// # Errors
    /// What the job failed with, once.
    async fn next(&mut self) -> Result<Option<Event>, ApiError> {
        while !self.is_over {
            let told = match &self.ended {
                // The job has let go of the channel, so this ends.
                Some(_) => self.segments.recv().await,
                None => tokio::select! {
                    biased;
                    Some(segments) = self.segments.recv() => Some(segments),
                    ended = &mut self.job => {
                        self.ended = Some(ended);
                        continue;
                    }
                    () = sleep_until(self.place.deadline()) => {
                        self.is_over = true;
                        return Err(self.place.too_late());
                    }
                },
            };
            match (told, self.ended.take()) {
                (Some(segments), ended) => {
                    self.ended = ended;
                    if let Some(delta) = self.deltas.of(&segments) {
                        return encode(&delta).map(Some);
                    }
                }
                (None, Some(ended)) => {
                    self.is_over = true;
                    let Output::Transcript(transcript) = ended? else {
                        return Err(api::wrong_output(Task::AutomaticSpeechRecognition));
                    };
                    return encode(&TranscriptEvent::done(&transcript)).map(Some);
                }
                (None, None) => {
                    self.is_over = true;
                    return Err(ApiError::Internal);
                }
            }
        }
        Ok(None)
    }
}

fn encode(event: &TranscriptEvent) -> Result<Event, ApiError> {
    Event::default().json_data(event).map_err(|_| ApiError::Internal)
}

/// The event of a job that failed when the status had been sent already: OpenAI's clients raise it.
fn failed(error: &ApiError) -> Event {
    tracing::warn!(kind = error.kind(), %error, "a streamed request failed");
    Event::default().data(serde_json::json!({"error": error.openai_object()}).to_string())
}
