//! What the readers of JSON fields share. Pure.

use serde_json::{Map, Value};

use super::error::ApiError;
use super::excerpt::excerpt;
use crate::state::Limits;

/// A text field that must be there.
///
/// # Errors
/// [`ApiError::MissingParameter`], [`ApiError::InvalidParameter`].
pub(super) fn required_text<'fields>(
    fields: &'fields Map<String, Value>,
    parameter: &'static str,
) -> Result<&'fields str, ApiError> {
    text(fields, parameter)?.ok_or(ApiError::MissingParameter { parameter })
}

/// A text field; an empty one counts as absent, as in LibreTranslate.
///
/// # Errors
/// [`ApiError::InvalidParameter`] where it is something else.
pub(super) fn text<'fields>(
    fields: &'fields Map<String, Value>,
    parameter: &str,
) -> Result<Option<&'fields str>, ApiError> {
    match fields.get(parameter) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        Some(_) => Err(invalid(parameter, "is not one text".to_owned())),
    }
}

/// Refuses a field that the endpoint does not have, so that a misspelt one never passes for a working one.
///
/// # Errors
/// [`ApiError::InvalidParameter`] with the first such field.
pub(super) fn refuse_unknown(fields: &Map<String, Value>, known: &[&str]) -> Result<(), ApiError> {
    match fields.keys().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => {
            Err(invalid(&excerpt(name), format!("there is no such field; there are: {}", known.join(", "))))
        }
    }
}

/// A field with a value that it cannot have.
pub(super) fn invalid(parameter: &str, message: String) -> ApiError {
    ApiError::InvalidParameter { parameter: parameter.to_owned(), message }
}

/// A field, or a value of it, that the protocol has and Ostler does not.
pub(super) fn unsupported(parameter: &str, message: &str) -> ApiError {
    ApiError::UnsupportedParameter { parameter: parameter.to_owned(), message: message.to_owned() }
}

/// Checks that texts to embed are few and short enough for one request.
///
/// # Errors
/// [`ApiError::InvalidParameter`] names the limit.
pub(super) fn check_amount(parameter: &str, texts: &[String], limits: &Limits) -> Result<(), ApiError> {
    if texts.len() > limits.embedding_texts {
        let (count, limit) = (texts.len(), limits.embedding_texts);
        let message = format!("holds {count} texts, over the limit of {limit}; send several requests");
        return Err(invalid(parameter, message));
    }
    let characters: usize = texts.iter().map(|text| text.chars().count()).sum();
    if characters > limits.embedding_characters {
        let limit = limits.embedding_characters;
        let message =
            format!("is {characters} characters of text, over the limit of {limit}; send several requests");
        return Err(invalid(parameter, message));
    }
    Ok(())
}
