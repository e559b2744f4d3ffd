//! The fields of JSON bodies and forms.

use ostler_fuzz::{Seed, Target};
use url::form_urlencoded;

use super::super::super::translate_form::{self, form_to_object};
use super::super::super::{embeddings_form, json_body, score_form, speech_form};
use super::refused;
use crate::state::Limits;

/// Limits that small inputs pass.
fn limits() -> Limits {
    Limits {
        texts: 5,
        text_characters: 200,
        embedding_texts: 5,
        embedding_characters: 200,
        ..Limits::default()
    }
}

/// Holds texts to the limits.
fn assert_within(texts: &[String], count: usize, characters: usize) {
    assert!(!texts.is_empty() && texts.len() <= count);
    assert!(texts.iter().map(|text| text.chars().count()).sum::<usize>() <= characters);
}

/// What each endpoint makes of the fields of a body.
fn read_fields(fields: &serde_json::Map<String, serde_json::Value>) -> String {
    let limits = limits();
    let mut told = String::new();
    match translate_form::parse_translate(fields, &limits) {
        Ok(request) => {
            assert_within(&request.texts.texts, limits.texts, limits.text_characters);
            assert!(request.alternatives <= 10 && !request.target.is_empty());
            told.push_str("translate ");
        }
        Err(error) => told.push_str(&refused(&error)),
    }
    match translate_form::parse_detect(fields, &limits) {
        Ok(request) => assert_within(&request.texts.texts, limits.texts, limits.text_characters),
        Err(error) => told.push_str(&refused(&error)),
    }
    match embeddings_form::parse(fields, &limits) {
        Ok(request) => {
            assert_within(&request.texts, limits.embedding_texts, limits.embedding_characters);
            assert!(request.dimensions != Some(0) && !request.model.is_empty());
            told.push_str("embeddings ");
        }
        Err(error) => told.push_str(&refused(&error)),
    }
    match score_form::parse(fields, &limits) {
        Ok(request) => {
            assert_within(&request.texts, limits.embedding_texts, limits.embedding_characters);
            let seconds = request.texts.len() - request.firsts;
            assert!(seconds > 0 && (request.firsts == 1 || request.firsts == seconds));
            told.push_str("score ");
        }
        Err(error) => told.push_str(&refused(&error)),
    }
    told
}

fn check_json(bytes: &[u8]) -> String {
    match json_body::object(bytes) {
        Err(error) => refused(&error),
        Ok(fields) => read_fields(&fields),
    }
}

fn json_bodies() -> Vec<Seed> {
    vec![
        ("translate", br#"{"q":["one","two"],"source":"en","target":"de","format":"html","alternatives":2,"split":"never"}"#.to_vec()),
        ("embeddings", br#"{"input":["one","two"],"model":"m@v1","encoding_format":"base64","dimensions":8,"user":"u"}"#.to_vec()),
        ("score", br#"{"text_1":"a","text_2":["b","c"],"truncate_prompt_tokens":-1}"#.to_vec()),
        ("score-of-queries", br#"{"queries":["a","b"],"documents":["c","d"],"model":"m"}"#.to_vec()),
        ("tokens", br#"{"input":[[1,2],[3]],"model":"m"}"#.to_vec()),
        ("deep-list", "[".repeat(3_900).into_bytes()),
        ("deep-object", "{\"q\":".repeat(780).into_bytes()),
        ("not-utf8", b"{\"q\":\"\xff\xfe\"}".to_vec()),
        ("surrogate", br#"{"q":"\ud800","source":"en","target":"de"}"#.to_vec()),
        ("large-number", br#"{"q":"a","source":"en","target":"de","alternatives":1e400}"#.to_vec()),
        ("duplicate", br#"{"q":"a","q":["b"],"source":"en","target":"de"}"#.to_vec()),
        ("control-characters", b"{\"q\\u0000\\u001b[2J\\r\\n\":1}".to_vec()),
        ("many-texts", format!("{{\"q\":[{}\"x\"]}}", "\"x\",".repeat(900)).into_bytes()),
    ]
}

#[test]
fn row_38_no_json_is_anything_but_a_request_or_the_clients_error() {
    ostler_fuzz::run!(Target {
        seeds: json_bodies,
        tokens: &[
            b"\"q\":",
            b"\"source\":\"auto\",",
            b"\"target\":\"de\",",
            b"\"input\":",
            b"\"model\":\"m\",",
            b"\"text_1\":",
            b"\"text_2\":",
            b"\"dimensions\":0,",
            b"\"use_activation\":true,",
            b"null",
            b"[]",
            b"{}",
            b"1e400",
            b"-1",
            b"\\ud83d",
            b"\\u0000",
            b"\xff",
            b"[[",
        ],
        inputs: 20_000,
        ..Target::new("json-bodies", check_json)
    });
}

fn check_form(bytes: &[u8]) -> String {
    let pairs: Vec<(String, String)> = form_urlencoded::parse(bytes).into_owned().collect();
    let mut told = String::new();
    for endpoint in [speech_form::Endpoint::Transcriptions, speech_form::Endpoint::Translations] {
        match speech_form::parse(endpoint, &pairs) {
            Ok(request) => {
                assert!(!request.model.is_empty());
                told.push_str(&format!("{:?} {} ", request.format, request.stream));
            }
            Err(error) => told.push_str(&refused(&error)),
        }
    }
    let fields = form_to_object(pairs.iter().cloned());
    assert!(fields.len() <= pairs.len());
    told + &read_fields(&fields)
}

/// Row 38 for forms.
#[test]
fn row_38_no_form_is_anything_but_a_request_or_the_clients_error() {
    ostler_fuzz::run!(Target {
        tokens: &[
            b"&",
            b"=",
            b"+",
            b"%",
            b"%00",
            b"%ff",
            b"%0d%0a",
            b"[]",
            b"[0]",
            b"model=m&",
            b"language=de&",
            b"temperature=",
            b"NaN",
            b"1e40",
            b"response_format=verbose_json&",
            b"timestamp_granularities[]=word&",
            b"stream=true&",
            b"beam_size=",
            b"best_of=",
            b"prompt=",
        ],
        longest: 1_500,
        inputs: 15_000,
        ..Target::new("forms", check_form)
    });
}
