//! `POST /v1/audio/transcriptions` and `POST /v1/audio/translations`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use ostler_crds::names::Task;
use ostler_inference::audio::{self, AudioLimits};
use ostler_inference::engine::Output;
use ostler_inference::languages;

use super::admission::{Permit, Place};
use super::api::{self, Api};
use super::body;
use super::caller::Caller;
use super::error::ApiError;
use super::excerpt::excerpt;
use super::language_choice::of_task;
use super::model_choice;
use super::multipart::{self, Parts};
use super::speech_form::{self, Endpoint};
use super::speech_stream;
use super::transcript_body::render;
use crate::routing;

/// How much larger than its file a body may be: the other fields and the boundaries.
const FORM_BYTES: usize = 256 * 1024;

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
    if !multipart::is_announced(&parts.headers) {
        let found = excerpt(multipart::media_type(&parts.headers));
        return Err(ApiError::UnsupportedMediaType { found, expected: "multipart/form-data" });
    }
    let (Parts { file, fields }, room) = receive(api, &parts.headers, body).await?;
    let speech = speech_form::parse(endpoint, &fields)?;
    let file =
        file.filter(|file| !file.is_empty()).ok_or(ApiError::MissingParameter { parameter: "file" })?;
    let choice = model_choice::parse(&speech.model, caller.version.as_deref())?;
    of_task(&api.app.manager.plan(), Task::AutomaticSpeechRecognition, Some(&choice.model))?;
    let request = routing::Request {
        model: choice.model,
        language_pair: None,
        version: choice.version,
        subject: caller.subject(speech.user.as_deref()),
    };
    // A model that is not there is told before the work of decoding, and a bad clip before that of loading.
    api.check_route(&request)?;
    let (samples, room) = decode(api, file, room).await?;
    let lease = api.acquire(request).await?;
    let job = speech.options.into_job(samples);
    if speech.stream {
        let place = parts.extensions.get::<Place>().cloned().ok_or(ApiError::Internal)?;
        let provenance = lease.provenance().clone();
        let mut response = speech_stream::answer(lease, job, &NAMES, place, room).await?.into_response();
        api.credit(&mut response, &[provenance]);
        return Ok(response);
    }
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

/// Reads and splits the body, once there is room for it.
async fn receive(
    api: &Api,
    headers: &HeaderMap,
    body: axum::body::Body,
) -> Result<(Parts, Permit), ApiError> {
    let file_limit = api.app.limits.upload_bytes;
    let body_limit = file_limit + FORM_BYTES;
    let announced = body::announced_length(headers);
    let room = api
        .admission
        .upload(announced.map_or(file_limit as u64, |length| length.min(file_limit as u64)))
        .await?;
    let too_large = || ApiError::TooLarge {
        what: "the file",
        limit: format!("{file_limit} bytes; compress it, or split it"),
    };
    let bytes = body::read(body, announced, body_limit, "the upload").await.map_err(|error| match error {
        // The client knows the limit of its file, not that of the form around it.
        ApiError::TooLarge { .. } => too_large(),
        error => error,
    })?;
    let parts = multipart::split(headers, bytes).await?;
    match &parts.file {
        Some(file) if file.len() > file_limit => Err(too_large()),
        _ => Ok((parts, room)),
    }
}

/// Decodes the file where it blocks nobody. The room of the upload is given back with the file, that of the
/// samples is held as long as they are.
async fn decode(api: &Api, file: Bytes, room: Permit) -> Result<(Arc<[f32]>, Permit), ApiError> {
    let decoder = api.admission.decoder().await?;
    let limits = AudioLimits { max_seconds: f64::from(api.app.limits.audio_seconds) };
    let decoded = tokio::task::spawn_blocking(move || {
        let pcm = audio::decode(&file, &limits);
        drop((file, room));
        // The permit goes along, so that a decoding whose client is gone still counts until it ends.
        pcm.map(|pcm| (Arc::<[f32]>::from(pcm.samples), decoder))
    });
    let (samples, decoder) = decoded.await.map_err(|_| ApiError::Internal)??;
    let room = api.admission.samples(samples.len()).await?;
    drop(decoder);
    Ok((samples, room))
}
