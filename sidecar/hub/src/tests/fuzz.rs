//! Whatever a hub answers is taken as it must be, or refused: nothing else happens.

use std::path::{Component, Path};
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};
use ostler_fuzz::{Seed, Target};
use reqwest::StatusCode;
use url::Url;

use crate::error::Resource;
use crate::file_path::check_file_path;
use crate::head::{body_head, check_hub_headers};
use crate::redirect::RedirectRules;
use crate::repository_revision::{self, ListingProblem};
use crate::{failure, retry_after};

/// Holds a name that was accepted to be below the folder that it is joined to.
fn assert_below(name: &str) {
    let folder = Path::new("/cache/snapshot");
    let path = folder.join(name);
    let below = path.strip_prefix(folder).unwrap();
    assert!(below.components().all(|step| matches!(step, Component::Normal(_))), "{name:?}");
    assert_eq!(below.components().count(), name.split('/').count(), "{name:?}");
    assert!(!name.chars().any(char::is_control), "{name:?}");
}

fn check_names(bytes: &[u8]) -> String {
    let Ok(name) = std::str::from_utf8(bytes) else { return "not UTF-8".to_owned() };
    match check_file_path(name) {
        Err(error) => error.to_string(),
        Ok(()) => {
            assert_below(name);
            format!("{} steps", "+".repeat(name.split('/').count().min(9)))
        }
    }
}

/// Row 60: no name of a file leads out of its folder.
#[test]
fn row_60_no_file_name_leaves_its_folder() {
    ostler_fuzz::run!(Target {
        tokens: &[b"..", b"/", b"./", b"../", b"\\", b"\0", b"\n", b"%2e", b"C:", b"\xe2\x80\xa4", b"//"],
        longest: 1_200,
        inputs: 40_000,
        ..Target::new("file-names", check_names)
    });
}

fn is_hexadecimal(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn check_listing(bytes: &[u8]) -> String {
    match repository_revision::parse(bytes) {
        Err(ListingProblem::Truncated) => "truncated".to_owned(),
        Err(ListingProblem::Malformed(problem)) => problem,
        Ok(revision) => {
            assert!(is_hexadecimal(revision.commit.as_str(), 40));
            for file in &revision.files {
                assert_below(&file.path);
                assert!(is_hexadecimal(&file.blob_id, 40));
                assert!(file.sha256.as_ref().is_none_or(|digest| is_hexadecimal(digest, 64)));
            }
            // No two of them are at one place, nor is one a folder of another.
            for (file, next) in revision.files.iter().zip(revision.files.iter().skip(1)) {
                assert!(file.path < next.path);
                assert!(
                    !revision.files.iter().any(|other| other.path.starts_with(&format!("{}/", file.path)))
                );
            }
            format!("{} files", "+".repeat(revision.files.len()))
        }
    }
}

fn listings() -> Vec<Seed> {
    let (id, digest) = ("a".repeat(40), "c".repeat(64));
    let listing = |files: &str| format!("{{\"sha\":\"{id}\",\"siblings\":[{files}]}}").into_bytes();
    let file = |name: &str| format!("{{\"rfilename\":\"{name}\",\"size\":2,\"blobId\":\"{id}\"}}");
    let large = format!(
        "{{\"rfilename\":\"model.safetensors\",\"size\":9,\"blobId\":\"{id}\",\
         \"lfs\":{{\"sha256\":\"{digest}\",\"size\":9,\"pointerSize\":134}}}}"
    );
    vec![
        ("sound", listing(&format!("{},{large},{}", file("config.json"), file("1_Pooling/config.json")))),
        ("upwards", listing(&file("../../etc/passwd"))),
        ("absolute", listing(&file("/etc/passwd"))),
        ("twice", listing(&format!("{},{}", file("a"), file("a")))),
        ("file-and-folder", listing(&format!("{},{},{}", file("a"), file("a-b"), file("a/b")))),
        ("digest-upwards", listing(&large.replace(&digest, &"../".repeat(21)))),
        ("deep", "[".repeat(4_000).into_bytes()),
        ("error-page", b"<html>Too many requests</html>".to_vec()),
    ]
}

/// Rows 13 and 60: a listing is whole and safe to put into a folder, or it is no listing.
#[test]
fn row_13_and_60_no_listing_names_what_is_outside() {
    ostler_fuzz::run!(Target {
        seeds: listings,
        tokens: &[
            b"\"rfilename\":",
            b"\"size\":",
            b"\"lfs\":null,",
            b"\"sha\":",
            b"null",
            b"-1",
            b"1e3",
            b"\\u0000",
            b"\\u002e",
            b"../",
            b"a/",
            b"\\\\",
            b"{",
            b"}",
            b"[",
            b"]",
            b",",
            b"\xff",
        ],
        inputs: 20_000,
        ..Target::new("listing", check_listing)
    });
}

/// The lines of an input that are headers.
fn headers(bytes: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value.trim_ascii()))
        {
            headers.append(name, value);
        }
    }
    headers
}

fn check_heads(bytes: &[u8]) -> String {
    let (headers, commit, asked) = (headers(bytes), "1".repeat(40), 5);
    let mut told = String::new();
    let linked = match check_hub_headers(&headers, Some(&commit), None) {
        Ok(linked) => linked,
        Err(problem) => return problem,
    };
    // A redirect that says the same again is as good as one that says nothing.
    assert_eq!(check_hub_headers(&headers, Some(&commit), linked), Ok(linked));
    for is_partial in [false, true] {
        match body_head(is_partial, &headers, asked, linked) {
            Err(problem) => told.push_str(&problem),
            Ok(head) => {
                assert_eq!(head.offset, if is_partial { asked } else { 0 });
                assert!(linked.is_none_or(|linked| head.declared_size == Some(linked)));
                told.push_str(if head.declared_size.is_some() { "sized " } else { "unsized " });
            }
        }
    }
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    for value in headers.get_all("retry-after").iter().filter_map(|value| value.to_str().ok()) {
        let wait = retry_after::parse(value, now);
        assert!(wait.is_none_or(|wait| wait <= Duration::from_secs(3_600)));
        told.push_str(if wait.is_some() { "wait " } else { "no wait " });
    }
    for status in [401, 404, 429, 503] {
        let status = StatusCode::from_u16(status).unwrap();
        let error = failure::of_status(status, &headers, Resource::File, "a of b/c", true, now);
        assert!(error.retry_after().is_none_or(|wait| wait <= Duration::from_secs(3_600)));
        told.push_str(error.reason());
    }
    told
}

/// Row 13: what the heads of answers say of a body is what was asked for, or the answer is refused.
#[test]
fn row_13_no_head_of_an_answer_is_believed_against_what_was_asked() {
    ostler_fuzz::run!(Target {
        tokens: &[
            b"content-range: bytes 5-8/9\n",
            b"content-range: ",
            b"bytes ",
            b"content-length: ",
            b"x-linked-size: ",
            b"x-repo-commit: ",
            b"x-error-code: GatedRepo\n",
            b"retry-after: ",
            b"etag: \"",
            b"/*",
            b"*/9",
            b"-",
            b"/",
            b"content-encoding: gzip\n",
            b"18446744073709551615",
            b"Wed, 21 Oct 2015 07:28:00 GMT",
            b"\xff",
            b" ",
        ],
        longest: 1_000,
        inputs: 20_000,
        ..Target::new("heads", check_heads)
    });
}

fn check_redirects(bytes: &[u8]) -> String {
    let rules = RedirectRules {
        endpoint: Url::parse("https://huggingface.co").unwrap(),
        allowed_hosts: vec!["*.hf.co".to_owned(), "10.0.0.9".to_owned()],
    };
    let Ok(text) = std::str::from_utf8(bytes) else { return "not UTF-8".to_owned() };
    // What a redirect says is joined to the address that it comes from.
    let Ok(target) = rules.endpoint.join(text) else { return "no address".to_owned() };
    let takes_token = rules.takes_token(&target);
    if let Err(problem) = rules.check(&target, false) {
        assert!(!takes_token || !target.username().is_empty() || target.password().is_some(), "{target}");
        return problem.to_owned();
    }
    let host = target.host_str().unwrap();
    assert_eq!(target.scheme(), "https", "{target}");
    assert!(host == "huggingface.co" || host.ends_with(".hf.co"), "{target}");
    assert!(target.username().is_empty() && target.password().is_none(), "{target}");
    assert_eq!(takes_token, host == "huggingface.co" && target.port().is_none(), "{target}");
    if takes_token { "followed with the token".to_owned() } else { "followed".to_owned() }
}

/// Rows 12 and 59: a redirect leads to the endpoint or to an allowed host, and the token goes to the endpoint alone.
#[test]
fn row_12_and_59_no_redirect_leads_elsewhere() {
    ostler_fuzz::run!(Target {
        tokens: &[
            b"https://",
            b"http://",
            b"//",
            b"huggingface.co",
            b".hf.co",
            b"@",
            b":",
            b":8443",
            b"127.0.0.1",
            b"[::1]",
            b"10.0.0.9",
            b"0x7f.1",
            b"169.254.169.254",
            b"file:///",
            b"\\",
            b"%00",
            b"#",
            b"?",
            b"..",
            b"\t",
            b"user:secret@",
        ],
        longest: 300,
        inputs: 20_000,
        ..Target::new("redirects", check_redirects)
    });
}
