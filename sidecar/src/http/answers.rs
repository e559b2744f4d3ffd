//! How a request gets its answer: one that is kept, one that is being computed for another request, or one that is
//! computed for it.
//!
//! An answer is looked for before anything is done for it: before audio is decoded, and before its version is loaded. The
//! version is the one that routing chooses, whose commit and number format are known from the plan. What was computed is
//! kept under the version that computed it, which may be a fallback or an older pin.

use std::sync::Arc;

use bytes::Bytes;
use ostler_inference::engine::{Control, DetectLanguageJob, Job, Output, TranscribeJob};

use super::admission::Permit;
use super::api::{self, Api};
use super::caller::Caller;
use super::error::ApiError;
use super::flights::{Computed, FlightKey};
use super::provenance::Credit;
use super::speech_upload::decode;
use super::spoken::Listener;
use crate::lease::{Lease, Provenance};
use crate::result_cache::{Answer, Pin, Question};
use crate::routing::Request;
use crate::single_flight::Entered;

/// The fields of a job, each with what the endpoint calls it.
type Names = Vec<(&'static str, &'static str)>;

/// What is to be computed.
pub(super) struct Work {
    job: Job,
    /// The file that the job's samples come from, and its room.
    upload: Option<(Bytes, Permit)>,
    names: Names,
    /// What is asked, once somebody wanted to know.
    question: Option<Question>,
}

/// Work that can begin.
pub(super) struct ReadyWork {
    pub(super) job: Job,
    pub(super) names: Names,
    /// The room of the samples, to be held as long as they are.
    pub(super) room: Option<Permit>,
}

impl Work {
    /// Of a job that is complete.
    pub(super) fn new(job: Job, names: &[(&'static str, &'static str)]) -> Self {
        Self { job, upload: None, names: names.to_vec(), question: None }
    }

    /// Of a job about a file, whose samples it has not yet.
    pub(super) fn of_upload(
        job: Job,
        file: Bytes,
        room: Permit,
        names: &[(&'static str, &'static str)],
    ) -> Self {
        Self { job, upload: Some((file, room)), names: names.to_vec(), question: None }
    }

    /// Gives the job its samples.
    ///
    /// # Errors
    /// Where the file is no audio, or too much of it.
    pub(super) async fn ready(self, api: &Api) -> Result<ReadyWork, ApiError> {
        let Self { job, upload, names, .. } = self;
        let Some((file, room)) = upload else { return Ok(ReadyWork { job, names, room: None }) };
        let (samples, room) = decode(api, file, room).await?;
        let job = match job {
            Job::Transcribe(job) => Job::Transcribe(TranscribeJob { samples, ..job }),
            Job::DetectLanguage(_) => Job::DetectLanguage(DetectLanguageJob { samples }),
            job => job,
        };
        Ok(ReadyWork { job, names, room: Some(room) })
    }

    /// What is asked. Megabytes are hashed where it blocks nobody.
    async fn question(&mut self) -> Result<Question, ApiError> {
        if let Some(question) = self.question {
            return Ok(question);
        }
        let question = match &self.upload {
            None => Question::of(&self.job, None),
            Some((file, _)) => {
                let (job, file) = (self.job.clone(), file.clone());
                let hashed = tokio::task::spawn_blocking(move || Question::of(&job, Some(&file)));
                hashed.await.map_err(|_| ApiError::Internal)?
            }
        };
        Ok(*self.question.insert(question))
    }
}

/// An answer, and whether it was computed for this very request.
pub(super) struct Answered {
    computed: Computed,
    /// `None` where the model keeps no answers.
    is_hit: Option<bool>,
}

impl Answered {
    fn kept(answer: Arc<Answer>) -> Self {
        Self { computed: Computed { answer, fallback: None, was_kept: true }, is_hit: Some(true) }
    }

    fn computed(computed: Computed) -> Self {
        let is_hit = Some(computed.was_kept);
        Self { computed, is_hit }
    }

    /// What the engine gave, and what produced it.
    pub(super) fn into_parts(self) -> (Output, Credit) {
        let Computed { answer, fallback, .. } = self.computed;
        let Answer { output, provenance } = Arc::unwrap_or_clone(answer);
        (output, Credit { provenance: Provenance { fallback, ..provenance }, is_hit: self.is_hit })
    }
}

/// What is kept of an answer that a request asks for.
pub(super) enum Kept {
    /// Its model keeps none.
    Off,
    /// The answer is not there; this is what it is kept under once it is.
    Miss(Question),
    /// It is there.
    Hit(Answered),
}

impl Api {
    /// Answers a request.
    ///
    /// # Errors
    /// Those of routing, decoding, acquiring and running.
    pub(super) async fn answer(&self, request: Request, mut work: Work) -> Result<Answered, ApiError> {
        let results = self.app.manager.results();
        if !results.is_on(&request.model) {
            let computed = compute(self.clone(), request, work, None).await?;
            return Ok(Answered { computed, is_hit: None });
        }
        let question = work.question().await?;
        let mut work = Some(work);
        let mut has_followed = false;
        loop {
            let candidates = self.route(&request)?;
            let pin = self.pin(&request)?;
            let mut begin = || {
                let (api, request, work) = (self.clone(), request.clone(), work.take());
                Box::pin(async move {
                    compute(api, request, work.ok_or(ApiError::Internal)?, Some(question)).await
                })
            };
            let Some(pin) = pin else {
                return begin().await.map(Answered::computed);
            };
            let key = FlightKey {
                answer: question.to(&pin),
                candidates: candidates.clone(),
                planned_pin_only: request.version.as_ref().is_some_and(|choice| choice.commit().is_some()),
            };
            match self.flights.enter(key, || results.get(&pin, question), || begin()) {
                Entered::Found(answer) => return Ok(Answered::kept(answer)),
                Entered::Leads(flight) => return flight.await.map(Answered::computed),
                Entered::Follows(flight) => {
                    let outcome = flight.await;
                    // The plan may have changed while the other request was routed.
                    let fits = |computed: &Computed| {
                        let provenance = &computed.answer.provenance;
                        candidates.iter().any(|key| key.version == provenance.version)
                    };
                    match outcome {
                        Ok(computed) if fits(&computed) => {
                            return Ok(Answered { computed, is_hit: Some(true) });
                        }
                        // What is wrong with the other request is wrong with this one.
                        Err(error) if has_followed || error.is_of_the_request() => return Err(error),
                        // What went wrong then may go well now; once, lest requests wait for each other's failures.
                        Ok(_) | Err(_) => has_followed = true,
                    }
                }
            }
        }
    }

    /// Lets work on whose answer is kept, whose version is there, or whose client waits for it.
    ///
    /// # Errors
    /// Those of routing, and of [`Api::loaded_or_deferred`].
    pub(super) async fn kept_or_loaded(
        &self,
        caller: &Caller,
        request: &Request,
        mut work: Work,
    ) -> Result<Work, ApiError> {
        if caller.preference.responds_async
            && !matches!(self.look_up(request, &mut work).await?, Kept::Hit(_))
        {
            self.loaded_or_deferred(caller, request).await?;
        }
        Ok(work)
    }

    /// Looks for the answer of a request.
    ///
    /// # Errors
    /// Those of routing.
    pub(super) async fn look_up(&self, request: &Request, work: &mut Work) -> Result<Kept, ApiError> {
        let results = self.app.manager.results();
        if !results.is_on(&request.model) {
            return Ok(Kept::Off);
        }
        let question = work.question().await?;
        let found = self.pin(request)?.and_then(|pin| results.get(&pin, question));
        Ok(found.map_or(Kept::Miss(question), |answer| Kept::Hit(Answered::kept(answer))))
    }

    /// Keeps what a lease's version answered.
    pub(super) fn keep(&self, question: Question, provenance: &Provenance, output: Output) -> Arc<Answer> {
        let provenance = Provenance { fallback: None, ..provenance.clone() };
        let answer = Arc::new(Answer { output, provenance });
        self.app.manager.results().put(question, Arc::clone(&answer));
        answer
    }
}

/// Computes an answer, and keeps it where there is a question to keep it under.
async fn compute(
    api: Api,
    request: Request,
    work: Work,
    question: Option<Question>,
) -> Result<Computed, ApiError> {
    let ReadyWork { job, names, room } = work.ready(&api).await?;
    let subject = request.subject.clone();
    let lease: Lease = api.acquire(request).await?;
    let provenance = lease.provenance();
    let fallback = provenance.fallback.clone();
    // A fallback may have answered it before, and the digest of a folder is known only now.
    let kept = question.and_then(|question| api.app.manager.results().get(&Pin::of(provenance), question));
    if let Some(answer) = kept {
        return Ok(Computed { answer, fallback, was_kept: true });
    }
    let listener = Listener::new(&api.app.manager, provenance, subject);
    let control = listener.map_or_else(Control::default, |listener| {
        Control::with_progress(move |progress| listener.hear(&progress))
    });
    let output = api::run(&lease, job, control, &names).await?;
    drop(room);
    let answer = match question {
        Some(question) => api.keep(question, provenance, output),
        None => {
            let provenance = Provenance { fallback: None, ..provenance.clone() };
            Arc::new(Answer { output, provenance })
        }
    };
    Ok(Computed { answer, fallback, was_kept: false })
}
