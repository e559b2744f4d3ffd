//! Who asks, and which version for: what every endpoint reads from the headers of a request.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

use super::headers;
use super::prefer::{self, Preference};
use crate::routing::Subject;

/// The longest request id taken over from a client, in bytes.
const MAX_REQUEST_ID_LENGTH: usize = 128;

/// The request's id: the client's own where it is harmless in a log, else a random one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RequestId(pub(super) String);

/// What the headers say about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    /// The id of this request.
    pub(super) request_id: String,
    /// `x-ostler-subject`.
    pub(super) subject: Option<String>,
    /// `x-ostler-model`.
    pub(super) model: Option<String>,
    /// `x-ostler-version`, and `@` with `x-ostler-revision` where that is sent back too.
    pub(super) version: Option<String>,
    /// `prefer`.
    pub(super) preference: Preference,
}

impl Caller {
    /// The subject of the version split: the header, else the protocol's own user, else the request's id.
    pub(super) fn subject(&self, user: Option<&str>) -> Subject {
        let named = self.subject.as_deref().or(user).map(|name| Subject::Named(name.to_owned()));
        named.unwrap_or_else(|| Subject::Request(self.request_id.clone()))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        let request_id = parts.extensions.get::<RequestId>().cloned();
        Ok(read(&parts.headers, request_id))
    }
}

/// What headers say. Pure, but for the id of a request that has none.
pub(super) fn read(headers: &HeaderMap, request_id: Option<RequestId>) -> Caller {
    // Bytes outside UTF-8 still make a stable subject, so they are replaced and not refused.
    let text = |name: HeaderName| {
        let value = headers.get(name)?;
        let text = String::from_utf8_lossy(value.as_bytes()).trim().to_owned();
        (!text.is_empty()).then_some(text)
    };
    Caller {
        request_id: request_id.map_or_else(random_id, |id| id.0),
        subject: text(headers::SUBJECT),
        model: text(headers::MODEL),
        version: join(text(headers::VERSION), text(headers::REVISION)),
        preference: prefer::read(headers),
    }
}

/// The version and the revision of an earlier answer, as its headers had them, or either of them.
fn join(version: Option<String>, revision: Option<String>) -> Option<String> {
    match (version, revision) {
        (Some(version), Some(revision)) if version != revision => Some(format!("{version}@{revision}")),
        (version, revision) => version.or(revision),
    }
}

/// Gives each request its id, and the response the same one.
pub(super) async fn identify(mut request: Request, next: Next) -> Response {
    let given = request.headers().get(headers::REQUEST_ID).and_then(|value| value.to_str().ok());
    let id = given.filter(|id| is_harmless(id)).map_or_else(random_id, str::to_owned);
    let header = HeaderValue::from_str(&id);
    request.extensions_mut().insert(RequestId(id));
    let mut response = next.run(request).await;
    if let Ok(header) = header {
        response.headers_mut().insert(headers::REQUEST_ID, header);
    }
    response
}

/// Whether a client's id may stand in logs and headers as it is.
fn is_harmless(id: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(&byte);
    (1..=MAX_REQUEST_ID_LENGTH).contains(&id.len()) && id.bytes().all(is_allowed)
}

fn random_id() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_could_forge_a_log_line_are_replaced() {
        let long = "a".repeat(MAX_REQUEST_ID_LENGTH + 1);
        for (id, harmless) in [
            ("req_123-4.5:6", true),
            ("550e8400-e29b-41d4-a716-446655440000", true),
            ("", false),
            ("two words", false),
            ("line\nbreak", false),
            ("\u{1b}[31m", false),
            ("\"quoted\"", false),
            (&long, false),
        ] {
            assert_eq!(is_harmless(id), harmless, "{id:?}");
        }
    }

    #[test]
    fn the_subject_is_the_header_else_the_user_else_the_request_id() {
        let mut headers = HeaderMap::new();
        let id = || Some(RequestId("id".to_owned()));
        let named = |name: &str| Subject::Named(name.to_owned());
        assert_eq!(read(&headers, id()).subject(None), Subject::Request("id".to_owned()));
        assert_eq!(read(&headers, id()).subject(Some("user")), named("user"));
        headers.insert(headers::SUBJECT, HeaderValue::from_static(" talk-7 "));
        assert_eq!(read(&headers, id()).subject(Some("user")), named("talk-7"));
    }

    #[test]
    fn the_headers_of_an_answer_ask_for_the_same_again() {
        let both = |version: &str, revision: &str| {
            let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            join(text(version), text(revision)).unwrap_or_default()
        };
        assert_eq!(both("v1", "abc"), "v1@abc");
        assert_eq!(
            (both("v1", ""), both("", "abc"), both("abc", "abc")),
            ("v1".into(), "abc".into(), "abc".into())
        );
        assert_eq!(both("", ""), "");
    }

    #[test]
    fn random_ids_are_harmless_and_differ() {
        let (one, two) = (random_id(), random_id());
        assert!(is_harmless(&one));
        assert_ne!(one, two);
    }
}
