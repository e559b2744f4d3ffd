//! Turns statuses and transport errors into this crate's errors.

use std::error::Error;
use std::time::SystemTime;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use url::Url;

use crate::error::{HubError, Resource, shown};
use crate::resolver::{OnlyPrivate, Unresolved};
use crate::retry_after;

/// The error that a status other than success means. `from_endpoint` is false where a redirect's target answered:
/// its 401, 403 and 404 speak of a signed address that has run out, not of the user's rights.
pub(crate) fn of_status(
    status: StatusCode,
    headers: &HeaderMap,
    asked: Resource,
    subject: &str,
    from_endpoint: bool,
    now: SystemTime,
) -> HubError {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let retry_after = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| retry_after::parse(value, now));
    let subject = subject.to_owned();
    if from_endpoint {
        match text("x-error-code") {
            Some("RepoNotFound") => return HubError::NotFound { resource: Resource::Repository, subject },
            Some("RevisionNotFound") => return HubError::NotFound { resource: Resource::Revision, subject },
            Some("EntryNotFound") => return HubError::NotFound { resource: Resource::File, subject },
            Some("GatedRepo") => return HubError::Gated { subject },
            _ => {}
        }
    }
    match status.as_u16() {
        429 => HubError::RateLimited { retry_after, subject },
        401 | 403 if from_endpoint => HubError::Unauthorized { status: status.as_u16(), subject },
        404 | 410 if from_endpoint => HubError::NotFound { resource: asked, subject },
        401 | 403 | 404 | 410 => {
            unavailable(subject, format!("its storage answered {}", status.as_u16()), retry_after)
        }
        408 | 425 | 500..=599 => unavailable(subject, format!("status {}", status.as_u16()), retry_after),
        code => HubError::UnexpectedStatus { status: code, subject },
    }
}

fn unavailable(subject: String, detail: String, retry_after: Option<std::time::Duration>) -> HubError {
    HubError::HubUnavailable { retry_after, subject, detail, source: None }
}

/// The error that a failure before the head of an answer means.
pub(crate) fn of_transport(error: reqwest::Error, url: &Url, subject: &str) -> HubError {
    // reqwest writes the address into its text, and signed addresses are credentials.
    let source = error.without_url();
    let subject = subject.to_owned();
    let host = url.host_str().unwrap_or_default().to_owned();
    if find::<OnlyPrivate>(&source).is_some() {
        let problem = "its name leads to private addresses, and the endpoint is not at one";
        return HubError::RedirectRefused { subject, target: shown(url), problem };
    }
    if find::<Unresolved>(&source).is_some() {
        return HubError::Dns { subject, host, source };
    }
    if find::<rustls::Error>(&source).is_some() {
        return HubError::Tls { subject, host, source };
    }
    let step = if source.is_connect() { "no connection to" } else { "no answer from" };
    HubError::HubUnavailable {
        retry_after: None,
        subject,
        detail: format!("{step} {host}"),
        source: Some(source),
    }
}

/// The first error of a type in a chain of sources. An `io::Error` hides the error that it wraps from its own
/// chain, so it is opened too.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(current) = next {
        if let Some(found) = current.downcast_ref::<E>() {
            return Some(found);
        }
        let wrapped = current.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(wrapped) = wrapped {
            let wrapped: &(dyn Error + 'static) = wrapped;
            if let Some(found) = find::<E>(wrapped) {
                return Some(found);
            }
        }
        next = current.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(status: u16, code: Option<&'static str>, from_endpoint: bool) -> &'static str {
        let mut headers = HeaderMap::new();
        if let Some(code) = code {
            headers.insert("x-error-code", code.parse().unwrap());
        }
        let status = StatusCode::from_u16(status).unwrap();
        of_status(status, &headers, Resource::Revision, "a/b", from_endpoint, SystemTime::UNIX_EPOCH).reason()
    }

    #[test]
    fn each_status_has_its_reason() {
        assert_eq!(reason(401, Some("RepoNotFound"), true), "RepositoryNotFound");
        assert_eq!(reason(404, Some("EntryNotFound"), true), "FileNotFound");
        assert_eq!(reason(404, None, true), "RevisionNotFound");
        assert_eq!(reason(403, Some("GatedRepo"), true), "GatedRepository");
        assert_eq!(reason(401, None, true), "Unauthorized");
        assert_eq!(reason(403, None, true), "Unauthorized");
        assert_eq!(reason(403, Some("GatedRepo"), false), "HubUnavailable");
        assert_eq!(reason(429, None, true), "RateLimited");
        assert_eq!(reason(503, None, true), "HubUnavailable");
        assert_eq!(reason(418, None, true), "UnexpectedStatus");
        assert_eq!(reason(304, None, true), "UnexpectedStatus");
    }

    #[test]
    fn an_error_inside_an_io_error_is_found() {
        let inner = rustls::Error::General("x".to_owned());
        let outer = std::io::Error::other(std::io::Error::other(inner));
        assert!(find::<rustls::Error>(&outer).is_some());
        assert!(find::<Unresolved>(&outer).is_none());
    }
}
