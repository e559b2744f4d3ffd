//! The fields of LibreTranslate's `/translate` and `/detect`, from JSON or a form, as typed requests. Pure.

use ostler_inference::engine::TextFormat;
use serde_json::{Map, Value};

use super::error::ApiError;
use super::excerpt::excerpt;
use super::fields::{invalid, refuse_unknown, required_text, text};
use crate::state::Limits;

/// The most further translations of a text: the search follows a beam for each of them.
const MAX_ALTERNATIVES: u64 = 10;

/// The texts of a request, and the shape in which they came and go back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Texts {
    pub(super) texts: Vec<String>,
    /// `q` was a list, so the answer is one too.
    pub(super) is_list: bool,
}

/// The language of the texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// To be found out.
    Auto,
    /// This one.
    Language(String),
}

/// A body of `/translate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TranslateRequest {
    pub(super) texts: Texts,
    pub(super) source: Source,
    pub(super) target: String,
    /// Ostler's `model`: `name`, `name@version` or `name@commit`.
    pub(super) model: Option<String>,
    /// Ostler's `split`: whether texts are split into sentences first.
    pub(super) split_sentences: bool,
    /// What the texts are written in.
    pub(super) format: TextFormat,
    /// How many further translations of each text are wanted.
    pub(super) alternatives: usize,
}

/// Reads the fields of `/translate`.
///
/// # Errors
/// The first field that is missing, wrong or refused.
pub(super) fn parse_translate(
    fields: &Map<String, Value>,
    limits: &Limits,
) -> Result<TranslateRequest, ApiError> {
    // The web interface of LibreTranslate sends `secret`; like `api_key` it guards a public server, which a
    // sidecar is not.
    const KNOWN: [&str; 9] =
        ["q", "source", "target", "format", "alternatives", "api_key", "secret", "model", "split"];
    refuse_unknown(fields, &KNOWN)?;
    let texts = texts(fields, limits)?;
    let source = match required_text(fields, "source")? {
        "auto" => Source::Auto,
        language => Source::Language(language.to_owned()),
    };
    let target = required_text(fields, "target")?.to_owned();
    let format = match text(fields, "format")? {
        None | Some("text") => TextFormat::Plain,
        Some("html") => TextFormat::Html,
        Some(other) => {
            return Err(invalid("format", format!("{} is not one of \"text\", \"html\"", excerpt(other))));
        }
    };
    let alternatives = match fields.get("alternatives") {
        None | Some(Value::Null) => Some(0),
        Some(Value::Number(number)) => number.as_u64(),
        // A form has nothing but text.
        Some(Value::String(number)) if number.is_empty() => Some(0),
        Some(Value::String(number)) => number.parse().ok(),
        Some(_) => None,
    };
    let alternatives = alternatives
        .filter(|count| *count <= MAX_ALTERNATIVES)
        .ok_or_else(|| invalid("alternatives", format!("must be a number from 0 to {MAX_ALTERNATIVES}")))?;
    let split_sentences = match text(fields, "split")? {
        None | Some("sentences") => true,
        Some("never") => false,
        Some(other) => {
            return Err(invalid(
                "split",
                format!("{} is not one of \"sentences\", \"never\"", excerpt(other)),
            ));
        }
    };
    Ok(TranslateRequest {
        texts,
        source,
        target,
        model: text(fields, "model")?.map(str::to_owned),
        split_sentences,
        format,
        alternatives: alternatives as usize,
    })
}

/// A body of `/detect`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DetectRequest {
    pub(super) texts: Texts,
    /// Ostler's `model`.
    pub(super) model: Option<String>,
}

/// Reads the fields of `/detect`.
///
/// # Errors
/// The first field that is missing, wrong or unknown.
pub(super) fn parse_detect(fields: &Map<String, Value>, limits: &Limits) -> Result<DetectRequest, ApiError> {
    refuse_unknown(fields, &["q", "api_key", "secret", "model"])?;
    Ok(DetectRequest { texts: texts(fields, limits)?, model: text(fields, "model")?.map(str::to_owned) })
}

/// A form as the JSON object that says the same: a name that comes more than once is a list.
pub(super) fn form_to_object(pairs: impl IntoIterator<Item = (String, String)>) -> Map<String, Value> {
    let mut fields = Map::new();
    for (name, value) in pairs {
        // Browsers send CR LF for a line break in a form; LibreTranslate reads it as one LF.
        let value = Value::String(value.replace("\r\n", "\n").replace('\r', "\n"));
        let name = name.strip_suffix("[]").map(str::to_owned).unwrap_or(name);
        match fields.get_mut(&name) {
            None => {
                fields.insert(name, value);
            }
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    fields
}

fn texts(fields: &Map<String, Value>, limits: &Limits) -> Result<Texts, ApiError> {
    let missing = || ApiError::MissingParameter { parameter: "q" };
    let texts = match fields.get("q") {
        None | Some(Value::Null) => return Err(missing()),
        Some(Value::String(text)) if text.is_empty() => return Err(missing()),
        Some(Value::Array(list)) if list.is_empty() => return Err(missing()),
        Some(Value::String(text)) => Texts { texts: vec![text.clone()], is_list: false },
        Some(Value::Array(list)) if list.len() <= limits.texts => {
            let text = |value: &Value| value.as_str().map(str::to_owned);
            let texts = list.iter().map(text).collect::<Option<Vec<_>>>();
            Texts {
                texts: texts.ok_or_else(|| invalid("q", "holds something that is not text".to_owned()))?,
                is_list: true,
            }
        }
        Some(Value::Array(list)) => {
            let message = format!(
                "holds {} texts, over the limit of {}; send several requests",
                list.len(),
                limits.texts
            );
            return Err(invalid("q", message));
        }
        Some(_) => return Err(invalid("q", "is neither a text nor a list of texts".to_owned())),
    };
    let characters: usize = texts.texts.iter().map(|text| text.chars().count()).sum();
    if characters > limits.text_characters {
        let limit = limits.text_characters;
        let message =
            format!("is {characters} characters of text, over the limit of {limit}; send several requests");
        return Err(invalid("q", message));
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(fields) => fields,
            _ => panic!("not an object"),
        }
    }

    fn with(extra: Value) -> Map<String, Value> {
        let mut fields = object(json!({"q": "one two", "source": "en", "target": "de"}));
        fields.append(&mut object(extra));
        fields
    }

    #[test]
    fn one_text_and_many_are_read() {
        let limits = Limits::default();
        let request =
            parse_translate(&with(json!({"format": "text", "api_key": "", "alternatives": 0})), &limits)
                .unwrap();
        assert_eq!(request.texts, Texts { texts: vec!["one two".to_owned()], is_list: false });
        assert_eq!(request.source, Source::Language("en".to_owned()));
        assert_eq!((request.target.as_str(), request.model, request.split_sentences), ("de", None, true));
        let request = parse_translate(
            &with(json!({"q": ["one"], "source": "auto", "split": "never", "model": "m@v2"})),
            &limits,
        );
        let request = request.unwrap();
        assert_eq!(request.texts, Texts { texts: vec!["one".to_owned()], is_list: true });
        assert_eq!((request.source, request.split_sentences), (Source::Auto, false));
        assert_eq!(request.model.as_deref(), Some("m@v2"));
        let request =
            parse_translate(&with(json!({"format": "html", "alternatives": "3"})), &limits).unwrap();
        assert_eq!((request.format, request.alternatives), (TextFormat::Html, 3));
    }

    #[test]
    fn what_is_wrong_or_refused_is_named() {
        let limits = Limits { texts: 3, text_characters: 20, ..Limits::default() };
        for (extra, expected) in [
            (json!({"q": ""}), "Invalid request: missing q parameter"),
            (json!({"q": null}), "Invalid request: missing q parameter"),
            (json!({"q": []}), "Invalid request: missing q parameter"),
            (json!({"source": ""}), "Invalid request: missing source parameter"),
            (json!({"target": null}), "Invalid request: missing target parameter"),
            (json!({"q": 7}), "q: is neither"),
            (json!({"q": ["a", 7]}), "q: holds something"),
            (json!({"q": ["a", "b", "c", "d"]}), "q: holds 4 texts"),
            (json!({"q": "x".repeat(21)}), "q: is 21 characters"),
            (json!({"source": ["en"]}), "source: is not one text"),
            (json!({"format": "md"}), "format: \"md\" is not one of"),
            (json!({"alternatives": 11}), "alternatives: must be a number from 0 to 10"),
            (json!({"alternatives": "many"}), "alternatives: must be"),
            (json!({"alternatives": -1}), "alternatives: must be"),
            (json!({"split": "words"}), "split: \"words\""),
            (json!({"qq\n": 1}), "\"qq\\n\": there is no such field"),
        ] {
            let error = parse_translate(&with(extra.clone()), &limits).unwrap_err();
            assert_eq!(error.status(), 400);
            assert!(error.to_string().starts_with(expected), "{error}");
        }
    }

    #[test]
    fn a_form_says_the_same_as_json() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let fields = form_to_object([pair("q", "a\r\nb"), pair("source", "en"), pair("target", "de")]);
        assert_eq!(fields, object(json!({"q": "a\nb", "source": "en", "target": "de"})));
        let fields = form_to_object([pair("q[]", "a"), pair("q[]", "b"), pair("q", "c")]);
        assert_eq!(fields, object(json!({"q": ["a", "b", "c"]})));
    }

    #[test]
    fn detection_reads_its_two_fields() {
        let limits = Limits::default();
        let request = parse_detect(&object(json!({"q": ["a", "b"], "model": "languages"})), &limits).unwrap();
        assert!(request.texts.is_list);
        assert_eq!(request.model.as_deref(), Some("languages"));
        assert!(parse_detect(&object(json!({"q": "a", "target": "de"})), &limits).is_err());
    }
}
