//! Answers requests: route, rights, fault, head, body.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    ACCEPT_RANGES, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HOST, LOCATION, RANGE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::Response;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::answer::{self, Refusal, Span};
use crate::body;
use crate::contents::{Contents, HubFile};
use crate::fault::{Fault, Script};
use crate::log::{Log, LoggedRequest};
use crate::repository::{Commit, Repository};
use crate::route::Route;

/// What the listeners of one hub share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) repositories: Mutex<HashMap<String, Repository>>,
    pub(crate) script: Mutex<Script>,
    pub(crate) log: Log,
    /// Where redirects of large files lead, such as `http://127.0.0.2:1234`; the asked host where there is none.
    pub(crate) storage: Option<String>,
}

/// One listener of a hub.
#[derive(Debug, Clone)]
pub(crate) struct Listener {
    pub(crate) shared: Arc<Shared>,
    pub(crate) is_storage: bool,
}

/// An answer before faults: a head, and what the body is made of.
struct Answer {
    status: StatusCode,
    headers: Vec<(HeaderName, String)>,
    body: AnswerBody,
}

enum AnswerBody {
    Text(String),
    File(HubFile),
}

/// Answers one request.
pub(crate) async fn serve(State(listener): State<Listener>, request: Request) -> Response {
    let shared = &listener.shared;
    let (method, uri, headers) = (request.method(), request.uri(), request.headers());
    let route = Route::parse(uri.path());
    let answer = if matches!(*method, Method::GET | Method::HEAD) {
        answer_of(shared, &route, uri, headers).unwrap_or_else(refuse)
    } else {
        refuse(Refusal { status: StatusCode::METHOD_NOT_ALLOWED, code: None, message: "Only GET and HEAD" })
    };
    let carries_bytes = matches!(answer.body, AnswerBody::File(_));
    let fault = lock(&shared.script).take(route.part(), route.file(), carries_bytes).unwrap_or_default();
    let range = if fault.ignores_ranges { None } else { text(headers, RANGE) };
    let ranged = ranged(answer, range);
    let logged = LoggedRequest {
        method: method.to_string(),
        path: uri.path().to_owned(),
        part: route.part(),
        file: route.file().map(str::to_owned),
        at_storage_listener: listener.is_storage,
        authorization: text(headers, AUTHORIZATION).map(str::to_owned),
        range: text(headers, RANGE).map(str::to_owned),
        status: fault.status.unwrap_or(ranged.status.as_u16()),
        bytes_sent: 0,
    };
    tracing::info!(method = %logged.method, path = %logged.path, range = ?logged.range, status = logged.status, "request");
    let counter = shared.log.add(logged);
    if let Some(delay) = fault.delay {
        tokio::time::sleep(delay).await;
    }
    respond(ranged, &fault, *method == Method::HEAD, counter).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "answer failed");
        let mut response = Response::new(Body::from("the file could not be read"));
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

fn answer_of(shared: &Shared, route: &Route, uri: &Uri, headers: &HeaderMap) -> Result<Answer, Refusal> {
    let authorization = text(headers, AUTHORIZATION);
    let repositories = lock(&shared.repositories);
    let find = |name: &str, revision: &str| {
        let repository = repositories.get(name).ok_or(answer::NO_REPOSITORY)?;
        let commit = repository.commit(revision).ok_or(answer::NO_REVISION);
        Ok::<_, Refusal>((repository, commit))
    };
    match route {
        Route::Health if repositories.is_empty() => Err(answer::EMPTY),
        Route::Health => {
            Ok(Answer { status: StatusCode::OK, headers: vec![], body: AnswerBody::Text("ok".into()) })
        }
        Route::Unknown => Err(answer::NO_PAGE),
        Route::Listing { repository: name, revision } => {
            let (repository, commit) = find(name, revision)?;
            answer::check_access(repository, authorization)?;
            let with_blobs = asks(uri, "blobs");
            let listing = answer::listing(name, repository, &*commit?, with_blobs);
            Ok(json(&listing))
        }
        Route::Tree { repository: name, revision, folder } => {
            let (repository, commit) = find(name, revision)?;
            answer::check_access(repository, authorization)?;
            Ok(json(&answer::tree(&*commit?, folder, asks(uri, "recursive"))))
        }
        Route::Resolve { repository: name, revision, file } => {
            let (repository, commit) = find(name, revision)?;
            answer::check_access(repository, authorization)?;
            let commit = commit?;
            answer::check_gate(repository, authorization)?;
            let found = commit.files.get(file).ok_or(answer::NO_FILE)?;
            let here = format!("http://{}", text(headers, HOST).unwrap_or("127.0.0.1"));
            let storage = shared.storage.as_deref().unwrap_or(&here);
            Ok(resolved(name, &commit, file, found, storage))
        }
        Route::Storage { repository: name, commit, file } => {
            let (_, commit) = find(name, commit)?;
            let commit = commit?;
            let found = commit.files.get(file).ok_or(answer::NO_FILE)?;
            let sha256 = found.large.as_ref().map(|large| large.sha256.as_str());
            if uri.query().and_then(|query| query.strip_prefix("signature=")) != sha256 {
                return Err(answer::BAD_SIGNATURE);
            }
            // Python follows a HEAD to the same host and reads the Hub's headers there.
            let mut headers = hub_headers(&commit, found);
            headers.push((ETAG, format!("\"{}\"", sha256.unwrap_or_default())));
            Ok(Answer { status: StatusCode::OK, headers, body: AnswerBody::File(found.clone()) })
        }
    }
}

/// Whether a query holds `NAME=true`; Python writes it with a capital.
fn asks(uri: &Uri, name: &str) -> bool {
    let is_true = |(key, value): (&str, &str)| key == name && value.eq_ignore_ascii_case("true");
    uri.query().is_some_and(|query| query.split('&').filter_map(|pair| pair.split_once('=')).any(is_true))
}

fn json(value: &serde_json::Value) -> Answer {
    Answer {
        status: StatusCode::OK,
        headers: vec![(CONTENT_TYPE, "application/json; charset=utf-8".into())],
        body: AnswerBody::Text(value.to_string()),
    }
}

/// What is escaped in a path's parts: all but RFC 3986's unreserved characters.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

fn resolved(name: &str, commit: &Commit, path: &str, file: &HubFile, storage: &str) -> Answer {
    let mut headers = hub_headers(commit, file);
    let Some(large) = &file.large else {
        headers.push((ETAG, format!("\"{}\"", file.blob_id)));
        return Answer { status: StatusCode::OK, headers, body: AnswerBody::File(file.clone()) };
    };
    let escaped = utf8_percent_encode(path, ESCAPED);
    let location = format!("{storage}/cdn/{name}/{}/{escaped}?signature={}", commit.id, large.sha256);
    headers.push((LOCATION, location.clone()));
    headers.push((CONTENT_TYPE, "text/plain; charset=utf-8".into()));
    Answer {
        status: StatusCode::FOUND,
        headers,
        body: AnswerBody::Text(format!("Found. Redirecting to {location}")),
    }
}

/// What the Hub says of a file beside its contents.
fn hub_headers(commit: &Commit, file: &HubFile) -> Vec<(HeaderName, String)> {
    let mut headers = vec![(HeaderName::from_static("x-repo-commit"), commit.id.clone())];
    if let Some(large) = &file.large {
        headers.push((HeaderName::from_static("x-linked-size"), file.size.to_string()));
        headers.push((HeaderName::from_static("x-linked-etag"), format!("\"{}\"", large.sha256)));
    }
    headers
}

fn refuse(refusal: Refusal) -> Answer {
    let mut headers = vec![
        (CONTENT_TYPE, "application/json; charset=utf-8".to_owned()),
        (HeaderName::from_static("x-error-message"), refusal.message.to_owned()),
    ];
    if let Some(code) = refusal.code {
        headers.push((HeaderName::from_static("x-error-code"), code.to_owned()));
    }
    let body = serde_json::json!({"error": refusal.message}).to_string();
    Answer { status: refusal.status, headers, body: AnswerBody::Text(body) }
}

/// An answer whose range is worked out.
struct Ranged {
    status: StatusCode,
    headers: Vec<(HeaderName, String)>,
    contents: Contents,
    start: u64,
    length: u64,
}

fn ranged(answer: Answer, range: Option<&str>) -> Ranged {
    let Answer { mut status, mut headers, body } = answer;
    match body {
        AnswerBody::Text(text) => {
            let length = text.len() as u64;
            Ranged { status, headers, contents: Contents::Bytes(text.into()), start: 0, length }
        }
        AnswerBody::File(file) => {
            headers.push((ACCEPT_RANGES, "bytes".to_owned()));
            headers.push((CONTENT_TYPE, "application/octet-stream".to_owned()));
            let (start, length) = match answer::span(range, file.size) {
                Span::Whole => (0, file.size),
                Span::Part(first, last) => {
                    status = StatusCode::PARTIAL_CONTENT;
                    headers.push((CONTENT_RANGE, format!("bytes {first}-{last}/{}", file.size)));
                    (first, last - first + 1)
                }
                Span::Unsatisfiable => {
                    status = StatusCode::RANGE_NOT_SATISFIABLE;
                    headers.push((CONTENT_RANGE, format!("bytes */{}", file.size)));
                    (0, 0)
                }
            };
            Ranged { status, headers, contents: file.contents, start, length }
        }
    }
}

async fn respond(
    ranged: Ranged,
    fault: &Fault,
    is_head: bool,
    counter: Arc<AtomicU64>,
) -> std::io::Result<Response> {
    let (contents, start, length) = match &fault.body {
        Some(body) => (Contents::Bytes(body.clone()), 0, body.len() as u64),
        None => (ranged.contents, ranged.start, ranged.length),
    };
    let body =
        if is_head { Body::empty() } else { body::body(&contents, start, length, fault, counter).await? };
    let mut response = Response::new(body);
    *response.status_mut() =
        fault.status.and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(ranged.status);
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, length.into());
    for (name, value) in ranged.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    for name in &fault.removed_headers {
        headers.remove(name);
    }
    for (name, value) in &fault.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse()) {
            headers.insert(name, value);
        }
    }
    Ok(response)
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
