//! Bodies that are one JSON object.

use axum::extract::Request;
use serde_json::{Map, Value};

use super::body;
use super::error::ApiError;
use super::excerpt::excerpt;
use super::multipart;
use crate::state::Limits;

/// Reads the fields of a request whose body must be a JSON object.
///
/// # Errors
/// [`ApiError::MalformedBody`], [`ApiError::UnsupportedMediaType`], and those of reading a body.
pub(super) async fn read(request: Request, limits: &Limits) -> Result<Map<String, Value>, ApiError> {
    let (parts, body) = request.into_parts();
    let media_type = multipart::media_type(&parts.headers).to_ascii_lowercase();
    if !is_json(&media_type) {
        let found = excerpt(&media_type);
        return Err(ApiError::UnsupportedMediaType { found, expected: "application/json" });
    }
    let announced = body::announced_length(&parts.headers);
    object(&body::read(body, announced, limits.body_bytes, "the body").await?)
}

/// Whether a media type in lower case is JSON.
pub(super) fn is_json(media_type: &str) -> bool {
    media_type == "application/json" || media_type.ends_with("+json")
}

/// Reads an object.
///
/// # Errors
/// [`ApiError::MalformedBody`] where the bytes are none.
pub(super) fn object(bytes: &[u8]) -> Result<Map<String, Value>, ApiError> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(malformed("a JSON object", "it is another kind of value")),
        Err(error) => Err(malformed("JSON", &error.to_string())),
    }
}

/// A body that is not what its media type says.
pub(super) fn malformed(expected: &'static str, message: &str) -> ApiError {
    ApiError::MalformedBody { expected, message: message.to_owned() }
}
