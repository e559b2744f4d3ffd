//! Headers that are read by hand.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use ostler_fuzz::Target;
use ostler_inference::languages;

use super::super::super::{caller, json_body, model_choice, multipart};
use super::refused;

/// Each line of the input is a header.
fn check_headers(bytes: &[u8]) -> String {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii())) {
            headers.append(name, value);
        }
    }
    let caller = caller::read(&headers, None);
    assert!(caller.preference.wait.is_none_or(|wait| wait.as_secs() <= 60));
    assert!(!caller.subject(None).as_str().is_empty());
    let mut told = format!("{} {:?}", caller.preference.responds_async, caller.preference.wait.is_some());
    match model_choice::optional(caller.model.as_deref(), caller.version.as_deref()) {
        Ok((model, version)) => {
            told.push_str(&format!(
                " {} {:?}",
                model.is_some(),
                version.as_ref().map(std::mem::discriminant)
            ));
        }
        Err(error) => told.push_str(&refused(&error)),
    }
    if let Some(language) = caller.model.as_deref().and_then(languages::parse) {
        // A language that is known is known by its own code too.
        assert!(languages::parse(language.code).is_some_and(|again| again.code == language.code));
        told.push_str(" a language");
    }
    let media_type = multipart::media_type(&headers);
    told.push_str(&format!(
        " {} {}",
        multipart::is_announced(&headers),
        json_body::is_json(&media_type.to_ascii_lowercase())
    ));
    told
}

/// Row 38 for headers that are read by hand: `Prefer`, `Content-Type`, and those that choose a model.
#[test]
fn row_38_no_headers_are_anything_but_choices_or_the_clients_error() {
    ostler_fuzz::run!(Target {
        tokens: &[
            b"prefer: ",
            b"respond-async",
            b", ",
            b"wait=",
            b"\"",
            b";",
            b"x-ostler-model: ",
            b"x-ostler-version: ",
            b"x-ostler-revision: ",
            b"x-ostler-subject: ",
            b"content-type: ",
            b"multipart/form-data",
            b"application/json",
            b"@",
            b"sha256:",
            b"v1",
            b"German",
            b"\xff",
            b"0123456789abcdef0123456789abcdef01234567",
            b"18446744073709551616",
        ],
        longest: 1_000,
        inputs: 20_000,
        ..Target::new("headers", check_headers)
    });
}
