//! The fields of vLLM's `/score` as a typed request. Pure.

use serde_json::{Map, Value};

use super::error::ApiError;
use super::fields::{check_amount, invalid, refuse_unknown, text, unsupported};
use crate::state::Limits;

/// The two sides of the comparison, by the names that vLLM's releases gave them.
const SIDES: [(&str, &str); 4] =
    [("text_1", "text_2"), ("queries", "documents"), ("queries", "items"), ("data_1", "data_2")];

/// Fields that vLLM has for other kinds of models, each with what to do instead.
const REFUSED: [(&str, &str); 12] = [
    ("use_activation", "a similarity has no activation; leave it out"),
    ("activation", "a similarity has no activation; leave it out"),
    ("softmax", "a similarity has no activation; leave it out"),
    ("mm_processor_kwargs", "only texts are compared; leave it out"),
    ("instruction", "texts are embedded as they are; write it into the texts"),
    ("chat_template_kwargs", "texts are embedded as they are; leave it out"),
    ("max_tokens_per_query", "a text is cut to what the model takes; leave it out"),
    ("max_tokens_per_doc", "a text is cut to what the model takes; leave it out"),
    ("truncation_side", "a text is cut at its end; leave it out"),
    ("priority", "requests are worked on as they come; leave it out"),
    ("cache_salt", "there is no cache of prefixes; leave it out"),
    ("request_id", "send it in the header x-request-id"),
];

/// A body of `/score`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ScoreRequest {
    /// The texts of the left side, then those of the right.
    pub(super) texts: Vec<String>,
    /// How many of them are of the left: one, or as many as are of the right.
    pub(super) firsts: usize,
    /// What the client calls the sides.
    pub(super) names: (&'static str, &'static str),
    /// `name`, `name@version` or `name@commit`.
    pub(super) model: Option<String>,
    /// A subject for the version split.
    pub(super) user: Option<String>,
}

/// Reads the fields of `/score`.
///
/// # Errors
/// The first field that is missing, wrong or refused.
pub(super) fn parse(fields: &Map<String, Value>, limits: &Limits) -> Result<ScoreRequest, ApiError> {
    let is_given = |name: &str| fields.get(name).is_some_and(|value| !value.is_null());
    if let Some((name, instead)) = REFUSED.iter().find(|(name, _)| is_given(name)) {
        return Err(unsupported(name, instead));
    }
    if is_given("truncate_prompt_tokens") && fields["truncate_prompt_tokens"].as_i64() != Some(-1) {
        return Err(unsupported(
            "truncate_prompt_tokens",
            "a text is cut to what the model takes, which is -1; send that or leave it out",
        ));
    }
    let sides = SIDES.iter().flat_map(|(left, right)| [*left, *right]);
    let refused = REFUSED.iter().map(|(name, _)| *name);
    let known: Vec<&str> =
        ["model", "user", "truncate_prompt_tokens"].into_iter().chain(sides.clone()).chain(refused).collect();
    refuse_unknown(fields, &known)?;
    let given: Vec<&str> = sides.filter(|name| is_given(name)).collect();
    let whole = SIDES.iter().find(|(left, right)| is_given(left) && is_given(right));
    let names = *whole.ok_or_else(|| missing(&given))?;
    if let Some(other) = given.iter().find(|name| **name != names.0 && **name != names.1) {
        let message = format!("stands beside {} and {}; send one pair of fields", names.0, names.1);
        return Err(invalid(other, message));
    }
    let mut texts = side(fields, names.0)?;
    let firsts = texts.len();
    texts.extend(side(fields, names.1)?);
    let seconds = texts.len() - firsts;
    if firsts != 1 && firsts != seconds {
        let message = format!("{firsts} texts stand against {seconds}; send 1:1, 1:N or N:N");
        return Err(invalid(names.0, message));
    }
    check_amount(names.1, &texts, limits)?;
    let owned = |name: &str| Ok::<_, ApiError>(text(fields, name)?.map(str::to_owned));
    Ok(ScoreRequest { texts, firsts, names, model: owned("model")?, user: owned("user")? })
}

/// The side that is missing beside the one that was given, else the first.
fn missing(given: &[&str]) -> ApiError {
    let other = SIDES.iter().find_map(|(left, right)| match (given.contains(left), given.contains(right)) {
        (true, false) => Some(*right),
        (false, true) => Some(*left),
        _ => None,
    });
    ApiError::MissingParameter { parameter: other.unwrap_or(SIDES[0].0) }
}

/// One text or a list of them.
fn side(fields: &Map<String, Value>, name: &'static str) -> Result<Vec<String>, ApiError> {
    match fields.get(name) {
        Some(Value::String(text)) => Ok(vec![text.clone()]),
        Some(Value::Array(list)) if list.is_empty() => Err(invalid(name, "must not be empty".to_owned())),
        Some(Value::Array(list)) => list.iter().map(|value| one(name, value)).collect(),
        Some(value) => one(name, value).map(|text| vec![text]),
        None => Err(ApiError::MissingParameter { parameter: name }),
    }
}

fn one(name: &str, value: &Value) -> Result<String, ApiError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Object(_) => Err(unsupported(name, "only texts are compared, no images or lists of parts")),
        _ => Err(invalid(name, "is neither a text nor a list of texts".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parsed(fields: &Value, limits: &Limits) -> Result<ScoreRequest, ApiError> {
        parse(fields.as_object().unwrap(), limits)
    }

    #[test]
    fn pairs_are_read_by_the_names_of_every_release() {
        let limits = Limits::default();
        for (left, right) in SIDES {
            let one = parsed(&json!({left: "a", right: ["b", "c"], "model": "m@v1", "user": "u"}), &limits);
            let expected = ScoreRequest {
                texts: ["a", "b", "c"].map(str::to_owned).to_vec(),
                firsts: 1,
                names: (left, right),
                model: Some("m@v1".to_owned()),
                user: Some("u".to_owned()),
            };
            assert_eq!(one.unwrap(), expected);
        }
        let many = parsed(&json!({"text_1": ["a", "b"], "text_2": ["c", ""]}), &limits).unwrap();
        assert_eq!((many.texts.len(), many.firsts, many.model), (4, 2, None));
        let nulls = json!({"text_1": "a", "text_2": "b", "queries": null, "truncate_prompt_tokens": -1,
            "use_activation": null});
        assert_eq!(parsed(&nulls, &limits).unwrap().names, ("text_1", "text_2"));
    }

    #[test]
    fn what_is_wrong_or_refused_is_named() {
        let limits = Limits { embedding_texts: 4, embedding_characters: 20, ..Limits::default() };
        let pair = |extra: Value| {
            let mut fields = json!({"text_1": "a", "text_2": "b"});
            fields.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            fields
        };
        for (fields, expected) in [
            (json!({}), "Invalid request: missing text_1 parameter"),
            (json!({"text_2": "b"}), "Invalid request: missing text_1 parameter"),
            (json!({"queries": "a"}), "Invalid request: missing documents parameter"),
            (json!({"documents": ["a"]}), "Invalid request: missing queries parameter"),
            (pair(json!({"documents": "c"})), "documents: stands beside text_1 and text_2"),
            (pair(json!({"text_1": ["a", "b"]})), "text_1: 2 texts stand against 1"),
            (pair(json!({"text_1": []})), "text_1: must not be empty"),
            (pair(json!({"text_2": []})), "text_2: must not be empty"),
            (pair(json!({"text_2": 7})), "text_2: is neither"),
            (pair(json!({"text_2": ["a", [1]]})), "text_2: is neither"),
            (pair(json!({"text_1": {"content": []}})), "text_1 is not supported here"),
            (pair(json!({"text_2": ["a", "b", "c", "d"]})), "text_2: holds 5 texts, over the limit of 4"),
            (pair(json!({"text_2": "x".repeat(20)})), "text_2: is 21 characters"),
            (pair(json!({"use_activation": true})), "use_activation is not supported here"),
            (pair(json!({"truncate_prompt_tokens": 10})), "truncate_prompt_tokens is not supported here"),
            (pair(json!({"text_3": "c"})), "\"text_3\": there is no such field"),
            (pair(json!({"model": 7})), "model: is not one text"),
        ] {
            let error = parsed(&fields, &limits).unwrap_err();
            assert_eq!(error.status(), 400);
            assert!(error.to_string().starts_with(expected), "{error}");
        }
    }
}
