//! The body of one file, piece by piece, under the bounds of waiting and of rate.

use std::time::Instant;

use bytes::Bytes;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderMap};

use crate::error::HubError;
use crate::rate::RateGuard;
use crate::settings::HubBounds;

/// A body that is being received. Dropping it closes the transfer.
#[derive(Debug)]
pub struct Download {
    response: reqwest::Response,
    subject: String,
    offset: u64,
    declared_size: Option<u64>,
    idle: std::time::Duration,
    rate: RateGuard,
}

impl Download {
    pub(crate) fn new(
        response: reqwest::Response,
        subject: String,
        asked_offset: u64,
        linked_size: Option<u64>,
        bounds: &HubBounds,
    ) -> Result<Self, HubError> {
        let is_partial = response.status().as_u16() == 206;
        let head = body_head(is_partial, response.headers(), asked_offset, linked_size)
            .map_err(|problem| HubError::MalformedAnswer { subject: subject.clone(), problem })?;
        Ok(Self {
            response,
            subject,
            offset: head.offset,
            declared_size: head.declared_size,
            idle: bounds.idle,
            rate: RateGuard::new(bounds.rate_window, bounds.minimum_rate),
        })
    }

    /// The position in the file of the body's first byte: the one asked for, or 0 where the server does not know
    /// ranges.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The whole file's length as the answer's head declares it, where it does.
    #[must_use]
    pub fn declared_size(&self) -> Option<u64> {
        self.declared_size
    }

    /// The next piece of the body, or nothing at its end.
    ///
    /// # Errors
    /// `Stalled` where nothing comes in time or too little over a window, `Interrupted` where the connection breaks
    /// or ends before the declared length.
    pub async fn next_chunk(&mut self) -> Result<Option<Bytes>, HubError> {
        let bound = self.idle.min(self.rate.remaining().max(std::time::Duration::from_millis(1)));
        let start = Instant::now();
        let received = tokio::time::timeout(bound, self.response.chunk()).await;
        let waited = start.elapsed();
        match received {
            Err(_) if waited >= self.idle => {
                Err(self.stalled(format!("no byte of the body within {:?}", self.idle)))
            }
            Err(_) if self.rate.observe(waited, 0) => Ok(Some(Bytes::new())),
            Err(_) => Err(self.too_slow()),
            Ok(Err(error)) => {
                Err(HubError::Interrupted { subject: self.subject.clone(), source: error.without_url() })
            }
            Ok(Ok(None)) => Ok(None),
            Ok(Ok(Some(bytes))) if self.rate.observe(waited, bytes.len()) => Ok(Some(bytes)),
            Ok(Ok(Some(_))) => Err(self.too_slow()),
        }
    }

    fn too_slow(&self) -> HubError {
        self.stalled("the body comes slower than the minimum rate".to_owned())
    }

    fn stalled(&self, detail: String) -> HubError {
        HubError::Stalled { subject: self.subject.clone(), detail }
    }
}

/// What the head of an answer says about its body.
#[derive(Debug, PartialEq, Eq)]
struct BodyHead {
    offset: u64,
    declared_size: Option<u64>,
}

fn body_head(
    is_partial: bool,
    headers: &HeaderMap,
    asked_offset: u64,
    linked_size: Option<u64>,
) -> Result<BodyHead, String> {
    if headers.get("content-encoding").is_some_and(|encoding| encoding != "identity") {
        return Err("Content-Encoding: the body is compressed, though none was asked for".to_owned());
    }
    let (offset, size) = if is_partial {
        let range =
            headers.get(CONTENT_RANGE).and_then(|value| value.to_str().ok()).and_then(parse_content_range);
        let Some((start, total)) = range else {
            return Err("Content-Range: missing or unreadable".to_owned());
        };
        if start != asked_offset {
            return Err(format!("Content-Range: starts at byte {start}, asked for was {asked_offset}"));
        }
        (start, total)
    } else {
        let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        (0, length.and_then(|length| length.parse().ok()))
    };
    match (size, linked_size) {
        (Some(size), Some(linked)) if size != linked => {
            Err(format!("X-Linked-Size: {linked} bytes, but the body declares {size}"))
        }
        _ => Ok(BodyHead { offset, declared_size: size.or(linked_size) }),
    }
}

/// Parses `bytes START-END/TOTAL`, where the total may be `*`.
fn parse_content_range(value: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = value.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (start, end) = range.split_once('-')?;
    let (start, end): (u64, u64) = (start.parse().ok()?, end.parse().ok()?);
    if total == "*" {
        return (start <= end).then_some((start, None));
    }
    let total: u64 = total.parse().ok()?;
    // A range that ends before the file does would be taken for the rest of it.
    (start <= end && end.checked_add(1) == Some(total)).then_some((start, Some(total)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(
        is_partial: bool,
        name: &'static str,
        value: &str,
        linked: Option<u64>,
    ) -> Result<BodyHead, String> {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        body_head(is_partial, &headers, 5, linked)
    }

    #[test]
    fn heads_are_read() {
        let whole = Ok(BodyHead { offset: 0, declared_size: Some(9) });
        let rest = Ok(BodyHead { offset: 5, declared_size: Some(9) });
        assert_eq!(head(false, "content-length", "9", Some(9)), whole);
        assert_eq!(head(false, "x-other", "9", Some(9)), whole);
        assert_eq!(head(true, "content-range", "bytes 5-8/9", None), rest);
        assert_eq!(head(true, "content-range", "bytes 5-8/*", Some(9)), rest);
    }

    #[test]
    fn lying_heads_are_refused() {
        assert!(head(false, "content-length", "9", Some(8)).is_err());
        assert!(head(false, "content-encoding", "gzip", None).is_err());
        for range in [
            "bytes 0-8/9",
            "bytes 5-7/9",
            "bytes 5-9/9",
            "bytes 8-5/9",
            "items 5-8/9",
            "bytes */9",
            "bytes 5-/9",
        ] {
            assert!(head(true, "content-range", range, None).is_err(), "{range}");
        }
        assert!(head(true, "content-range", "bytes 5-8/9", Some(10)).is_err());
    }
}
