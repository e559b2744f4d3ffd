//! Every endpoint through the router, with engines that need no weights.

mod result_cache;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, StatusCode, header};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tower::ServiceExt;

use super::fixtures::{COMMIT, FakeLoader, plan, plan_with_broken, state, wav};
use super::*;
use crate::state::Limits;

mod fuzz;
mod history;
mod usage;
mod waiting;

struct Answer {
    status: u16,
    headers: axum::http::HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

async fn send(router: &Router, request: Request) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        text: String::from_utf8(bytes.to_vec()).unwrap(),
    }
}

fn serving() -> Router {
    app(state(plan(), Limits::default()).0)
}

fn with_limits(limits: Limits) -> (Router, Arc<FakeLoader>) {
    let (state, loader) = state(plan(), limits);
    (app(state), loader)
}

fn get(path: &str) -> Request {
    Request::get(path).body(Body::empty()).unwrap()
}

fn upload_to(path: &str, fields: &[(&str, &str)], file: &[u8]) -> Request {
    upload_as("file", path, fields, file)
}

fn upload_as(name: &str, path: &str, fields: &[(&str, &str)], file: &[u8]) -> Request {
    let mut body = Vec::new();
    for (field, value) in fields {
        body.extend_from_slice(
            format!("--B\r\nContent-Disposition: form-data; name=\"{field}\"\r\n\r\n{value}\r\n").as_bytes(),
        );
    }
    body.extend_from_slice(
        format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"a.wav\"\r\n\r\n")
            .as_bytes(),
    );
    body.extend_from_slice(file);
    body.extend_from_slice(b"\r\n--B--\r\n");
    let request = Request::post(path).header(header::CONTENT_TYPE, "multipart/form-data; boundary=B");
    request.header(header::CONTENT_LENGTH, body.len()).body(Body::from(body)).unwrap()
}

fn transcribe(fields: &[(&str, &str)]) -> Request {
    let fields: Vec<_> = std::iter::once(&("model", "whisper")).chain(fields).copied().collect();
    upload_to("/v1/audio/transcriptions", &fields, &wav())
}

fn post_json(path: &str, body: &Value) -> Request {
    Request::post(path)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body.to_string()))
        .unwrap()
}

#[tokio::test]
async fn a_clip_is_transcribed_in_every_format() {
    let router = serving();
    for (format, content_type, start) in [
        ("json", "application/json", "{\"text\":\"Hallo."),
        ("verbose_json", "application/json", "{\"task\":\"transcribe\",\"language\":\"german\""),
        ("text", "text/plain; charset=utf-8", "Hallo. Guten Tag.\n"),
        ("srt", "text/plain; charset=utf-8", "1\n00:00:00,000 --> 00:00:01,500\nHallo."),
        ("vtt", "text/plain; charset=utf-8", "WEBVTT\n\n00:00:00.000 --> "),
    ] {
        let answer = send(&router, transcribe(&[("response_format", format)])).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.header("content-type"), content_type);
        assert!(answer.text.starts_with(start), "{}", answer.text);
    }
    let answer = send(
        &router,
        upload_to(
            "/v1/audio/translations",
            &[("model", "whisper"), ("response_format", "verbose_json")],
            &wav(),
        ),
    )
    .await;
    assert_eq!(answer.json()["task"], "translate");
}

#[tokio::test]
async fn the_language_of_a_clip_is_told_as_whisper_asr_webservice_does() {
    let router = serving();
    let expected = json!({"detected_language": "german", "language_code": "de", "confidence": 0.75});
    for (name, path, fields) in [
        ("audio_file", "/detect-language", &[][..]),
        ("audio_file", "/detect-language?encode=true", &[]),
        ("audio_file", "/detect-language?model=whisper", &[]),
        ("file", "/detect-language", &[("model", "whisper@v1")]),
    ] {
        let answer = send(&router, upload_as(name, path, fields, &wav())).await;
        assert_eq!((answer.status, answer.json()), (200, expected.clone()), "{path}");
        assert_eq!(answer.header("x-ostler-model"), "whisper");
    }
    for (request, status, start) in [
        (
            upload_as("audio_file", "/detect-language", &[("language", "de")], &wav()),
            400,
            "\"language\": there is no such field",
        ),
        (upload_as("audio_file", "/detect-language", &[], b""), 400, "Invalid request: missing audio_file"),
        (
            upload_as("audio_file", "/detect-language?encode=false", &[], &wav()),
            400,
            "encode is not supported",
        ),
        (upload_as("audio_file", "/detect-language", &[("model", "translation")], &wav()), 400, "model: "),
        (upload_as("audio_file", "/detect-language", &[], b"this is no audio"), 400, "file: "),
        (get("/detect-language"), 405, "this endpoint does not have this method"),
    ] {
        let answer = send(&router, request).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.starts_with(start), "{detail}");
    }
}

#[tokio::test]
async fn responses_say_what_produced_them() {
    let router = serving();
    let answer = send(&router, transcribe(&[])).await;
    assert_eq!(answer.header("x-ostler-model"), "whisper");
    assert_eq!(answer.header("x-ostler-revision"), COMMIT);
    assert_eq!(answer.header("x-ostler-dtype"), "auto");
    assert!(!answer.header("x-request-id").is_empty());
    assert!(answer.headers.get("x-ostler-fallback").is_none());
    let mut request = transcribe(&[]);
    request.headers_mut().insert("x-ostler-version", "v2".parse().unwrap());
    request.headers_mut().insert("x-request-id", "talk-17".parse().unwrap());
    let answer = send(&router, request).await;
    assert_eq!(answer.header("x-ostler-version"), "v2");
    assert_eq!(answer.header("x-request-id"), "talk-17");
    let explicit = upload_to("/v1/audio/transcriptions", &[("model", "whisper@v2")], &wav());
    assert_eq!(send(&router, explicit).await.header("x-ostler-version"), "v2");
}

#[tokio::test]
async fn one_subject_stays_with_one_version_and_subjects_spread() {
    let router = serving();
    let mut seen = std::collections::BTreeSet::new();
    for subject in 0..60 {
        let mut versions = std::collections::BTreeSet::new();
        for _ in 0..2 {
            let mut request = transcribe(&[]);
            request.headers_mut().insert("x-ostler-subject", format!("talk-{subject}").parse().unwrap());
            versions.insert(send(&router, request).await.header("x-ostler-version").to_owned());
        }
        assert_eq!(versions.len(), 1);
        seen.extend(versions);
    }
    assert_eq!(seen.len(), 2, "60 subjects all went to one version");
}

#[tokio::test]
async fn speech_requests_fail_with_the_right_status_and_name_the_field() {
    let router = serving();
    let upload = |fields: &[(&str, &str)], file: &[u8]| upload_to("/v1/audio/transcriptions", fields, file);
    let whisper = ("model", "whisper");
    let mut wrong_type = transcribe(&[]);
    wrong_type.headers_mut().insert(header::CONTENT_TYPE, "audio/wav".parse().unwrap());
    for (request, status, parameter, code) in [
        (upload(&[], &wav()), 400, json!("model"), "missing_required_parameter"),
        (upload(&[whisper], b""), 400, json!("file"), "missing_required_parameter"),
        (upload(&[whisper], b"this is no audio"), 400, json!("file"), "invalid_audio"),
        (upload(&[("model", "gpt-4o")], &wav()), 404, json!("model"), "model_not_found"),
        (upload(&[("model", "whisper@v9")], &wav()), 404, json!("model"), "model_not_found"),
        (upload(&[("model", "translation")], &wav()), 400, json!("model"), "invalid_value"),
        (
            transcribe(&[("stream", "true"), ("response_format", "srt")]),
            400,
            json!("stream"),
            "invalid_value",
        ),
        (
            transcribe(&[("response_format", "diarized_json")]),
            400,
            json!("response_format"),
            "unsupported_parameter",
        ),
        (transcribe(&[("prompt", "panic")]), 500, json!(null), "internal_error"),
        (wrong_type, 415, json!(null), "unsupported_media_type"),
        (get("/v1/audio/transcriptions"), 405, json!(null), "method_not_allowed"),
        (get("/v1/models/none"), 404, json!("model"), "model_not_found"),
        (get("/v1/chat/completions"), 404, json!(null), "unknown_url"),
    ] {
        let answer = send(&router, request).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        assert_eq!(answer.header("content-type"), "application/problem+json");
        let problem = answer.json();
        assert_eq!(problem["error"]["param"], parameter, "{problem}");
        assert_eq!(problem["error"]["code"], code, "{problem}");
    }
    // The process and the engine live on.
    assert_eq!(send(&router, transcribe(&[])).await.status, 200);
}

#[tokio::test]
async fn uploads_over_the_limit_are_refused_announced_or_not() {
    let (router, _) = with_limits(Limits { upload_bytes: 10_000, ..Limits::default() });
    let answer = send(&router, transcribe(&[])).await;
    assert_eq!(answer.status, 413);
    assert!(answer.text.contains("the file is over the limit of 10000 bytes"), "{}", answer.text);
    let mut chunked = transcribe(&[]);
    chunked.headers_mut().remove(header::CONTENT_LENGTH);
    assert_eq!(send(&router, chunked).await.status, 413);
    let (router, _) = with_limits(Limits { audio_seconds: 0, ..Limits::default() });
    let answer = send(&router, transcribe(&[])).await;
    assert_eq!(answer.status, 413, "{}", answer.text);
    let (router, _) = with_limits(Limits { body_bytes: 10, ..Limits::default() });
    let answer = send(&router, post_json("/detect", &json!({"q": "too much"}))).await;
    assert_eq!(answer.status, 413);
    assert_eq!(answer.json(), json!({"error": "the body is over the limit of 10 bytes"}));
}

#[tokio::test]
async fn texts_are_translated_one_or_many_json_or_form() {
    let router = serving();
    let one = json!({"q": "hello", "source": "en", "target": "de"});
    let answer = send(&router, post_json("/translate", &one)).await;
    assert_eq!(answer.json(), json!({"translatedText": "en>de hello"}));
    assert_eq!(answer.header("x-ostler-model"), "translation");
    assert_eq!(answer.header("x-ostler-version"), "v1");
    let many = json!({"q": ["a", "b"], "source": "en", "target": "fr", "split": "never"});
    let answer = send(&router, post_json("/translate", &many)).await;
    assert_eq!(answer.json(), json!({"translatedText": ["en>fr a", "en>fr b"]}));
    let form = Request::post("/translate").header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let form = form.body(Body::from("q=gr%C3%BC%C3%9Fe&source=de&target=en&api_key=x")).unwrap();
    assert_eq!(send(&router, form).await.json(), json!({"translatedText": "de>en grüße"}));
    let query = Request::post("/translate?q=a&source=en&target=de").body(Body::empty()).unwrap();
    assert_eq!(send(&router, query).await.json(), json!({"translatedText": "en>de a"}));
    let same = json!({"q": "hello", "source": "en", "target": "en"});
    assert_eq!(
        send(&router, post_json("/translate", &same)).await.json(),
        json!({"translatedText": "hello"})
    );
}

#[tokio::test]
async fn the_source_language_is_detected_text_by_text() {
    let router = serving();
    let one = json!({"q": "Hallo", "source": "auto", "target": "en"});
    let expected =
        json!({"translatedText": "de>en Hallo", "detectedLanguage": {"confidence": 90.0, "language": "de"}});
    assert_eq!(send(&router, post_json("/translate", &one)).await.json(), expected);
    let german = "Hallo, dies ist ein Satz, der lang genug ist.";
    let english = "This sentence is long enough to be judged alone.";
    let many = json!({"q": [german, english], "source": "auto", "target": "en"});
    let answer = send(&router, post_json("/translate", &many)).await.json();
    assert_eq!(answer["translatedText"], json!([format!("de>en {german}"), english]));
    assert_eq!(answer["detectedLanguage"][0]["language"], "de");
    let detected = send(&router, post_json("/detect", &json!({"q": "Hallo"}))).await;
    let expected = json!([{"confidence": 90.0, "language": "de"}, {"confidence": 10.0, "language": "en"}]);
    assert_eq!(detected.json(), expected);
    assert_eq!(detected.header("x-ostler-model"), "language-detection");
}

/// Row 38 among others.
#[tokio::test]
async fn row_38_translation_requests_fail_in_libretranslates_shape() {
    let router = serving();
    let translate = |extra: Value| {
        let mut body = json!({"q": "one", "source": "en", "target": "de"});
        body.as_object_mut().unwrap().append(&mut extra.as_object().unwrap().clone());
        post_json("/translate", &body)
    };
    let raw = |body: &'static str| {
        Request::post("/translate")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body))
            .unwrap()
    };
    let deep: &'static str = Box::leak("[".repeat(100_000).into_boxed_str());
    let not_text =
        Request::post("/translate").header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    for (request, status, text) in [
        (translate(json!({"q": ""})), 400, "Invalid request: missing q parameter"),
        (translate(json!({"target": "it"})), 400, "\"it\" is not available as a target language from \"en\""),
        (translate(json!({"format": "md"})), 400, "format: \"md\" is not one of"),
        (translate(json!({"model": "none"})), 404, "there is no model \"none\""),
        (translate(json!({"model": "whisper"})), 400, "model: \"whisper\" has the task"),
        (translate(json!({"model": "translation@v7"})), 404, "the model \"translation\" has no version"),
        (translate(json!({"q": "overlong"})), 400, "q: is too long"),
        (translate(json!({"q": "damaged"})), 500, "the logits is not finite"),
        (raw("{"), 400, "the body is not JSON"),
        (raw("[1]"), 400, "the body is not a JSON object"),
        (raw(deep), 400, "the body is not JSON"),
        (not_text.body(Body::from(&b"q=\xff\xfe"[..])).unwrap(), 400, "the body is not a form"),
        (get("/translate"), 405, "this endpoint does not have this method"),
    ] {
        let answer = send(&router, request).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        let body = answer.json();
        assert_eq!(body.as_object().map(serde_json::Map::len), Some(1));
        assert!(body["error"].as_str().unwrap().starts_with(text), "{body}");
    }
}

#[tokio::test]
async fn texts_are_embedded_one_or_many_as_floats_or_base64() {
    let router = serving();
    let answer =
        send(&router, post_json("/v1/embeddings", &json!({"model": "similarity", "input": "a b c"}))).await;
    let expected = json!({
        "object": "list", "model": "similarity", "usage": {"prompt_tokens": 5, "total_tokens": 5},
        "data": [{"object": "embedding", "index": 0, "embedding": [5.0, 1.0]}],
    });
    assert_eq!((answer.status, answer.json()), (200, expected));
    assert_eq!(answer.header("x-ostler-model"), "similarity");
    assert_eq!(answer.header("x-ostler-revision"), COMMIT);
    let many =
        json!({"model": "similarity@v1", "input": ["a", "bc"], "encoding_format": "base64", "dimensions": 1});
    let answer = send(&router, post_json("/v1/embeddings", &many)).await.json();
    // 1.0 and 2.0 as 32-bit floats in little-endian order.
    assert_eq!(answer["data"][0]["embedding"], "AACAPw==");
    assert_eq!(answer["data"][1], json!({"object": "embedding", "index": 1, "embedding": "AAAAQA=="}));
    assert_eq!(answer["usage"]["prompt_tokens"], 6);
}

#[tokio::test]
async fn embedding_requests_fail_with_the_right_status_and_name_the_field() {
    let router = serving();
    let ask = |extra: Value| {
        let mut body = json!({"model": "similarity", "input": "a"});
        body.as_object_mut().unwrap().append(&mut extra.as_object().unwrap().clone());
        post_json("/v1/embeddings", &body)
    };
    let mut form = ask(json!({}));
    form.headers_mut().insert(header::CONTENT_TYPE, "application/x-www-form-urlencoded".parse().unwrap());
    for (request, status, parameter, code) in [
        (ask(json!({"input": [1, 2]})), 400, json!("input"), "unsupported_parameter"),
        (ask(json!({"dimensions": 3})), 400, json!("dimensions"), "invalid_value"),
        (ask(json!({"model": "whisper"})), 400, json!("model"), "invalid_value"),
        (ask(json!({"model": "text-embedding-3-small"})), 404, json!("model"), "model_not_found"),
        (ask(json!({"model": null})), 400, json!("model"), "missing_required_parameter"),
        (form, 415, json!(null), "unsupported_media_type"),
        (get("/v1/embeddings"), 405, json!(null), "method_not_allowed"),
    ] {
        let answer = send(&router, request).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        let problem = answer.json();
        assert_eq!(problem["error"]["param"], parameter, "{problem}");
        assert_eq!(problem["error"]["code"], code, "{problem}");
    }
}

#[tokio::test]
async fn pairs_are_scored_as_vllm_does() {
    let router = serving();
    let scores = |answer: &Value| -> Vec<f64> {
        answer["data"].as_array().unwrap().iter().map(|entry| entry["score"].as_f64().unwrap()).collect()
    };
    let one = json!({"model": "similarity", "text_1": "abc", "text_2": "xyz"});
    let answer = send(&router, post_json("/score", &one)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.header("x-ostler-model"), "similarity");
    let body = answer.json();
    assert_eq!(body["data"], json!([{"index": 0, "object": "score", "score": 1.0}]));
    assert_eq!((&body["object"], &body["model"]), (&json!("list"), &json!("similarity")));
    assert_eq!(body["usage"], json!({"prompt_tokens": 6, "total_tokens": 6}));
    assert!(body["id"].as_str().unwrap().starts_with("score-") && body["created"].as_u64() > Some(0));
    // One against many, by the newer names, on the other path, with the model of the plan.
    let many = json!({"queries": "a", "documents": ["b", "bcdefgh"]});
    let answer = send(&router, post_json("/v1/score", &many)).await.json();
    assert_eq!(answer["model"], "similarity");
    let found = scores(&answer);
    assert!(found.len() == 2 && found[0] == 1.0 && found[1] < 0.9, "{found:?}");
    let each = json!({"text_1": ["a", "bcdefgh"], "text_2": ["bcdefgh", "a"]});
    let found = scores(&send(&router, post_json("/score", &each)).await.json());
    assert!(found.len() == 2 && found[0] == found[1] && found[0] < 0.9, "{found:?}");
}

#[tokio::test]
async fn score_requests_fail_in_vllms_shape() {
    let router = serving();
    for (request, status, error_type) in [
        (post_json("/score", &json!({"text_1": ["a", "b"], "text_2": ["c"]})), 400, "BadRequestError"),
        (post_json("/score", &json!({"model": "none", "text_1": "a", "text_2": "b"})), 404, "NotFoundError"),
        (get("/score"), 405, "Method Not Allowed"),
    ] {
        let answer = send(&router, request).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        let error = &answer.json()["error"];
        assert_eq!((&error["code"], &error["type"]), (&json!(status), &json!(error_type)));
        assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()));
    }
}

#[tokio::test]
async fn models_and_languages_are_listed() {
    let router = serving();
    let models = send(&router, get("/v1/models")).await.json();
    assert_eq!(models["object"], "list");
    assert_eq!(models["data"].as_array().unwrap().len(), 9);
    assert_eq!(send(&router, get("/v1/models/whisper@v2")).await.json()["object"], "model");
    assert_eq!(send(&router, get("/languages")).await.json()[0]["code"], "de");
}

#[tokio::test]
async fn a_model_that_cannot_be_loaded_names_every_attempt() {
    let (state, _) = state(plan_with_broken(&["v1", "v2"], &["v1", "v2"]), Limits::default());
    let answer = send(&app(state), transcribe(&[])).await;
    assert_eq!(answer.status, 503, "{}", answer.text);
    assert!(!answer.header("retry-after").is_empty());
    let problem = answer.json();
    assert_eq!(problem["kind"], "ModelUnavailable");
    assert_eq!(problem["attempts"].as_array().unwrap().len(), 2);
    assert_eq!(problem["attempts"][0]["reason"], "NotFound");
    assert_eq!(problem["attempts"][0]["location"], "Download");
    assert_eq!(problem["error"]["type"], "server_error");
}

#[tokio::test]
async fn a_fallback_answers_and_names_the_version_it_stands_in_for() {
    let mut plan = plan_with_broken(&["v2"], &["v1"]);
    for (version, weight) in plan.models[0].versions.iter_mut().zip([0_u8, 100]) {
        version.weight = weight.try_into().unwrap();
    }
    let (state, _) = state(plan, Limits::default());
    let answer = send(&app(state), transcribe(&[])).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.header("x-ostler-version"), "v1");
    assert_eq!(answer.header("x-ostler-fallback"), "v2; location=Download; reason=NotFound");
}

async fn until(condition: impl Fn() -> bool) {
    for _ in 0..1_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it never came true");
}

/// Row 40.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_40_a_client_that_goes_away_stops_its_job() {
    let (state, loader) = state(plan(), Limits::default());
    let (router, status) = (app(state.clone()), status_app(state));
    let request = tokio::spawn(router.clone().oneshot(transcribe(&[("prompt", "wait")])));
    until(|| loader.begun.load(Ordering::SeqCst) == 1).await;
    request.abort();
    until(|| loader.cancelled.load(Ordering::SeqCst) == 1).await;
    let line = "ostler_requests_total{endpoint=\"/v1/audio/transcriptions\",status=\"499\"} 1";
    assert!(send(&status, get("/metrics")).await.text.contains(line));
    assert_eq!(send(&router, transcribe(&[])).await.status, 200);
}

fn events(text: &str) -> Vec<Value> {
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap()).collect()
}

#[tokio::test]
async fn a_transcript_is_sent_while_it_is_made() {
    let router = serving();
    let answer = send(&router, transcribe(&[("stream", "true")])).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.header("content-type"), "text/event-stream");
    assert_eq!(answer.header("x-ostler-model"), "whisper");
    let usage = json!({"type": "duration", "seconds": 4});
    assert_eq!(
        events(&answer.text),
        [
            json!({"type": "transcript.text.delta", "delta": "Hallo."}),
            json!({"type": "transcript.text.delta", "delta": " Guten Tag."}),
            json!({"type": "transcript.text.done", "text": "Hallo. Guten Tag.", "usage": usage}),
        ]
    );
    // What fails at once has its status; what fails later is an event.
    let refused = send(&router, transcribe(&[("stream", "true"), ("prompt", "klingon")])).await;
    assert_eq!((refused.status, refused.json()["error"]["param"].as_str()), (400, Some("language")));
    let late = send(&router, transcribe(&[("stream", "true"), ("prompt", "damaged")])).await;
    assert_eq!(late.status, 200);
    let late = events(&late.text);
    assert_eq!((late.len(), late[1]["error"]["code"].as_str()), (2, Some("compute_failed")));
}

/// Row 40.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_40_a_client_that_leaves_a_stream_stops_its_job_and_gives_its_place_back() {
    let limits = Limits { concurrent_requests: 1, ..Limits::default() };
    let (router, loader) = with_limits(limits);
    let request = transcribe(&[("stream", "true"), ("prompt", "wait")]);
    let response = router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    // The head is out, but the work is not done: the place is taken.
    assert_eq!(send(&router, get("/v1/models")).await.status, 429);
    drop(response);
    until(|| loader.cancelled.load(Ordering::SeqCst) == 1).await;
    assert_eq!(send(&router, get("/v1/models")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_has_the_deadline_of_every_request() {
    let limits = Limits { request_time: Duration::from_millis(300), ..Limits::default() };
    let (router, loader) = with_limits(limits);
    let answer = send(&router, transcribe(&[("stream", "true"), ("prompt", "wait")])).await;
    assert_eq!(answer.status, 200);
    assert_eq!(events(&answer.text)[1]["error"]["code"], "deadline_exceeded");
    until(|| loader.cancelled.load(Ordering::SeqCst) == 1).await;
}

/// The bytes of a request as a client sends them.
async fn on_the_wire(request: Request) -> Vec<u8> {
    let (parts, body) = request.into_parts();
    let mut bytes = format!("{} {} HTTP/1.1\r\nhost: x\r\n", parts.method, parts.uri).into_bytes();
    for (name, value) in &parts.headers {
        bytes.extend_from_slice(format!("{name}: {}\r\n", value.to_str().unwrap()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(&axum::body::to_bytes(body, 1 << 20).await.unwrap());
    bytes
}

/// Row 40.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_40_a_closed_connection_stops_its_job_and_gives_its_place_back_at_every_stage() {
    let (router, loader) = with_limits(Limits { concurrent_requests: 1, ..Limits::default() });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let (bounds, draining) = (server::ServerBounds::default(), stop.clone());
    let stopped = stop.clone().cancelled_owned();
    let serving = tokio::spawn(server::serve(listener, router.clone(), bounds, draining, stopped));
    let bytes = on_the_wire(transcribe(&[("prompt", "wait")])).await;
    // In the head, in the body, and, with everything sent, while the engine computes.
    for sent in [40, 2_000, bytes.len()] {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(&bytes[..sent]).await.unwrap();
        if sent == bytes.len() {
            until(|| loader.begun.load(Ordering::SeqCst) == 1).await;
        } else {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        drop(stream);
        let mut answered = false;
        for _ in 0..200 {
            answered = send(&router, get("/v1/models")).await.status == 200;
            if answered {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(answered, "the place was not given back within a second after {sent} bytes");
    }
    until(|| loader.cancelled.load(Ordering::SeqCst) == 1).await;
    stop.cancel();
    serving.await.unwrap();
}

/// Row 41.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_41_health_answers_while_every_place_is_taken_ten_times_over() {
    let limits = Limits { concurrent_requests: 8, ..Limits::default() };
    let (state, loader) = state(plan(), limits);
    let (serving, status) = (app(state.clone()), status_app(state));
    let flood: Vec<_> = (0..80)
        .map(|_| {
            let router = serving.clone();
            tokio::spawn(async move { send(&router, transcribe(&[("prompt", "wait")])).await.status })
        })
        .collect();
    until(|| loader.begun.load(Ordering::SeqCst) >= 1).await;
    let started = Instant::now();
    assert_eq!(send(&status, get("/healthz")).await.status, 200);
    assert!(started.elapsed() < Duration::from_secs(1));
    let mut refused = 0;
    for request in flood {
        // Those that hold a place would wait for ever; their clients go away.
        if !request.is_finished() {
            request.abort();
        }
        refused += usize::from(request.await.is_ok_and(|status| status == 429));
    }
    assert!(refused >= 60, "{refused} of 80 were told to come back");
    until(|| loader.cancelled.load(Ordering::SeqCst) == loader.begun.load(Ordering::SeqCst)).await;
    assert_eq!(send(&serving, transcribe(&[])).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_over_the_bound_are_told_to_come_back_and_slow_ones_are_cut_off() {
    let limits =
        Limits { concurrent_requests: 1, request_time: Duration::from_millis(500), ..Limits::default() };
    let (router, loader) = with_limits(limits);
    let first = tokio::spawn({
        let router = router.clone();
        async move { send(&router, transcribe(&[("prompt", "wait")])).await }
    });
    until(|| loader.begun.load(Ordering::SeqCst) == 1).await;
    for request in [transcribe(&[]), post_json("/detect", &json!({"q": "a"}))] {
        let answer = send(&router, request).await;
        assert_eq!(answer.status, 429);
        assert_eq!(answer.header("retry-after"), "2");
    }
    assert_eq!(first.await.unwrap().status, 504);
    until(|| loader.cancelled.load(Ordering::SeqCst) == 1).await;
}

#[tokio::test]
async fn the_status_listener_tells_and_changes_nothing() {
    let (state, _) = state(plan(), Limits::default());
    let manager = state.manager.clone();
    let (serving, status) = (app(state.clone()), status_app(state));
    let not_yet = send(&status, get("/readyz")).await;
    assert!([200, 503].contains(&not_yet.status));
    until(|| manager.is_ready()).await;
    let ready = send(&status, get("/readyz")).await;
    assert_eq!((ready.status, ready.json()), (200, json!({"ready": true, "progressPercent": 100})));
    assert_eq!(send(&status, get("/healthz")).await.text, "ok\n");
    send(&serving, transcribe(&[])).await;
    let answer = send(&status, get("/metrics")).await;
    assert!(answer.header("content-type").starts_with("text/plain; version=0.0.4"));
    let line = "ostler_requests_total{endpoint=\"/v1/audio/transcriptions\",status=\"200\"} 1";
    assert!(answer.text.lines().any(|other| other == line), "{}", answer.text);
    for path in ["/healthz", "/readyz", "/metrics", "/progress"] {
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
            assert_eq!(send(&status, request).await.status, 405, "{path}");
        }
    }
    manager.drain();
    let draining = send(&status, get("/readyz")).await;
    assert_eq!((draining.status, &draining.json()["reason"]), (503, &json!("ShuttingDown")));
}

#[tokio::test]
async fn a_pod_that_cannot_load_says_what_it_waits_for() {
    let (state, _) = state(plan_with_broken(&["v2"], &[]), Limits::default());
    let manager = state.manager.clone();
    let status = status_app(state);
    until(|| manager.snapshot().versions.iter().any(|version| version.last_failure.is_some())).await;
    let answer = send(&status, get("/readyz")).await;
    assert_eq!(answer.status, 503);
    let readiness = answer.json();
    assert_eq!(readiness["reason"], "Loading");
    let waiting = readiness["waitingFor"].as_array().unwrap();
    assert!(
        waiting.iter().any(|one| one["version"] == "v2" && one["lastFailure"]["reason"] == "NotFound"),
        "{readiness}"
    );
}

#[tokio::test]
async fn progress_is_a_stream_of_json_that_ends_with_the_process() {
    let (state, _) = state(plan(), Limits::default());
    let manager = state.manager.clone();
    for router in [app(state.clone()), status_app(state)] {
        let response = router.oneshot(get("/progress")).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        let manager = manager.clone();
        let body = tokio::spawn(axum::body::to_bytes(response.into_body(), 1 << 20));
        until(|| manager.snapshot().ready).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        manager.drain();
        let text = String::from_utf8(body.await.unwrap().unwrap().to_vec()).unwrap();
        let Some(last) = text.lines().filter_map(|line| line.strip_prefix("data: ")).next_back() else {
            continue;
        };
        let snapshot: Value = serde_json::from_str(last).unwrap();
        assert_eq!(snapshot["progressPercent"], 100);
        assert_eq!(snapshot["versions"][0]["state"], "Loaded");
    }
}

#[tokio::test]
async fn hostile_text_reaches_neither_headers_nor_messages_unescaped() {
    let router = serving();
    let mut request = transcribe(&[("language", "de\r\nx-injected: 1"), ("response_format", "\u{1b}[31m")]);
    request.headers_mut().insert("x-request-id", "a b\"c".parse().unwrap());
    let answer = send(&router, request).await;
    assert_eq!(answer.status, 400);
    assert_ne!(answer.header("x-request-id"), "a b\"c");
    assert!(answer.headers.get("x-injected").is_none());
    let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(!message.chars().any(char::is_control), "{message:?}");
    let long = "x".repeat(100_000);
    let answer =
        send(&router, post_json("/translate", &json!({"q": "a", "source": "en", "target": long}))).await;
    assert!(answer.status == 400 && answer.text.len() < 1_000, "{}", answer.text.len());
}
