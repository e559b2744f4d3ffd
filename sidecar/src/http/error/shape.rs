//! The shape that each protocol gives an error.

use std::sync::Arc;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::{ApiError, Deferred, Traits};
use crate::http::headers as header_names;

/// An error on its way to the layer that gives it a shape.
#[derive(Clone)]
struct Carried(Arc<ApiError>);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if let Self::Deferred(deferred) = &self {
            return accepted(deferred);
        }
        let mut response = self.status().into_response();
        response.extensions_mut().insert(Carried(Arc::new(self)));
        response
    }
}

/// 202 as RFC 7240 has it, the same in every protocol: none of them has a shape of its own for it.
fn accepted(deferred: &Deferred) -> Response {
    let mut response = (StatusCode::ACCEPTED, Json(&deferred.progress)).into_response();
    let headers = response.headers_mut();
    headers.insert(header_names::PREFERENCE_APPLIED, HeaderValue::from_static("respond-async"));
    headers.insert(header::RETRY_AFTER, HeaderValue::from(deferred.retry_after.as_secs().max(1)));
    if let Ok(location) = HeaderValue::from_str(&deferred.location) {
        headers.insert(header::LOCATION, location);
    }
    response
}

impl ApiError {
    /// OpenAI's error object.
    pub(in crate::http) fn openai_object(&self) -> serde_json::Value {
        let Traits { status, code, .. } = self.traits();
        let error_type = match status.as_u16() {
            429 => "rate_limit_error",
            500.. => "server_error",
            _ => "invalid_request_error",
        };
        json!({"message": self.to_string(), "type": error_type, "param": self.parameter(), "code": code})
    }
}

/// A problem document (RFC 9457) that also holds OpenAI's error object, so that OpenAI's clients raise the right
/// exception and everyone else can read the standard members.
pub(in crate::http) async fn as_problem(response: Response) -> Response {
    shape(response, "application/problem+json", |error| {
        let Traits { status, kind, .. } = error.traits();
        let mut problem = json!({
            "type": format!("tag:ostler.dev,2026:{kind}"),
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "kind": kind,
            "detail": error.to_string(),
            "error": error.openai_object(),
        });
        if let ApiError::ModelUnavailable { attempts, .. } = error {
            problem["attempts"] = json!(attempts);
        }
        problem.to_string()
    })
}

/// LibreTranslate's shape: one line of text.
pub(in crate::http) async fn as_libretranslate(response: Response) -> Response {
    shape(response, "application/json", |error| json!({"error": one_line(error)}).to_string())
}

/// vLLM's shape: an error object whose code is the status and whose type is named after it.
pub(in crate::http) async fn as_vllm(response: Response) -> Response {
    shape(response, "application/json", |error| {
        let status = error.status();
        let error_type = match status {
            StatusCode::BAD_REQUEST => "BadRequestError",
            StatusCode::NOT_FOUND => "NotFoundError",
            StatusCode::INTERNAL_SERVER_ERROR => "InternalServerError",
            other => other.canonical_reason().unwrap_or("Error"),
        };
        let (message, parameter) = (one_line(error), error.parameter());
        let error =
            json!({"message": message, "type": error_type, "param": parameter, "code": status.as_u16()});
        json!({"error": error}).to_string()
    })
}

/// The error in one line, with what became of each version that was tried.
fn one_line(error: &ApiError) -> String {
    match error {
        ApiError::ModelUnavailable { message, attempts, .. } => {
            let attempts = attempts.iter().map(|attempt| format!("{}: {}", attempt.version, attempt.message));
            std::iter::once(message.clone()).chain(attempts).collect::<Vec<_>>().join("; ")
        }
        error => error.to_string(),
    }
}

/// Gives a carried error its body and headers; leaves every other response as it is.
fn shape(response: Response, content_type: &'static str, body: impl Fn(&ApiError) -> String) -> Response {
    let Some(Carried(error)) = response.extensions().get::<Carried>().cloned() else { return response };
    if error.status().is_server_error() {
        tracing::warn!(kind = error.kind(), error = %error, "request failed");
    }
    let mut shaped = (error.status(), body(&error)).into_response();
    let headers = shaped.headers_mut();
    // What the handler, or a router, had already said about the response stays.
    headers.extend(
        response
            .headers()
            .iter()
            .filter(|(name, _)| **name != header::CONTENT_LENGTH)
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Some(retry_after) = error.retry_after() {
        // Whole seconds, never 0, or clients would ask again at once.
        headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after.as_secs().max(1)));
    }
    // OpenAI's clients retry every 408 and 5xx; an error that stays the same is not worth it.
    if matches!(
        *error,
        ApiError::ComputeFailed { .. } | ApiError::Internal | ApiError::DeadlineExceeded { .. }
    ) {
        headers.insert(header_names::SHOULD_RETRY, HeaderValue::from_static("false"));
    }
    shaped
}

/// The answer to a panic, which tower-http caught: the process lives on and the client hears of it.
pub(in crate::http) fn from_panic(_panic: Box<dyn std::any::Any + Send + 'static>) -> Response {
    ApiError::Internal.into_response()
}
