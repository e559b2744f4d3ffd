//! A transcription that is sent while it is made, as server-sent events.

use std::convert::Infallible;

use axum::response::sse::{Event, KeepAlive};
use axum::response::{IntoResponse, Response, Sse};
use futures::future::BoxFuture;
use futures::{FutureExt, stream};
use ostler_crds::names::Task;
use ostler_inference::engine::{Control, JobProgress, Output, Segment};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::sleep_until;

use super::admission::{Permit, Place};
use super::answers::{Kept, ReadyWork, Work};
use super::api::{self, Api};
use super::error::ApiError;
use super::load_comments;
use super::provenance::Credit;
use super::spoken::Listener;
use super::transcript_events::{Deltas, TranscriptEvent};
use crate::lease::{Lease, Provenance};
use crate::result_cache::Question;
use crate::routing::Request;

/// A job at work and what it has told so far. Dropping it, as happens when the client goes away, cancels the job.
struct Telling {
    job: BoxFuture<'static, Result<Output, ApiError>>,
    segments: UnboundedReceiver<Vec<Segment>>,
    deltas: Deltas,
    place: Place,
    /// What the job's answer was, once it has ended.
    ended: Option<Result<Output, ApiError>>,
    /// Whether the last event was sent.
    is_over: bool,
    /// What to keep the answer under, and what gave it.
    keep: Option<(Api, Question, Provenance)>,
    /// The room of the samples.
    _room: Option<Permit>,
}

/// Answers with the text while it is made, and before that with how far the version is that has to be loaded for it; or
/// at once, where the answer is kept.
///
/// # Errors
/// What the job fails with before there is anything to tell; what comes later is an event.
pub(super) async fn answer(
    api: &Api,
    request: Request,
    mut work: Work,
    place: Place,
) -> Result<Response, ApiError> {
    let question = match api.look_up(&request, &mut work).await? {
        Kept::Hit(answered) => {
            let (output, credit) = answered.into_parts();
            let mut response = replay(&output)?;
            api.credit(&mut response, &[credit]);
            return Ok(response);
        }
        Kept::Miss(question) => Some(question),
        Kept::Off => None,
    };
    let work = work.ready(api).await?;
    let chosen = api.chosen(&request)?;
    let (begun, of_begun) = (api.clone(), place.clone());
    let begin = async move {
        let subject = request.subject.clone();
        let lease = begun.acquire(request).await?;
        let listener = Listener::new(&begun.app.manager, lease.provenance(), subject);
        let provenance = lease.provenance().clone();
        let keep = question.map(|question| (begun.clone(), question, provenance.clone()));
        let mut response = tell(lease, work, of_begun, keep, listener).await?;
        begun.credit(&mut response, &[Credit { provenance, is_hit: question.map(|_| false) }]);
        Ok(response)
    };
    load_comments::tell(&api.app.manager, chosen, place, begin).await
}

/// The events of a transcript that is there: one for each segment, and the last.
fn replay(output: &Output) -> Result<Response, ApiError> {
    let Output::Transcript(transcript) = output else {
        return Err(api::wrong_output(Task::AutomaticSpeechRecognition));
    };
    let mut deltas = Deltas::default();
    let told = transcript.segments.iter().filter_map(|segment| deltas.of(std::slice::from_ref(segment)));
    let events = told.chain([TranscriptEvent::done(transcript)]).map(|event| encode(&event));
    let events = events.collect::<Result<Vec<_>, _>>()?;
    Ok(Sse::new(stream::iter(events.into_iter().map(Ok::<_, Infallible>))).into_response())
}

/// Begins a job and answers with its events once there is a first one.
async fn tell(
    lease: Lease,
    work: ReadyWork,
    place: Place,
    keep: Option<(Api, Question, Provenance)>,
    listener: Option<Listener>,
) -> Result<Response, ApiError> {
    let ReadyWork { job, names, room } = work;
    let (tell, segments) = unbounded_channel();
    let control = Control::with_progress(move |progress| {
        if let Some(listener) = &listener {
            listener.hear(&progress);
        }
        if let JobProgress::Transcribed { segments, .. } = progress {
            // Nobody listens any more where the client is gone, and then the job is being cancelled.
            drop(tell.send(segments));
        }
    });
    let job = async move { api::run(&lease, job, control, &names).await }.boxed();
    let mut work = Telling {
        job,
        segments,
        deltas: Deltas::default(),
        place,
        ended: None,
        is_over: false,
        keep,
        _room: room,
    };
    let first = work.next().await?;
    let events = stream::unfold((Some(first), work), |(first, mut work)| async move {
        let event = match first {
            Some(event) => event,
            None => work.next().await.unwrap_or_else(|error| Some(failed(&error))),
        };
        let event = event?;
        Some((Ok::<_, Infallible>(event), (None, work)))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

impl Telling {
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
                    let output = ended?;
                    let Output::Transcript(transcript) = &output else {
                        return Err(api::wrong_output(Task::AutomaticSpeechRecognition));
                    };
                    let event = encode(&TranscriptEvent::done(transcript))?;
                    if let Some((api, question, provenance)) = self.keep.take() {
                        api.keep(question, &provenance, output);
                    }
                    return Ok(Some(event));
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
