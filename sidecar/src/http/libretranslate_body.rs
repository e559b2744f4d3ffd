//! The bodies of LibreTranslate's API: JSON, or a form in either of its encodings joined with the query.

use axum::extract::Request;
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::body;
use super::error::ApiError;
use super::excerpt::excerpt;
use super::json_body;
use super::multipart;
use super::translate_form::form_to_object;
use crate::state::Limits;

/// Reads the fields of a request, whichever way they are written.
///
/// # Errors
/// [`ApiError::MalformedBody`], [`ApiError::UnsupportedMediaType`], and those of reading a body.
pub(super) async fn read_fields(request: Request, limits: &Limits) -> Result<Map<String, Value>, ApiError> {
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    let bytes = body::read(body, body::announced_length(headers), limits.body_bytes, "the body").await?;
    let media_type = multipart::media_type(headers).to_ascii_lowercase();
    if json_body::is_json(&media_type) {
        return json_body::object(&bytes);
    }
    let query = parts.uri.query().unwrap_or_default().as_bytes();
    let own = |input: &[u8]| form_urlencoded::parse(input).into_owned().collect::<Vec<_>>();
    let mut pairs = own(query);
    match media_type.as_str() {
        "" if bytes.is_empty() => {}
        "application/x-www-form-urlencoded" => {
            if std::str::from_utf8(&bytes).is_err() {
                return Err(json_body::malformed("a form", "it is not UTF-8"));
            }
            pairs.extend(own(&bytes));
        }
        "multipart/form-data" => pairs.extend(multipart::split(headers, bytes, &["file"]).await?.fields),
        other => {
            let expected = "application/json or application/x-www-form-urlencoded";
            return Err(ApiError::UnsupportedMediaType { found: excerpt(other), expected });
        }
    }
    Ok(form_to_object(pairs))
}
