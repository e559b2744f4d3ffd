//! A translation job: texts into sentences, sentences into batches, and back.

use super::Marian;
use super::decoding::Decoding;
use super::tokenizer::split_language_code;
use crate::engine::{Control, EngineError, JobProgress, TranslateJob};
use crate::generate::{self, SearchOptions};
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

/// The sentences of a job as tokens, and how the answers are put together from their translations.
struct Plan {
    units: Vec<Vec<u32>>,
    answers: Vec<Vec<Slot>>,
}

impl Marian {
    pub(super) fn translate(
        &self,
        job: &TranslateJob,
        control: &Control,
    ) -> Result<Vec<String>, EngineError> {
        let beams = self.checked_beams(job.beams)?;
        let code = self.checked_languages(job)?;
        let plan = self.plan(job, code, control)?;
        let translations = self.translate_units(&plan.units, beams, control)?;
        let answer = |slots: Vec<Slot>| {
            slots
                .into_iter()
                .map(|slot| match slot {
                    Slot::Space(space) => space,
                    Slot::Unit(number) => translations[number].clone(),
                })
                .collect()
        };
        Ok(plan.answers.into_iter().map(answer).collect())
    }

    fn checked_beams(&self, beams: Option<usize>) -> Result<usize, EngineError> {
        match beams {
            None => Ok(self.generation.num_beams.unwrap_or(1)),
            Some(beams) if (1..=self.max_beams).contains(&beams) => Ok(beams),
            Some(beams) => Err(EngineError::InvalidInput {
                parameter: "beams",
                message: format!("{beams} must be 1 to {}", self.max_beams),
            }),
        }
    }

    /// The `>>code<<` to put before each sentence, where the model translates into several languages.
    fn checked_languages(&self, job: &TranslateJob) -> Result<Option<String>, EngineError> {
        let refused = |parameter, message| Err(EngineError::InvalidInput { parameter, message });
        if let (Some(asked), Some(own)) = (&job.source, &self.tokenizer.source_language)
            && !is_same_language(asked, own)
        {
            return refused(
                "source",
                format!("{asked:?} is not the language of this model, which is {own:?}"),
            );
        }
        let Some(asked) = &job.target else { return Ok(None) };
        if self.tokenizer.has_target_code(asked) {
            return Ok(Some(format!(">>{asked}<< ")));
        }
        let codes = self.tokenizer.target_codes();
        if !codes.is_empty() {
            let shown = codes.iter().take(64).copied().collect::<Vec<_>>().join(", ");
            return refused(
                "target",
                format!("this model does not translate into {asked:?}, but into {shown}"),
            );
        }
        match &self.tokenizer.target_language {
            Some(own) if !is_same_language(asked, own) => {
                refused("target", format!("this model translates into {own:?}, not into {asked:?}"))
            }
            _ => Ok(None),
        }
    }

    fn plan(&self, job: &TranslateJob, code: Option<String>, control: &Control) -> Result<Plan, EngineError> {
        if job.texts.len() > MAX_TEXTS {
            let message =
                format!("there are {}, at most {MAX_TEXTS} are translated at once", job.texts.len());
            return Err(EngineError::InvalidInput { parameter: "texts", message });
        }
        let mut plan = Plan { units: Vec::new(), answers: Vec::with_capacity(job.texts.len()) };
        for text in &job.texts {
            control.check()?;
            if text.len() > MAX_TEXT_BYTES {
                let message =
                    format!("a text has {} bytes, at most {MAX_TEXT_BYTES} are translated", text.len());
                return Err(EngineError::InvalidInput { parameter: "texts", message });
            }
            let slots = if job.split_sentences {
                self.plan_sentences(text, code.as_deref(), &mut plan.units, control)?
            } else {
                self.plan_whole(text, code.as_deref(), &mut plan.units)?
            };
            plan.answers.push(slots);
        }
        Ok(plan)
    }

    fn plan_whole(
        &self,
        text: &str,
        code: Option<&str>,
        units: &mut Vec<Vec<u32>>,
    ) -> Result<Vec<Slot>, EngineError> {
        if text.trim().is_empty() {
            return Ok(vec![Slot::Space(text.to_owned())]);
        }
        let tokens = if text.len() > MAX_PIECE_TEXT_BYTES { None } else { self.fitting(text, code)? };
        let Some(tokens) = tokens else {
            let message = format!(
                "a text is longer than the {} tokens that this model takes; leave it to be split into sentences",
                self.max_source_tokens
            );
            return Err(EngineError::InvalidInput { parameter: "texts", message });
        };
        units.push(tokens);
        Ok(vec![Slot::Unit(units.len() - 1)])
    }

    fn plan_sentences(
        &self,
        text: &str,
        code: Option<&str>,
        units: &mut Vec<Vec<u32>>,
        control: &Control,
    ) -> Result<Vec<Slot>, EngineError> {
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
                control.check()?;
                Ok::<_, EngineError>(
                    part.len() <= MAX_PIECE_TEXT_BYTES && self.fitting(part, code)?.is_some(),
                )
            };
            for part in text::split_long(sentence, &mut fits)? {
                match part {
                    Part::Space(space) => slots.push(Slot::Space(space.to_owned())),
                    Part::Sentence(part) => slots.extend(self.plan_whole(part, code, units)?),
                }
            }
        }
        Ok(slots)
    }

    /// The tokens of a text, where the model can take that many.
    fn fitting(&self, text: &str, code: Option<&str>) -> Result<Option<Vec<u32>>, EngineError> {
        let tokens = match code {
            Some(code) => self.tokenizer.encode(&format!("{code}{text}")),
            None => self.tokenizer.encode(text),
        };
        let tokens = tokens.map_err(EngineError::Tokenizer)?;
        Ok(Some(tokens).filter(|tokens| tokens.len() <= self.max_source_tokens))
    }

    /// Translates sentences of tokens in batches of similar length, so that little is filled up.
    fn translate_units(
        &self,
        units: &[Vec<u32>],
        beams: usize,
        control: &Control,
    ) -> Result<Vec<String>, EngineError> {
        let mut order: Vec<usize> = (0..units.len()).collect();
        order.sort_by_key(|unit| std::cmp::Reverse(units[*unit].len()));
        let mut translations = vec![String::new(); units.len()];
        let mut done = 0;
        for batch in order.chunks(self.sentences_at_once(beams)) {
            let sentences: Vec<Vec<u32>> = batch.iter().map(|unit| units[*unit].clone()).collect();
            let generated = self.generate(&sentences, beams, control)?;
            for (unit, tokens) in batch.iter().zip(generated) {
                translations[*unit] = self.tokenizer.decode(&tokens).map_err(EngineError::Tokenizer)?;
            }
            done += batch.len();
            control.report(JobProgress::Translated { done, total: units.len() });
        }
        Ok(translations)
    }

    /// The tokens that the search finds for each sentence of tokens, without the one that starts a text.
    pub(super) fn generate(
        &self,
        sentences: &[Vec<u32>],
        beams: usize,
        control: &Control,
    ) -> Result<Vec<Vec<u32>>, EngineError> {
        let encoded = self.model.encode(sentences, self.pad, control)?;
        let mut decoding = Decoding::new(&self.model, encoded, sentences.len());
        let mut beam = self.generation.beam_options(Some(beams), 1);
        beam.max_length = self.max_target_tokens;
        let options = SearchOptions { beam, processors: &self.processors };
        let prompts = vec![vec![self.start]; sentences.len()];
        let found = generate::search(&mut decoding, &prompts, &options, control)?;
        Ok(found.into_iter().map(|hypothesis| hypothesis.tokens).collect())
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
    use std::path::Path;

    use super::*;
    use crate::weights::Purpose;
    use crate::weights::pickle::PicklePolicy;

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

    fn planned(folder: &str, text: &str, target: Option<&str>) -> (Marian, Plan) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let marian = super::super::load(&folder, &PicklePolicy::Refused, Purpose::Run).unwrap();
        let job = TranslateJob {
            texts: vec![text.to_owned()],
            source: None,
            target: target.map(str::to_owned),
            beams: None,
            split_sentences: true,
        };
        let code = marian.checked_languages(&job).unwrap();
        let plan = marian.plan(&job, code, &Control::default()).unwrap();
        (marian, plan)
    }

    #[test]
    fn an_over_long_sentence_is_cut_and_nothing_of_it_is_dropped() {
        let clauses = vec!["We load fourteen houses"; 60].join(", ");
        let words = vec!["seven"; 700].join(" ");
        let letters = "sevenopen".repeat(300);
        for text in [clauses, words, letters] {
            let (marian, plan) = planned("../../examples/models/opus-mt-en-de", &text, None);
            assert!(plan.units.len() > 1);
            let mut whole = String::new();
            for slot in &plan.answers[0] {
                match slot {
                    Slot::Space(space) => whole.push_str(space),
                    Slot::Unit(unit) => {
                        assert!(plan.units[*unit].len() <= marian.max_source_tokens);
                        whole.push_str(&marian.tokenizer.decode(&plan.units[*unit]).unwrap());
                    }
                }
            }
            // What the vocabulary lacks cannot come back, and is the same in both.
            let known = |text: &str| text.chars().filter(|one| "sevnopt".contains(*one)).collect::<String>();
            assert_eq!(known(&whole), known(&text));
        }
    }

    #[test]
    fn a_target_language_is_put_before_every_sentence() {
        let folder = "tests/goldens/marian/shared";
        for (text, target) in [("the dog. The sun.", Some("fr")), (">>fr<< the dog. The sun.", None)] {
            let (marian, plan) = planned(folder, text, target);
            let code = marian.tokenizer.encode(">>fr<<").unwrap()[0];
            assert_eq!(plan.units.len(), 2, "{text}");
            assert!(plan.units.iter().all(|unit| unit[0] == code), "{text}");
        }
    }
}
