//! Which language a clip is in: the probabilities of the language tokens after the start token.

use super::Whisper;
use super::forward::{Forward, Session};
use super::generation_config::Multilingual;
use super::request;
use super::rules::log_sum_exp;
use crate::engine::{Control, DetectLanguageJob, EngineError, LabelScore};

/// A language that a clip may be in.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Candidate {
    /// Its code as Whisper writes it.
    pub(super) code: String,
    /// Its token.
    pub(super) token: u32,
    /// Its probability among all languages of the model.
    pub(super) probability: f32,
}

/// Every language of the model, most probable first, heard in the first window of a clip. What comes behind it is not
/// looked at, as OpenAI's own tool does it.
///
/// # Errors
/// [`EngineError::WrongTask`] of a model that knows English alone, and [`EngineError::InvalidInput`] of samples that
/// are none.
pub(super) fn of_clip<F: Forward>(
    engine: &Whisper<F>,
    job: &DetectLanguageJob,
    control: &Control,
) -> Result<Vec<LabelScore>, EngineError> {
    request::check_samples(&job.samples)?;
    let multilingual = multilingual(engine)?;
    control.check()?;
    let frames = engine.config.window_frames();
    let samples = &job.samples[..job.samples.len().min(frames * engine.mel.hop())];
    let mel = engine.mel.clip(&engine.forward.team().enter(), samples).window(0, frames, frames);
    let memory = engine.forward.encode(&mel, control)?;
    let candidates = candidates(multilingual, &first_logits(engine, &memory, control)?);
    Ok(candidates.into_iter().map(|one| LabelScore { label: one.code, score: one.probability }).collect())
}

/// The most probable language of an encoded window.
///
/// # Errors
/// [`EngineError::WrongTask`] of a model that knows English alone.
pub(super) fn of_window<F: Forward>(
    engine: &Whisper<F>,
    window: &F::Memory,
    control: &Control,
) -> Result<Candidate, EngineError> {
    let multilingual = multilingual(engine)?;
    let candidates = candidates(multilingual, &first_logits(engine, window, control)?);
    candidates.into_iter().next().ok_or(CANNOT)
}

const CANNOT: EngineError = EngineError::WrongTask("detect spoken languages");

fn multilingual<F>(engine: &Whisper<F>) -> Result<&Multilingual, EngineError> {
    engine.generation.multilingual.as_ref().ok_or(CANNOT)
}

/// The logits after the start token.
fn first_logits<F: Forward>(
    engine: &Whisper<F>,
    window: &F::Memory,
    control: &Control,
) -> Result<Vec<f32>, EngineError> {
    let mut session = engine.forward.session(&[window], 1)?;
    let mut logits = Vec::new();
    session.feed(&[&[engine.generation.start]], &[0], &mut logits, control)?;
    if logits.iter().all(|logit| logit.is_finite()) {
        Ok(logits)
    } else {
        Err(EngineError::NotFinite("a logit"))
    }
}

/// The languages, most probable first, given the logits after the start token.
#[must_use]
fn candidates(multilingual: &Multilingual, logits: &[f32]) -> Vec<Candidate> {
    let languages = multilingual.languages.iter();
    let mut known: Vec<(&String, u32, f32)> = languages
        .filter_map(|(code, &token)| logits.get(token as usize).map(|&logit| (code, token, logit)))
        .collect();
    // Of equal ones the lower token comes first, as an argmax over the vocabulary would have it.
    known.sort_by(|left, right| right.2.total_cmp(&left.2).then(left.1.cmp(&right.1)));
    let all = log_sum_exp(&known.iter().map(|(_, _, logit)| *logit).collect::<Vec<f32>>());
    let candidate = |(code, token, logit): (&String, u32, f32)| Candidate {
        code: code.clone(),
        token,
        probability: (logit - all).exp(),
    };
    known.into_iter().map(candidate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_ordered_by_probability_and_then_by_token() {
        let languages =
            [("de", 2), ("en", 1), ("fr", 3), ("xx", 9)].map(|(code, token)| (code.to_owned(), token));
        let multilingual = Multilingual { languages: languages.into(), transcribe: 4, translate: 5 };
        let found = candidates(&multilingual, &[9.0, 1.0, 1.0, 2.0]);
        let codes: Vec<&str> = found.iter().map(|candidate| candidate.code.as_str()).collect();
        assert_eq!(codes, ["fr", "en", "de"]);
        let sum: f32 = found.iter().map(|candidate| candidate.probability).sum();
        assert!((sum - 1.0).abs() < 1e-6, "{found:?}");
        assert_eq!(candidates(&multilingual, &[]), []);
    }
}
