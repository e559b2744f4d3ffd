use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::*;

async fn body(response: Response) -> serde_json::Value {
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

fn unavailable() -> ApiError {
    let attempt = |version: &str, reason: &str, message: &str| Attempt {
        version: version.to_owned(),
        location: FailureLocation::Download,
        reason: reason.to_owned(),
        message: message.to_owned(),
        retryable: true,
    };
    ApiError::ModelUnavailable {
        message: "no version of \"whisper\" could be loaded".to_owned(),
        attempts: vec![
            attempt("whisper@v2", "HubUnavailable", "the hub answers 500"),
            attempt("whisper@v1", "Corrupted", "model.safetensors: the hash differs"),
        ],
        retry_after: Duration::from_millis(7_900),
    }
}

fn every_error() -> Vec<(ApiError, u16, &'static str, &'static str, Option<&'static str>)> {
    let text = |text: &str| text.to_owned();
    let second = Duration::from_secs(1);
    vec![
        (
            ApiError::MissingParameter { parameter: "file" },
            400,
            "invalid_request_error",
            "missing_required_parameter",
            Some("file"),
        ),
        (
            ApiError::InvalidParameter { parameter: text("temperature"), message: text("m") },
            400,
            "invalid_request_error",
            "invalid_value",
            Some("temperature"),
        ),
        (
            ApiError::UnsupportedParameter { parameter: text("stream"), message: text("m") },
            400,
            "invalid_request_error",
            "unsupported_parameter",
            Some("stream"),
        ),
        (
            ApiError::MalformedBody { expected: "JSON", message: text("m") },
            400,
            "invalid_request_error",
            "malformed_body",
            None,
        ),
        (
            ApiError::UnsupportedMediaType { found: text("none"), expected: "JSON" },
            415,
            "invalid_request_error",
            "unsupported_media_type",
            None,
        ),
        (
            ApiError::TooLarge { what: "the file", limit: text("1 B") },
            413,
            "invalid_request_error",
            "content_too_large",
            None,
        ),
        (ApiError::BodyTooSlow { allowed: second }, 408, "invalid_request_error", "request_timeout", None),
        (ApiError::BodyInterrupted, 400, "invalid_request_error", "malformed_body", None),
        (AudioError::UnknownContainer.into(), 400, "invalid_request_error", "invalid_audio", Some("file")),
        (
            AudioError::TooLong { max_seconds: 1.0 }.into(),
            413,
            "invalid_request_error",
            "content_too_large",
            None,
        ),
        (
            AudioError::TooManySamples { most: 1 }.into(),
            413,
            "invalid_request_error",
            "content_too_large",
            None,
        ),
        (
            ApiError::UnknownModel { message: text("m") },
            404,
            "invalid_request_error",
            "model_not_found",
            Some("model"),
        ),
        (
            ApiError::CommitGone { message: text("m") },
            410,
            "invalid_request_error",
            "model_gone",
            Some("model"),
        ),
        (
            ApiError::UnknownLanguagePair { message: text("m") },
            400,
            "invalid_request_error",
            "unsupported_language",
            None,
        ),
        (ApiError::UnknownEndpoint, 404, "invalid_request_error", "unknown_url", None),
        (ApiError::MethodNotAllowed, 405, "invalid_request_error", "method_not_allowed", None),
        (
            ApiError::Busy { what: "whisper", retry_after: second },
            429,
            "rate_limit_error",
            "rate_limit_exceeded",
            None,
        ),
        (unavailable(), 503, "server_error", "model_unavailable", None),
        (ApiError::DeadlineExceeded { allowed: second }, 504, "server_error", "deadline_exceeded", None),
        (ApiError::ShuttingDown, 503, "server_error", "shutting_down", None),
        (ApiError::ComputeFailed { message: text("m") }, 500, "server_error", "compute_failed", None),
        (ApiError::Internal, 500, "server_error", "internal_error", None),
    ]
}

#[tokio::test]
async fn each_error_is_a_problem_document_with_openais_error_in_it() {
    for (error, status, error_type, code, parameter) in every_error() {
        let (kind, text) = (error.kind(), error.to_string());
        let response = as_problem(error.into_response()).await;
        assert_eq!(response.status().as_u16(), status, "{kind}");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        let retryable = [429, 503].contains(&status);
        assert_eq!(response.headers().contains_key(header::RETRY_AFTER), retryable, "{kind}");
        let problem = body(response).await;
        assert_eq!(problem["status"], status);
        assert_eq!(problem["kind"], kind);
        assert_eq!(problem["detail"], text);
        let expected = json!({"message": text, "type": error_type, "param": parameter, "code": code});
        assert_eq!(problem["error"], expected);
    }
}

#[tokio::test]
async fn each_error_is_one_text_for_libretranslate() {
    for (error, status, ..) in every_error() {
        let kind = error.kind();
        let response = as_libretranslate(error.into_response()).await;
        assert_eq!(response.status().as_u16(), status, "{kind}");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
        let body = body(response).await;
        assert_eq!(body.as_object().unwrap().len(), 1);
        assert!(body["error"].as_str().is_some_and(|text| !text.is_empty()), "{kind}");
    }
}

#[tokio::test]
async fn each_error_is_an_object_with_its_status_for_vllm() {
    for (error, status, .., parameter) in every_error() {
        let kind = error.kind();
        let response = as_vllm(error.into_response()).await;
        assert_eq!(response.status().as_u16(), status, "{kind}");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
        let body = body(response).await;
        assert_eq!((&body["error"]["code"], &body["error"]["param"]), (&json!(status), &json!(parameter)));
        assert!(body["error"]["message"].as_str().is_some_and(|text| !text.is_empty()), "{kind}");
        if status == 404 {
            assert_eq!(body["error"]["type"], "NotFoundError");
        }
    }
}

#[tokio::test]
async fn an_unavailable_model_names_every_attempt_and_when_to_come_back() {
    let response = as_problem(unavailable().into_response()).await;
    assert_eq!(response.headers()[header::RETRY_AFTER], "7");
    let problem = body(response).await;
    assert_eq!(problem["kind"], "ModelUnavailable");
    assert_eq!(problem["attempts"][0]["reason"], "HubUnavailable");
    assert_eq!(problem["attempts"][1]["version"], "whisper@v1");
    let text = body(as_libretranslate(unavailable().into_response()).await).await["error"].to_string();
    assert!(text.contains("whisper@v2: the hub answers 500") && text.contains("the hash differs"), "{text}");
}

#[tokio::test]
async fn responses_without_an_error_pass_unchanged() {
    let response = as_problem((StatusCode::NOT_FOUND, "plain").into_response()).await;
    assert_eq!(axum::body::to_bytes(response.into_body(), 64).await.unwrap(), "plain");
}

#[test]
fn engine_errors_name_the_endpoints_fields() {
    let error = EngineError::InvalidInput { parameter: "samples", message: "are empty".to_owned() };
    assert_eq!(ApiError::engine(&error, &[("samples", "file")]).to_string(), "file: are empty");
    assert_eq!(ApiError::engine(&EngineError::Cancelled, &[]).status(), 503);
    assert_eq!(ApiError::engine(&EngineError::NotFinite("logits"), &[]).status(), 500);
}
