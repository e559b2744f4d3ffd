//! Splits a `multipart/form-data` body that is already in memory.

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request};
use axum::http::{HeaderMap, HeaderValue, header};
use bytes::Bytes;

use super::error::ApiError;
use super::excerpt::excerpt;

/// The most parts of one body.
const MAX_PARTS: usize = 128;

/// The parts of a body: one file at most, and texts.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// The file.
    pub(super) file: Option<Bytes>,
    /// The other parts, in their order.
    pub(super) fields: Vec<(String, String)>,
}

const EXPECTED: &str = "multipart/form-data";

/// Splits a body at the boundary that its headers name. The part with one of `file_names` is the file.
///
/// # Errors
/// [`ApiError::MalformedBody`], saying what is wrong with it.
pub(super) async fn split(headers: &HeaderMap, body: Bytes, file_names: &[&str]) -> Result<Parts, ApiError> {
    let malformed = |message: String| ApiError::MalformedBody { expected: EXPECTED, message };
    let mut request = Request::new(Body::from(body));
    if let Some(content_type) = headers.get(header::CONTENT_TYPE) {
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::clone(content_type));
    }
    // The body was bounded when it was read; axum's own bound is for bodies that still come.
    DefaultBodyLimit::apply(DefaultBodyLimit::disable(), &mut request);
    let mut multipart = Multipart::from_request(request, &())
        .await
        .map_err(|_| malformed("the Content-Type names no boundary".to_owned()))?;
    let mut parts = Parts::default();
    let broken = |error: axum::extract::multipart::MultipartError| malformed(excerpt(&error.body_text()));
    while let Some(field) = multipart.next_field().await.map_err(broken)? {
        if parts.fields.len() >= MAX_PARTS {
            return Err(malformed(format!("it has more than {MAX_PARTS} parts")));
        }
        let name = field.name().ok_or_else(|| malformed("a part has no name".to_owned()))?.to_owned();
        let bytes = field.bytes().await.map_err(broken)?;
        if file_names.contains(&name.as_str()) {
            if parts.file.replace(bytes).is_some() {
                return Err(ApiError::InvalidParameter {
                    parameter: name,
                    message: "is given twice".to_owned(),
                });
            }
            continue;
        }
        let text = String::from_utf8(bytes.into())
            .map_err(|_| malformed(format!("{} is not UTF-8", excerpt(&name))))?;
        parts.fields.push((name, text));
    }
    Ok(parts)
}

/// Whether the headers announce such a body.
pub(super) fn is_announced(headers: &HeaderMap) -> bool {
    media_type(headers).eq_ignore_ascii_case(EXPECTED)
}

/// The media type of a body without its parameters, empty where there is none.
pub(super) fn media_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    async fn read(content_type: &'static str, body: impl Into<Bytes>) -> Result<Parts, ApiError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        split(&headers, body.into(), &["file"]).await
    }

    const FORM: &str = "multipart/form-data; boundary=B";

    fn part(name: &str, value: &str) -> String {
        format!(
            "--B\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"x.wav\"\r\n\r\n{value}\r\n"
        )
    }

    #[tokio::test]
    async fn file_and_fields_are_told_apart() {
        let body = part("model", "whisper")
            + &part("file", "RIFF")
            + &part("tag[]", "a")
            + &part("tag[]", "b")
            + "--B--\r\n";
        let parts = read(FORM, body).await.unwrap();
        assert_eq!(parts.file.unwrap(), "RIFF");
        let fields: Vec<_> =
            parts.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(fields, [("model", "whisper"), ("tag[]", "a"), ("tag[]", "b")]);
    }

    /// Row 38.
    #[tokio::test]
    async fn row_38_broken_bodies_are_named_as_such() {
        let end = "--B--\r\n";
        let not_text =
            [part("model", "").trim_end().as_bytes(), b"\r\n\r\n\xff\xfe\r\n", end.as_bytes()].concat();
        for (content_type, body, status) in [
            ("multipart/form-data", Bytes::new(), 400),
            (FORM, Bytes::from_static(b"no boundary at all"), 400),
            (FORM, Bytes::from(part("model", "x")), 400),
            (FORM, Bytes::from("--B\r\nContent-Disposition: form-data\r\n\r\nx\r\n--B--\r\n"), 400),
            (FORM, Bytes::from(not_text), 400),
            (FORM, Bytes::from(part("file", "a") + &part("file", "b") + end), 400),
            (FORM, Bytes::from(part("n", "v").repeat(MAX_PARTS + 1) + end), 400),
        ] {
            let error = read(content_type, body).await.unwrap_err();
            assert_eq!(error.status(), status, "{error}");
            assert!(!error.to_string().chars().any(char::is_control), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..400), cut in 0_usize..200) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let _ = runtime.block_on(read(FORM, body));
            let whole = part("model", "whisper") + &part("file", "RIFF") + "--B--\r\n";
            let _ = runtime.block_on(read(FORM, whole[..cut.min(whole.len())].to_owned()));
        }
    }
}
