//! How a clip comes in: a form with a file in it, which becomes samples.

use std::sync::Arc;

use axum::body::Body;
use axum::http::HeaderMap;
use bytes::Bytes;
use ostler_inference::audio::{self, AudioLimits};
use tokio_util::sync::CancellationToken;

use super::admission::Permit;
use super::api::Api;
use super::body;
use super::error::ApiError;
use super::excerpt::excerpt;
use super::multipart::{self, Parts};

/// How much larger than its file a body may be: the other fields and the boundaries.
const FORM_BYTES: usize = 256 * 1024;

/// Reads and splits a form whose file has one of these names, once there is room for it.
///
/// # Errors
/// Where it is no form, is damaged, too large or too slow.
pub(super) async fn receive(
    api: &Api,
    headers: &HeaderMap,
    body: Body,
    file_names: &[&str],
) -> Result<(Parts, Permit), ApiError> {
    if !multipart::is_announced(headers) {
        let found = excerpt(multipart::media_type(headers));
        return Err(ApiError::UnsupportedMediaType { found, expected: "multipart/form-data" });
    }
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
    let parts = multipart::split(headers, bytes, file_names).await?;
    match &parts.file {
        Some(file) if file.len() > file_limit => Err(too_large()),
        _ => Ok((parts, room)),
    }
}

/// Decodes the file where it blocks nobody. The room of the upload is given back with the file, that of the
/// samples is held as long as they are. Dropping the future, as happens when the client goes away, stops the decoding.
///
/// # Errors
/// Where it is no audio, or too much of it.
pub(super) async fn decode(api: &Api, file: Bytes, room: Permit) -> Result<(Arc<[f32]>, Permit), ApiError> {
    let decoder = api.admission.decoder().await?;
    let limits = AudioLimits { max_seconds: f64::from(api.app.limits.audio_seconds) };
    let unwanted = CancellationToken::new();
    let _stop_when_dropped = unwanted.clone().drop_guard();
    let decoded = tokio::task::spawn_blocking(move || {
        let pcm = audio::decode_unless(&file, &limits, &|| unwanted.is_cancelled());
        drop((file, room));
        // The permit goes along, so that a decoding whose client is gone still counts until it has stopped.
        pcm.map(|pcm| (Arc::<[f32]>::from(pcm.samples), decoder))
    });
    let (samples, decoder) = decoded.await.map_err(|_| ApiError::Internal)??;
    let room = api.admission.samples(samples.len()).await?;
    drop(decoder);
    Ok((samples, room))
}
