//! Bodies of several parts.

use axum::http::{HeaderMap, HeaderValue, header};
use bytes::Bytes;
use ostler_fuzz::{Seed, Target};

use super::super::super::multipart;
use super::refused;

thread_local! {
    static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
}

/// The first line of the input is the content type.
fn check_multipart(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let Ok(content_type) = HeaderValue::from_bytes(bytes[..end].trim_ascii_end()) else {
        return "no header".to_owned();
    };
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, content_type)]);
    let body = Bytes::copy_from_slice(bytes.get(end + 1..).unwrap_or_default());
    let length = body.len();
    match RUNTIME.with(|runtime| runtime.block_on(multipart::split(&headers, body, &["file"]))) {
        Err(error) => refused(&error),
        Ok(parts) => {
            let file = parts.file.as_ref().map_or(0, Bytes::len);
            let fields: usize = parts.fields.iter().map(|(name, value)| name.len() + value.len()).sum();
            // A character set that a part names may make one byte three.
            assert!(file <= length && fields <= 3 * length && parts.fields.len() <= 128);
            format!("{} fields {}", "+".repeat(parts.fields.len().min(5)), parts.file.is_some())
        }
    }
}

fn multiparts() -> Vec<Seed> {
    const FORM: &str = "multipart/form-data; boundary=B\n";
    let part =
        |head: &str, value: &str| format!("--B\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n");
    let form = |parts: &[String]| format!("{FORM}{}--B--\r\n", parts.concat()).into_bytes();
    let model = part("name=\"model\"", "whisper");
    let file = part("name=\"file\"; filename=\"x.wav\"", "RIFF");
    vec![
        ("sound", form(&[model.clone(), file.clone(), part("name=\"tag[]\"", "a")])),
        ("file-twice", form(&[file.clone(), file.clone()])),
        ("no-name", form(&[part("filename=\"x\"", "a")])),
        ("name-in-other-letters", form(&[part("name*=UTF-8''mod%65l", "a"), part("name=\"m\\\"o\"", "b")])),
        ("not-utf8", [form(&[])[..FORM.len()].to_vec(), part("name=\"a\"", "").into_bytes(), b"\xff\xfe\r\n--B--\r\n".to_vec()].concat()),
        ("no-end", format!("{FORM}{model}").into_bytes()),
        ("no-boundary", b"multipart/form-data\n--B--\r\n".to_vec()),
        ("long-boundary", format!("multipart/form-data; boundary={}\n--\r\n", "B".repeat(2_000)).into_bytes()),
        ("many-parts", form(&vec![part("name=\"\"", ""); 60])),
        ("many-headers", format!("{FORM}--B\r\n{}\r\n\r\nx\r\n--B--\r\n", "a: b\r\n".repeat(200)).into_bytes()),
        ("nested", format!("{FORM}--B\r\nContent-Type: multipart/mixed; boundary=C\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n--C\r\n\r\n--B--\r\n").into_bytes()),
    ]
}

#[test]
fn row_38_no_multipart_body_is_anything_but_parts_or_the_clients_error() {
    ostler_fuzz::run!(Target {
        seeds: multiparts,
        tokens: &[
            b"\r\n",
            b"\n",
            b"\r\n\r\n",
            b"--B",
            b"--B--",
            b"--",
            b"Content-Disposition: form-data; name=\"a\"",
            b"Content-Type: text/plain; charset=",
            b"utf-16",
            b"name=\"file\"",
            b"filename*=UTF-8''",
            b"\"",
            b"\\\"",
            b"\0",
            b"\xff",
            b"; boundary=\"B\"",
            b"Content-Length: 18446744073709551615",
        ],
        longest: 6_000,
        inputs: 10_000,
        ..Target::new("multipart", check_multipart)
    });
}
