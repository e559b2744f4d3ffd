//! Whether a model speaks the languages that a job asks for.

use super::tokenizer::MarianTokenizer;
use crate::engine::EngineError;

/// How many languages an error lists.
const MAX_LISTED: usize = 64;

/// The `>>code<<` to put before each sentence, where the model translates into several languages.
///
/// # Errors
/// [`EngineError::InvalidInput`] where the model is known not to translate so, with what it does instead.
pub(super) fn target_code(
    tokenizer: &MarianTokenizer,
    source: Option<&str>,
    target: Option<&str>,
) -> Result<Option<String>, EngineError> {
    let refused = |parameter, message| Err(EngineError::InvalidInput { parameter, message });
    if let (Some(asked), Some(own)) = (source, &tokenizer.source_language)
        && !is_same_language(asked, own)
    {
        return refused("source", format!("{asked:?} is not the language of this model, which is {own:?}"));
    }
    let Some(asked) = target else { return Ok(None) };
    if tokenizer.has_target_code(asked) {
        return Ok(Some(format!(">>{asked}<< ")));
    }
    let codes = tokenizer.target_codes();
    if !codes.is_empty() {
        let listed = codes.iter().take(MAX_LISTED).copied().collect::<Vec<_>>().join(", ");
        let message = format!("this model does not translate into {asked:?}, but into {listed}");
        return refused("target", message);
    }
    match &tokenizer.target_language {
        Some(own) if !is_same_language(asked, own) => {
            refused("target", format!("this model translates into {own:?}, not into {asked:?}"))
        }
        _ => Ok(None),
    }
}

/// Whether two codes can mean the same language: `de` and `de-AT` do, and so may a code for a group of languages
/// (`ROMANCE`, `mul`) and any other.
fn is_same_language(asked: &str, own: &str) -> bool {
    let primary = |code: &str| code.split(['-', '_']).next().unwrap_or_default().to_lowercase();
    let (asked, own) = (primary(asked), primary(own));
    asked == own || asked.len() != own.len() || own.len() > 2
}

#[cfg(test)]
mod tests {
    use super::is_same_language;

    #[test]
    fn languages_are_compared_as_far_as_their_codes_allow() {
        let cases = [
            ("de", "de", true),
            ("de-AT", "de", true),
            ("en", "de", false),
            ("fr", "ROMANCE", true),
            ("deu", "de", true),
            ("DE", "de", true),
        ];
        for (asked, own, expected) in cases {
            assert_eq!(is_same_language(asked, own), expected, "{asked} {own}");
        }
    }
}
