//! `POST /v1/audio/transcriptions` and `POST /v1/audio/translations`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use ostler_crds::names::Task;
use ostler_inference::engine::Output;
use ostler_inference::languages;

use super::admission::Place;
use super::answers::Work;
use super::api::{self, Api};
use super::caller::Caller;
use super::error::ApiError;
use super::language_choice::of_task;
use super::model_choice;
use super::multipart::Parts;
use super::speech_form::{self, Endpoint};
use super::speech_stream;
use super::speech_upload::receive;
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
    let job = speech.options.into_job(Arc::default(), long_form);
    let work = Work::of_upload(job, file, room, &NAMES);
    let work = api.kept_or_loaded(caller, &request, work).await?;
    if speech.stream {
        let place = parts.extensions.get::<Place>().cloned().ok_or(ApiError::Internal)?;
        return speech_stream::answer(api, request, work, place).await;
    }
    let (output, credit) = api.answer(request, work).await?.into_parts();
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
    api.credit(&mut response, &[credit]);
    Ok(response)
}
