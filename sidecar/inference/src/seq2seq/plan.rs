//! A translation job as the sentences that the model translates, and how answers are put together from them.

use super::languages::Direction;
use super::tokenizer::TextTokenizer;
use crate::engine::{Control, EngineError, TranslateJob};
use crate::text::{self, Part};
use crate::tokenize::MAX_PIECE_TEXT_BYTES;

/// The longest text of a job, in bytes.
const MAX_TEXT_BYTES: usize = 1 << 20;
/// The most texts of a job.
const MAX_TEXTS: usize = 4096;

/// Refuses jobs that are too large.
///
/// # Errors
/// [`EngineError::InvalidInput`] with the limit.
pub(super) fn check_size(job: &TranslateJob) -> Result<(), EngineError> {
    let refused = |message| Err(EngineError::InvalidInput { parameter: "texts", message });
    if job.texts.len() > MAX_TEXTS {
        let count = job.texts.len();
        return refused(format!("there are {count}, at most {MAX_TEXTS} are translated at once"));
    }
    match job.texts.iter().map(String::len).max() {
        Some(longest) if longest > MAX_TEXT_BYTES => {
            refused(format!("a text has {longest} bytes, at most {MAX_TEXT_BYTES} are translated"))
        }
        _ => Ok(()),
    }
}

/// A stretch of an answer.
enum Slot {
    /// White space, as it was.
    Space(String),
    /// The translation of the unit of this number.
    Unit(usize),
}

/// The sentences of a job as tokens, none longer than the model takes.
pub(super) struct Plan {
    /// What is translated, each on its own.
    pub(super) units: Vec<Vec<u32>>,
    /// The token that every translation starts with.
    pub(super) forced_begin: Option<u32>,
    answers: Vec<Vec<Slot>>,
}

impl Plan {
    /// Cuts the texts of a job, out of what they are written in, into units of at most `longest` tokens.
    ///
    /// # Errors
    /// [`EngineError::InvalidInput`] where a text is too long, or the model does not speak its language.
    pub(super) fn new(
        job: &TranslateJob,
        texts: &[String],
        tokenizer: &TextTokenizer,
        longest: usize,
        control: &Control,
    ) -> Result<Self, EngineError> {
        let direction = tokenizer.languages.direction(job.source.as_deref(), job.target.as_deref())?;
        let mut planner = Planner { tokenizer, longest, control, units: Vec::new() };
        let mut answers = Vec::with_capacity(texts.len());
        for text in texts {
            control.check()?;
            // A code that the text itself begins with holds for all of its sentences.
            let (own_code, text) = tokenizer.split_own_code(text).map_err(EngineError::Tokenizer)?;
            let own = Direction { prefix: own_code, ..direction.clone() };
            let direction = if direction.prefix.is_empty() { &own } else { &direction };
            answers.push(if job.split_sentences {
                planner.sentences(text, direction)?
            } else {
                vec![planner.whole(text, direction)?]
            });
        }
        Ok(Self { units: planner.units, forced_begin: direction.forced_begin, answers })
    }

    /// The answers, one a text, from the translations of the units: of each the one at `place`, or its last.
    pub(super) fn answers(&self, translations: &[Vec<String>], place: usize) -> Vec<String> {
        let piece = |slot: &Slot| match slot {
            Slot::Space(space) => space.clone(),
            Slot::Unit(number) => {
                let found = &translations[*number];
                found.get(place).or(found.last()).cloned().unwrap_or_default()
            }
        };
        self.answers.iter().map(|slots| slots.iter().map(piece).collect()).collect()
    }
}

struct Planner<'a> {
    tokenizer: &'a TextTokenizer,
    longest: usize,
    control: &'a Control,
    units: Vec<Vec<u32>>,
}

impl Planner<'_> {
    fn whole(&mut self, text: &str, direction: &Direction) -> Result<Slot, EngineError> {
        if text.trim().is_empty() {
            return Ok(Slot::Space(text.to_owned()));
        }
        let Some(tokens) = self.fitting(text, direction)? else {
            let message = format!(
                "a text is longer than the {} tokens that this model takes; leave it to be split into sentences",
                self.longest
            );
            return Err(EngineError::InvalidInput { parameter: "texts", message });
        };
        self.units.push(tokens);
        Ok(Slot::Unit(self.units.len() - 1))
    }

    fn sentences(&mut self, text: &str, direction: &Direction) -> Result<Vec<Slot>, EngineError> {
        let mut slots = Vec::new();
        for part in text::split_sentences(text) {
            let sentence = match part {
                Part::Space(space) => {
                    slots.push(Slot::Space(space.to_owned()));
                    continue;
                }
                Part::Sentence(sentence) => sentence,
            };
            let mut fits = |part: &str| {
                self.control.check()?;
                Ok::<_, EngineError>(self.fitting(part, direction)?.is_some())
            };
            for part in text::split_long(sentence, &mut fits)? {
                slots.push(match part {
                    Part::Space(space) => Slot::Space(space.to_owned()),
                    Part::Sentence(part) => self.whole(part, direction)?,
                });
            }
        }
        Ok(slots)
    }

    /// The tokens of a text, where the model can take that many.
    fn fitting(&self, text: &str, direction: &Direction) -> Result<Option<Vec<u32>>, EngineError> {
        if text.len() > MAX_PIECE_TEXT_BYTES {
            return Ok(None);
        }
        let tokens = self.tokenizer.encode(text, direction).map_err(EngineError::Tokenizer)?;
        Ok(Some(tokens).filter(|tokens| tokens.len() <= self.longest))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::engine::TextFormat;
    use crate::seq2seq::config::{self, Family};

    const LONGEST: usize = 128;

    fn planned(folder: &str, text: &str, target: Option<&str>) -> (TextTokenizer, Plan) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let architecture = config::read(&folder, Family::Marian).unwrap();
        let tokenizer = TextTokenizer::read(&folder, Family::Marian, &architecture, None).unwrap();
        let job = TranslateJob {
            texts: vec![text.to_owned()],
            source: None,
            target: target.map(str::to_owned),
            beams: None,
            split_sentences: true,
            format: TextFormat::Plain,
            alternatives: 0,
        };
        let plan = Plan::new(&job, &job.texts, &tokenizer, LONGEST, &Control::default()).unwrap();
        (tokenizer, plan)
    }

    #[test]
    fn an_over_long_sentence_is_cut_and_nothing_of_it_is_dropped() {
        let clauses = vec!["We load fourteen houses"; 60].join(", ");
        let words = vec!["seven"; 700].join(" ");
        let letters = "sevenopen".repeat(300);
        for text in [clauses, words, letters] {
            let (tokenizer, plan) = planned("../../examples/models/opus-mt-en-de", &text, None);
            assert!(plan.units.len() > 1);
            assert!(plan.units.iter().all(|unit| unit.len() <= LONGEST));
            let same: Vec<Vec<String>> =
                plan.units.iter().map(|unit| vec![tokenizer.decode(unit).unwrap()]).collect();
            // What the vocabulary lacks cannot come back, and is the same in both.
            let known = |text: &str| text.chars().filter(|one| "sevnopt".contains(*one)).collect::<String>();
            assert_eq!(known(&plan.answers(&same, 0)[0]), known(&text));
        }
    }

    #[test]
    fn a_target_language_is_put_before_every_sentence() {
        let folder = "tests/goldens/marian/shared";
        for (text, target) in [("the dog. The sun.", Some("fr")), (">>fr<< the dog. The sun.", None)] {
            let (tokenizer, plan) = planned(folder, text, target);
            let code = tokenizer.encode(">>fr<<", &Direction::default()).unwrap()[0];
            assert_eq!(plan.units.len(), 2, "{text}");
            assert!(plan.units.iter().all(|unit| unit[0] == code), "{text}");
        }
    }
}
