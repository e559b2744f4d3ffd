//! What the heads of answers say, read and held against what was asked for.

use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE};

/// Checks what the endpoint says beside the contents: the commit must be the one asked for, and the size one number
/// throughout all redirects, which is returned.
pub(crate) fn check_hub_headers(
    headers: &HeaderMap,
    commit: Option<&str>,
    earlier_size: Option<u64>,
) -> Result<Option<u64>, String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let (Some(answered), Some(wanted)) = (text("x-repo-commit"), commit)
        && answered != wanted
    {
        return Err("X-Repo-Commit: another commit than the one asked for".to_owned());
    }
    let Some(size) = text("x-linked-size") else { return Ok(earlier_size) };
    let size = size.parse().map_err(|_| "X-Linked-Size: no number".to_owned())?;
    match earlier_size {
        Some(earlier) if earlier != size => {
            Err("X-Linked-Size: not the size given before the redirect".to_owned())
        }
        _ => Ok(Some(size)),
    }
}

/// What the head of an answer says about its body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BodyHead {
    /// The position in the file of the body's first byte.
    pub(crate) offset: u64,
    /// The whole file's length, where it is declared.
    pub(crate) declared_size: Option<u64>,
}

/// Reads the head of an answer that succeeded, or names the header that cannot be.
pub(crate) fn body_head(
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

    #[test]
    fn the_hubs_word_must_be_the_same_throughout() {
        let check = |pairs: &[(&'static str, &str)], earlier| {
            let headers =
                pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
            check_hub_headers(&headers, Some("c1"), earlier)
        };
        assert_eq!(check(&[], Some(3)), Ok(Some(3)));
        assert_eq!(check(&[("x-repo-commit", "c1"), ("x-linked-size", "3")], Some(3)), Ok(Some(3)));
        assert!(check(&[("x-repo-commit", "c2")], None).is_err());
        assert!(check(&[("x-linked-size", "4")], Some(3)).is_err());
        assert!(check(&[("x-linked-size", "-4")], None).is_err());
    }
}
