//! `POST /v1/audio/transcriptions` and `POST /v1/audio/translations`.

use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use ostler_crds::names::Task;
use ostler_inference::engine::{Job, Output};
use ostler_inference::languages;

use super::admission::{Permit, Place};
use super::api::{self, Api};
use super::caller::Caller;
use super::error::ApiError;
use super::language_choice::of_task;
use super::load_comments;
use super::model_choice;
use super::multipart::Parts;
use super::speech_form::{self, Endpoint};
use super::speech_stream;
use super::speech_upload::{decode, receive};
use super::transcript_body::render;
use crate::routing;

/// The fields of a job as the endpoints call them.
const NAMES: [(&str, &str); 3] =
    [("samples", "file"), ("beams", "beam_size"), ("words", "timestamp_granularities")];

/// Text in the spoken language.
pub(super) async fn transcriptions(
    State(api): State<Api>,
    caller: Caller,
    request: Request,
) -> Result<Response, ApiError> {
    answer(&api, &caller, request, Endpoint::Transcriptions).await
}

/// Text in English.
pub(super) async fn translations(
    State(api): State<Api>,
    caller: Caller,
    request: Request,
) -> Result<Response, ApiError> {
    answer(&api, &caller, request, Endpoint::Translations).await
}

async fn answer(
    api: &Api,
    caller: &Caller,
    request: Request,
    endpoint: Endpoint,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let (Parts { file, fields }, room) = receive(api, &parts.headers, body, &["file"]).await?;
    let speech = speech_form::parse(endpoint, &fields)?;
    let file =
        file.filter(|file| !file.is_empty()).ok_or(ApiError::MissingParameter { parameter: "file" })?;
    let choice = model_choice::parse(&speech.model, caller.version.as_deref())?;
    let plan = api.app.manager.plan();
    let planned = of_task(&plan, Task::AutomaticSpeechRecognition, Some(&choice.model))?;
    let long_form = planned.first().and_then(|model| model.long_form);
    let request = routing::Request {
        model: choice.model,
        language_pair: None,
        version: choice.version,
        subject: caller.subject(speech.user.as_deref()),
    };
    // A model that is not there is told before the work of decoding, and a bad clip before that of loading.
    api.check_route(&request)?;
    api.loaded_or_deferred(caller, &request).await?;
    let (samples, room) = decode(api, file, room).await?;
    let job = speech.options.into_job(samples, long_form);
    if speech.stream {
        let place = parts.extensions.get::<Place>().cloned().ok_or(ApiError::Internal)?;
        return stream(api, request, job, place, room).await;
    }
    let lease = api.acquire(request).await?;
    let output = api::run(&lease, job, &NAMES).await?;
    let Output::Transcript(transcript) = output else {
        return Err(api::wrong_output(Task::AutomaticSpeechRecognition));
    };
    let language = languages::by_code(&transcript.language);
    let language = language.map_or(transcript.language.as_str(), |language| language.name);
    let translated = endpoint == Endpoint::Translations;
    let rendered = render(&transcript, speech.format, speech.segments, translated, language)
        .map_err(|_| ApiError::Internal)?;
    let mut response = rendered.text.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(rendered.content_type));
    api.credit(&mut response, std::slice::from_ref(lease.provenance()));
    drop(room);
    Ok(response)
}

/// Answers with the text while it is made, and before that with how far the version is that has to be loaded for it.
async fn stream(
    api: &Api,
    request: routing::Request,
    job: Job,
    place: Place,
    room: Permit,
) -> Result<Response, ApiError> {
    let chosen = api.chosen(&request)?;
    let (begun, of_begun) = (api.clone(), place.clone());
    let begin = async move {
        let lease = begun.acquire(request).await?;
        let provenance = lease.provenance().clone();
        let mut response = speech_stream::answer(lease, job, &NAMES, of_begun, room).await?.into_response();
        begun.credit(&mut response, &[provenance]);
        Ok(response)
    };
    load_comments::tell(&api.app.manager, chosen, place, begin).await
}
