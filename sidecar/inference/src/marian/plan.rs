//! A translation job as the sentences that the model translates, and how answers are put together from them.

use super::languages::target_code;
use super::tokenizer::{MarianTokenizer, split_language_code};
use crate::engine::{Control, EngineError, TranslateJob};
use crate::text::{self, Part};
use crate::tokenize::MAX_PIECE_TEXT_BYTES;

/// The longest text of a job, in bytes.
const MAX_TEXT_BYTES: usize = 1 << 20;
/// The most texts of a job.
const MAX_TEXTS: usize = 4096;

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
    answers: Vec<Vec<Slot>>,
}

impl Plan {
    /// Cuts the texts of a job into units of at most `longest` tokens.
    ///
    /// # Errors
    /// [`EngineError::InvalidInput`] where a text is too long, or the model does not speak its language.
    pub(super) fn new(
        job: &TranslateJob,
        tokenizer: &MarianTokenizer,
        longest: usize,
        control: &Control,
    ) -> Result<Self, EngineError> {
        let code = target_code(tokenizer, job.source.as_deref(), job.target.as_deref())?;
        if job.texts.len() > MAX_TEXTS {
            let message =
                format!("there are {}, at most {MAX_TEXTS} are translated at once", job.texts.len());
            return Err(EngineError::InvalidInput { parameter: "texts", message });
        }
        let mut planner = Planner { tokenizer, longest, control, units: Vec::new() };
        let mut answers = Vec::with_capacity(job.texts.len());
        for text in &job.texts {
            control.check()?;
            if text.len() > MAX_TEXT_BYTES {
                let message =
                    format!("a text has {} bytes, at most {MAX_TEXT_BYTES} are translated", text.len());
                return Err(EngineError::InvalidInput { parameter: "texts", message });
            }
            answers.push(if job.split_sentences {
                planner.sentences(text, code.as_deref())?
            } else {
                vec![planner.whole(text, code.as_deref())?]
            });
        }
        Ok(Self { units: planner.units, answers })
    }

    /// The answers, one a text, from the translations of the units.
    pub(super) fn answers(&self, translations: &[String]) -> Vec<String> {
        let piece = |slot: &Slot| match slot {
            Slot::Space(space) => space.clone(),
            Slot::Unit(number) => translations[*number].clone(),
        };
        self.answers.iter().map(|slots| slots.iter().map(piece).collect()).collect()
    }
}

struct Planner<'a> {
    tokenizer: &'a MarianTokenizer,
    longest: usize,
    control: &'a Control,
    units: Vec<Vec<u32>>,
}

impl Planner<'_> {
    fn whole(&mut self, text: &str, code: Option<&str>) -> Result<Slot, EngineError> {
        if text.trim().is_empty() {
            return Ok(Slot::Space(text.to_owned()));
        }
        let Some(tokens) = self.fitting(text, code)? else {
            let message = format!(
                "a text is longer than the {} tokens that this model takes; leave it to be split into sentences",
                self.longest
            );
            return Err(EngineError::InvalidInput { parameter: "texts", message });
        };
        self.units.push(tokens);
        Ok(Slot::Unit(self.units.len() - 1))
    }

    fn sentences(&mut self, text: &str, code: Option<&str>) -> Result<Vec<Slot>, EngineError> {
        // A code that the text itself begins with holds for all of its sentences.
        let (own_code, rest) = split_language_code(text);
        let own_code = own_code.map(|own| format!("{own} "));
        let code = code.or(own_code.as_deref());
        let mut slots = Vec::new();
        for part in text::split_sentences(if own_code.is_some() { rest } else { text }) {
            let sentence = match part {
                Part::Space(space) => {
                    slots.push(Slot::Space(space.to_owned()));
                    continue;
                }
                Part::Sentence(sentence) => sentence,
            };
            let mut fits = |part: &str| {
                self.control.check()?;
                Ok::<_, EngineError>(self.fitting(part, code)?.is_some())
            };
            for part in text::split_long(sentence, &mut fits)? {
                slots.push(match part {
                    Part::Space(space) => Slot::Space(space.to_owned()),
                    Part::Sentence(part) => self.whole(part, code)?,
                });
            }
        }
        Ok(slots)
    }

    /// The tokens of a text, where the model can take that many.
    fn fitting(&self, text: &str, code: Option<&str>) -> Result<Option<Vec<u32>>, EngineError> {
        if text.len() > MAX_PIECE_TEXT_BYTES {
            return Ok(None);
        }
        let tokens = match code {
            Some(code) => self.tokenizer.encode(&format!("{code}{text}")),
            None => self.tokenizer.encode(text),
        };
        let tokens = tokens.map_err(EngineError::Tokenizer)?;
        Ok(Some(tokens).filter(|tokens| tokens.len() <= self.longest))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const LONGEST: usize = 128;

    fn planned(folder: &str, size: usize, text: &str, target: Option<&str>) -> (MarianTokenizer, Plan) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let tokenizer = MarianTokenizer::read(&folder, size, size).unwrap();
        let job = TranslateJob {
            texts: vec![text.to_owned()],
            source: None,
            target: target.map(str::to_owned),
            beams: None,
            split_sentences: true,
        };
        let plan = Plan::new(&job, &tokenizer, LONGEST, &Control::default()).unwrap();
        (tokenizer, plan)
    }

    #[test]
    fn an_over_long_sentence_is_cut_and_nothing_of_it_is_dropped() {
        let clauses = vec!["We load fourteen houses"; 60].join(", ");
        let words = vec!["seven"; 700].join(" ");
        let letters = "sevenopen".repeat(300);
        for text in [clauses, words, letters] {
            let (tokenizer, plan) = planned("../../examples/models/opus-mt-en-de", 1000, &text, None);
            assert!(plan.units.len() > 1);
            assert!(plan.units.iter().all(|unit| unit.len() <= LONGEST));
            let same: Vec<String> = plan.units.iter().map(|unit| tokenizer.decode(unit).unwrap()).collect();
            // What the vocabulary lacks cannot come back, and is the same in both.
            let known = |text: &str| text.chars().filter(|one| "sevnopt".contains(*one)).collect::<String>();
            assert_eq!(known(&plan.answers(&same)[0]), known(&text));
        }
    }

    #[test]
    fn a_target_language_is_put_before_every_sentence() {
        let folder = "tests/goldens/marian/shared";
        for (text, target) in [("the dog. The sun.", Some("fr")), (">>fr<< the dog. The sun.", None)] {
            let (tokenizer, plan) = planned(folder, 1000, text, target);
            let code = tokenizer.encode(">>fr<<").unwrap()[0];
            assert_eq!(plan.units.len(), 2, "{text}");
            assert!(plan.units.iter().all(|unit| unit[0] == code), "{text}");
        }
    }
}
