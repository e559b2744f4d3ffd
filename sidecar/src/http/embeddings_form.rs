//! The fields of OpenAI's `/v1/embeddings` as a typed request. Pure.

use serde_json::{Map, Value};

use super::error::ApiError;
use super::excerpt::excerpt;
use super::fields::{check_amount, invalid, refuse_unknown, required_text, text, unsupported};
use crate::state::Limits;

/// How the numbers of a vector are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// As a list of JSON's numbers.
    Float,
    /// As 32-bit floats in little-endian order, in base64.
    Base64,
}

/// A body of `/v1/embeddings`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EmbeddingsRequest {
    pub(super) texts: Vec<String>,
    /// `name`, `name@version` or `name@commit`.
    pub(super) model: String,
    pub(super) encoding: Encoding,
    /// How many numbers of each vector are wanted.
    pub(super) dimensions: Option<usize>,
    /// OpenAI's `user`, a subject for the version split.
    pub(super) user: Option<String>,
}

/// Reads the fields of `/v1/embeddings`.
///
/// # Errors
/// The first field that is missing, wrong or refused.
pub(super) fn parse(fields: &Map<String, Value>, limits: &Limits) -> Result<EmbeddingsRequest, ApiError> {
    refuse_unknown(fields, &["input", "model", "encoding_format", "dimensions", "user"])?;
    let model = required_text(fields, "model")?.to_owned();
    let encoding = match text(fields, "encoding_format")? {
        None | Some("float") => Encoding::Float,
        Some("base64") => Encoding::Base64,
        Some(other) => {
            let message = format!("{} is not one of \"float\", \"base64\"", excerpt(other));
            return Err(invalid("encoding_format", message));
        }
    };
    let dimensions = match fields.get("dimensions") {
        None | Some(Value::Null) => None,
        Some(value) => {
            let dimensions = value.as_u64().and_then(|value| usize::try_from(value).ok());
            let dimensions = dimensions.filter(|dimensions| *dimensions > 0);
            Some(dimensions.ok_or_else(|| invalid("dimensions", "is no whole number from 1 on".to_owned()))?)
        }
    };
    let texts = input(fields.get("input"))?;
    check_amount("input", &texts, limits)?;
    let user = text(fields, "user")?.map(str::to_owned);
    Ok(EmbeddingsRequest { texts, model, encoding, dimensions, user })
}

fn input(value: Option<&Value>) -> Result<Vec<String>, ApiError> {
    let texts = match value {
        None | Some(Value::Null) => return Err(ApiError::MissingParameter { parameter: "input" }),
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(list)) => {
            let is_tokens = |value: &Value| {
                value.is_number() || value.as_array().is_some_and(|list| list.iter().all(Value::is_number))
            };
            if list.first().is_some_and(is_tokens) {
                let message = "arrays of tokens mean nothing without the tokenizer they were made with; send the \
                               texts (langchain: check_embedding_ctx_length=False)";
                return Err(unsupported("input", message));
            }
            let texts = list.iter().map(|value| value.as_str().map(str::to_owned)).collect::<Option<_>>();
            texts.ok_or_else(|| invalid("input", "holds something that is not text".to_owned()))?
        }
        Some(_) => return Err(invalid("input", "is neither a text nor a list of texts".to_owned())),
    };
    if texts.is_empty() || texts.iter().any(String::is_empty) {
        return Err(invalid("input", "must not be empty, nor any text of it".to_owned()));
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parsed(extra: Value, limits: &Limits) -> Result<EmbeddingsRequest, ApiError> {
        let mut fields = json!({"input": "one", "model": "similarity"});
        let extra = extra.as_object().unwrap().clone();
        fields.as_object_mut().unwrap().extend(extra);
        parse(fields.as_object().unwrap(), limits)
    }

    #[test]
    fn one_text_and_many_are_read() {
        let limits = Limits::default();
        let one = parsed(json!({}), &limits).unwrap();
        let expected = EmbeddingsRequest {
            texts: vec!["one".to_owned()],
            model: "similarity".to_owned(),
            encoding: Encoding::Float,
            dimensions: None,
            user: None,
        };
        assert_eq!(one, expected);
        let all = json!({"input": ["a", "b"], "encoding_format": "base64", "dimensions": 64, "user": "u"});
        let all = parsed(all, &limits).unwrap();
        assert_eq!(all.texts, ["a", "b"]);
        assert_eq!((all.encoding, all.dimensions), (Encoding::Base64, Some(64)));
        assert_eq!(all.user.as_deref(), Some("u"));
        let nulls = json!({"encoding_format": null, "dimensions": null, "user": null});
        assert_eq!(parsed(nulls, &limits).unwrap(), expected);
    }

    #[test]
    fn what_is_wrong_or_refused_is_named() {
        let limits = Limits { embedding_texts: 3, embedding_characters: 20, ..Limits::default() };
        for (extra, expected) in [
            (json!({"input": null}), "Invalid request: missing input parameter"),
            (json!({"input": ""}), "input: must not be empty"),
            (json!({"input": []}), "input: must not be empty"),
            (json!({"input": ["a", ""]}), "input: must not be empty"),
            (json!({"input": 7}), "input: is neither"),
            (json!({"input": ["a", 7]}), "input: holds something"),
            (json!({"input": [1, 2]}), "input is not supported here: arrays of tokens"),
            (json!({"input": [[1, 2], [3]]}), "input is not supported here: arrays of tokens"),
            (json!({"input": ["a", "b", "c", "d"]}), "input: holds 4 texts, over the limit of 3"),
            (json!({"input": "x".repeat(21)}), "input: is 21 characters"),
            (json!({"model": ""}), "Invalid request: missing model parameter"),
            (json!({"encoding_format": "int8"}), "encoding_format: \"int8\" is not one of"),
            (json!({"dimensions": 0}), "dimensions: is no whole number"),
            (json!({"dimensions": 1.5}), "dimensions: is no whole number"),
            (json!({"dimensions": "64"}), "dimensions: is no whole number"),
            (json!({"user": 7}), "user: is not one text"),
            (json!({"inputs": "a"}), "\"inputs\": there is no such field"),
        ] {
            let error = parsed(extra.clone(), &limits).unwrap_err();
            assert_eq!(error.status(), 400);
            assert!(error.to_string().starts_with(expected), "{error}");
        }
    }
}
