//! Which languages a model translates between, and how a sentence tells it.

use super::language_codes::{self, best_match};
use crate::engine::{EngineError, SpokenLanguages};

/// How many languages an error lists.
const MAX_LISTED: usize = 64;

/// Where a family writes languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marking {
    /// Marian: the target's code stands before the text, where the model knows several.
    TargetFirst,
    /// The source's code stands before the text; the translation starts with the target's.
    SourceFirst,
    /// As [`Marking::SourceFirst`], but the source's code stands after the end: NLLB's `legacy_behaviour`.
    SourceLast,
}

/// The languages of a model.
#[derive(Debug, Clone)]
pub(super) struct Languages {
    pub(super) marking: Marking,
    /// Each code that the model knows with its token, in order.
    pub(super) codes: Vec<(String, u32)>,
    /// The token that ends a text.
    pub(super) end: u32,
    /// The language of texts that do not name one: of Marian the only one.
    pub(super) source: Option<String>,
    /// The language to translate into where none is asked for: of Marian without codes the only one.
    pub(super) target: Option<String>,
    /// The token that every translation starts with, where the repository says so: its target is the only one.
    pub(super) forced_begin: Option<u32>,
}

/// How a sentence is put to the model.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Direction {
    /// The tokens before those of the text.
    pub(super) prefix: Vec<u32>,
    /// The tokens behind.
    pub(super) suffix: Vec<u32>,
    /// The token that the translation must start with.
    pub(super) forced_begin: Option<u32>,
}

impl Direction {
    /// The tokens of a text with those around it.
    pub(super) fn around(&self, text: &[u32]) -> Vec<u32> {
        [&self.prefix, text, &self.suffix].concat()
    }
}

impl Languages {
    /// How to translate from `source` into `target`, codes in any of their common forms.
    ///
    /// # Errors
    /// [`EngineError::InvalidInput`] where the model is known not to translate so, with what it does instead.
    pub(super) fn direction(
        &self,
        source: Option<&str>,
        target: Option<&str>,
    ) -> Result<Direction, EngineError> {
        match self.marking {
            Marking::TargetFirst => self.marian_direction(source, target),
            Marking::SourceFirst | Marking::SourceLast => self.coded_direction(source, target),
        }
    }

    /// Any direction, to try the model with.
    pub(super) fn any_direction(&self) -> Direction {
        let first = self.codes.first().map(|(_, token)| *token);
        match self.marking {
            Marking::TargetFirst => self.marked(None),
            Marking::SourceFirst | Marking::SourceLast => {
                Direction { forced_begin: first, ..self.marked(first) }
            }
        }
    }

    /// The languages as they are told to others, by the shortest codes that this model takes for them.
    pub(super) fn spoken(&self) -> SpokenLanguages {
        let all = || language_codes::shortest(self.codes.iter().map(|(code, _)| code.as_str()));
        let one = |code: &Option<String>| code.iter().cloned().collect();
        let of_token = |token| self.codes.iter().position(|(_, known)| *known == token);
        let sources = match self.marking {
            Marking::TargetFirst => one(&self.source),
            Marking::SourceFirst | Marking::SourceLast => all(),
        };
        let targets = match (self.forced_begin.and_then(of_token), self.codes.is_empty()) {
            (Some(place), _) => all().into_iter().skip(place).take(1).collect(),
            (None, true) => one(&self.target),
            (None, false) => all(),
        };
        SpokenLanguages { sources, targets }
    }

    fn marked(&self, code: Option<u32>) -> Direction {
        let mut direction = Direction { suffix: vec![self.end], ..Direction::default() };
        match self.marking {
            Marking::TargetFirst | Marking::SourceFirst => direction.prefix.extend(code),
            Marking::SourceLast => direction.suffix.extend(code),
        }
        direction
    }

    fn marian_direction(&self, source: Option<&str>, target: Option<&str>) -> Result<Direction, EngineError> {
        if let (Some(asked), Some(own)) = (source, &self.source)
            && !language_codes::may_be_same(asked, own)
        {
            return Err(refused(
                "source",
                format!("{asked:?} is not the language of this model, which is {own:?}"),
            ));
        }
        let Some(asked) = target else { return Ok(self.marked(None)) };
        if let Some(token) = self.token(asked) {
            return Ok(self.marked(Some(token)));
        }
        if !self.codes.is_empty() {
            return Err(self.unknown("target", asked));
        }
        match &self.target {
            Some(own) if !language_codes::may_be_same(asked, own) => {
                Err(refused("target", format!("this model translates into {own:?}, not into {asked:?}")))
            }
            _ => Ok(self.marked(None)),
        }
    }

    fn coded_direction(&self, source: Option<&str>, target: Option<&str>) -> Result<Direction, EngineError> {
        let token = |parameter, asked: Option<&str>, own: &Option<String>| {
            let Some(asked) = asked.or(own.as_deref()) else {
                let message = format!("this model knows several languages, name one of {}", self.listed());
                return Err(refused(parameter, message));
            };
            self.token(asked).ok_or_else(|| self.unknown(parameter, asked))
        };
        let source = token("source", source, &self.source)?;
        let target = match (self.forced_begin, target) {
            (Some(forced), None) => forced,
            (Some(forced), Some(asked)) if self.token(asked) != Some(forced) => {
                let own = self.codes.iter().find(|(_, token)| *token == forced);
                let own = own.map_or("one other language", |(code, _)| code.as_str());
                let message = format!(
                    "this model translates into {own}, as its forced_bos_token_id says, not into {asked:?}"
                );
                return Err(refused("target", message));
            }
            (_, target) => token("target", target, &self.target)?,
        };
        Ok(Direction { forced_begin: Some(target), ..self.marked(Some(source)) })
    }

    /// The token of a code that the model knows in this form or another.
    fn token(&self, asked: &str) -> Option<u32> {
        let place = best_match(asked, self.codes.iter().map(|(code, _)| code.as_str()))?;
        self.codes.get(place).map(|(_, token)| *token)
    }

    fn unknown(&self, parameter: &'static str, asked: &str) -> EngineError {
        let verb = if parameter == "source" { "from" } else { "into" };
        let message = format!("this model does not translate {verb} {asked:?}, but {verb} {}", self.listed());
        refused(parameter, message)
    }

    fn listed(&self) -> String {
        let codes = self.codes.iter().take(MAX_LISTED).map(|(code, _)| code.as_str());
        let more = self.codes.len().saturating_sub(MAX_LISTED);
        let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
        codes.collect::<Vec<_>>().join(", ") + &rest
    }
}

fn refused(parameter: &'static str, message: String) -> EngineError {
    EngineError::InvalidInput { parameter, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn languages(marking: Marking, codes: &[&str]) -> Languages {
        let codes = codes.iter().zip(10..).map(|(code, token)| ((*code).to_owned(), token)).collect();
        Languages { marking, codes, end: 2, source: None, target: None, forced_begin: None }
    }

    fn message(outcome: Result<Direction, EngineError>) -> String {
        outcome.unwrap_err().to_string()
    }

    #[test]
    fn the_source_goes_around_the_text_and_the_target_first_into_the_translation() {
        let first = languages(Marking::SourceFirst, &["de_DE", "en_XX", "fr_XX"]);
        let expected = Direction { prefix: vec![11], suffix: vec![2], forced_begin: Some(10) };
        assert_eq!(first.direction(Some("en"), Some("de")).unwrap(), expected);
        assert_eq!(expected.around(&[5, 6]), [11, 5, 6, 2]);
        let last = languages(Marking::SourceLast, &["deu_Latn", "eng_Latn"]);
        let expected = Direction { prefix: vec![], suffix: vec![2, 11], forced_begin: Some(10) };
        assert_eq!(last.direction(Some("en"), Some("de-AT")).unwrap(), expected);
    }

    #[test]
    fn unknown_and_missing_languages_are_named_with_what_there_is() {
        let model = languages(Marking::SourceFirst, &["de_DE", "en_XX"]);
        for (source, target, part) in [
            (
                Some("en"),
                Some("tlh"),
                "target: this model does not translate into \"tlh\", but into de_DE, en_XX",
            ),
            (Some("tlh"), Some("de"), "source: this model does not translate from \"tlh\", but from de_DE"),
            (None, Some("de"), "source: this model knows several languages, name one of de_DE"),
            (Some("en"), None, "target: this model knows several languages"),
        ] {
            let message = message(model.direction(source, target));
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn a_model_into_one_language_refuses_the_others() {
        let model =
            Languages { forced_begin: Some(11), ..languages(Marking::SourceFirst, &["de_DE", "en_XX"]) };
        assert_eq!(model.direction(Some("de"), None).unwrap().forced_begin, Some(11));
        assert_eq!(model.direction(Some("de"), Some("en")).unwrap().forced_begin, Some(11));
        assert!(message(model.direction(Some("de"), Some("de"))).contains("translates into en_XX"));
        assert_eq!(model.spoken().sources, ["de", "en"]);
        assert_eq!(model.spoken().targets, ["en"]);
    }

    #[test]
    fn marian_marks_the_target_alone_and_only_where_it_knows_several() {
        let several = languages(Marking::TargetFirst, &["deu", "fra"]);
        assert_eq!(several.direction(Some("en"), Some("fr")).unwrap().prefix, [11]);
        assert!(several.direction(Some("en"), None).unwrap().prefix.is_empty());
        assert!(several.direction(None, Some("it")).is_err());
        let one = Languages { target: Some("de".to_owned()), ..languages(Marking::TargetFirst, &[]) };
        assert!(one.direction(None, Some("de")).unwrap().prefix.is_empty());
        assert!(message(one.direction(None, Some("it"))).contains("into \"de\""));
    }
}
