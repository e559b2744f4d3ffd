//! A job checked against what the model can do.

use super::generation_config::GenerationConfig;
use super::vocabulary::Vocabulary;
use crate::engine::{EngineError, LongForm, Temperature, TranscribeJob};
use crate::languages;

/// The most beams that a job may ask for, where the repository does not ask for more: as many as OpenAI's own tool
/// searches with. Each holds its own caches.
pub(super) const MAX_BEAMS: usize = 5;

/// What a job asks for, in the model's terms.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Request {
    /// The language to write the tokens for.
    pub(super) language: RequestedLanguage,
    /// The task token of a multilingual model.
    pub(super) task: Option<u32>,
    /// Beams, at least 1.
    pub(super) beams: usize,
    /// Samples at a temperature above 0, at least 1.
    pub(super) best_of: usize,
    /// The prompt's tokens.
    pub(super) prompt: Vec<u32>,
}

/// Where the language comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RequestedLanguage {
    /// The model knows English alone and has no language tokens.
    EnglishOnly,
    /// The caller named it.
    Given {
        /// Its code.
        code: String,
        /// Its token.
        token: u32,
    },
    /// The model is to detect it.
    Detect,
}

impl Request {
    /// Checks a job.
    ///
    /// # Errors
    /// [`EngineError::InvalidInput`] naming the field that cannot be done.
    pub(super) fn new(
        job: &TranscribeJob,
        config: &GenerationConfig,
        vocabulary: &Vocabulary,
    ) -> Result<Self, EngineError> {
        check_samples(&job.samples)?;
        let own_beams = config.common.num_beams.unwrap_or(1);
        let most_beams = MAX_BEAMS.max(own_beams);
        let beams = job.beams.unwrap_or(own_beams);
        if !(1..=most_beams).contains(&beams) {
            return Err(invalid("beams", format!("is {beams}; write 1 to {most_beams}")));
        }
        if let Temperature::Fixed(temperature) = job.temperature
            && !(0.0..=2.0).contains(&temperature)
        {
            return Err(invalid("temperature", format!("is {temperature}; write 0 to 2")));
        }
        if !(1..=most_beams).contains(&job.best_of) {
            return Err(invalid("best_of", format!("is {}; write 1 to {most_beams}", job.best_of)));
        }
        if job.best_of > 1 && job.temperature == Temperature::Fixed(0.0) {
            return Err(invalid(
                "best_of",
                "is for temperatures above 0, where chance has a say; leave it out",
            ));
        }
        if job.long_form == LongForm::Batched && job.condition_on_previous_text {
            return Err(invalid(
                "condition_on_previous_text",
                "needs windows one after another; leave it out, or the batched long form",
            ));
        }
        if job.words && config.alignment_heads.is_empty() {
            return Err(invalid(
                "words",
                "cannot be placed in time: the repository's generation_config.json has no alignment_heads",
            ));
        }
        Ok(Self {
            language: language(job, config)?,
            task: task(job, config)?,
            beams,
            best_of: job.best_of,
            prompt: prompt(job, config, vocabulary)?,
        })
    }
}

/// Checks the samples of a job.
///
/// # Errors
/// [`EngineError::InvalidInput`] where there are none, or some that are no numbers.
pub(super) fn check_samples(samples: &[f32]) -> Result<(), EngineError> {
    if samples.is_empty() {
        return Err(invalid("samples", "are none; send audio that is longer than nothing"));
    }
    if samples.iter().any(|sample| !sample.is_finite()) {
        return Err(invalid("samples", "hold NaN or infinity"));
    }
    Ok(())
}

fn language(job: &TranscribeJob, config: &GenerationConfig) -> Result<RequestedLanguage, EngineError> {
    let Some(multilingual) = &config.multilingual else {
        return match job.language.as_deref().map(|text| (text, languages::parse(text))) {
            None => Ok(RequestedLanguage::EnglishOnly),
            Some((_, Some(language))) if language.code == "en" => Ok(RequestedLanguage::EnglishOnly),
            Some((text, _)) => {
                Err(invalid("language", format!("is {text:?}, and this model knows English alone")))
            }
        };
    };
    let Some(text) = &job.language else {
        return Ok(RequestedLanguage::Detect);
    };
    let code = languages::parse(text)
        .map_or_else(|| text.trim().to_lowercase(), |language| language.code.to_owned());
    match multilingual.languages.get(&code) {
        Some(&token) => Ok(RequestedLanguage::Given { code, token }),
        None => Err(invalid(
            "language",
            format!(
                "is {text:?}, which this model does not know; write an ISO 639-1 code such as \"en\" or \"de\""
            ),
        )),
    }
}

fn task(job: &TranscribeJob, config: &GenerationConfig) -> Result<Option<u32>, EngineError> {
    match (&config.multilingual, job.translate) {
        (Some(multilingual), true) => Ok(Some(multilingual.translate)),
        (Some(multilingual), false) => Ok(Some(multilingual.transcribe)),
        (None, false) => Ok(None),
        (None, true) => {
            Err(invalid("translate", "is asked of a model that knows English alone; take a multilingual one"))
        }
    }
}

fn prompt(
    job: &TranscribeJob,
    config: &GenerationConfig,
    vocabulary: &Vocabulary,
) -> Result<Vec<u32>, EngineError> {
    let Some(text) = job.prompt.as_deref().map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(Vec::new());
    };
    // The leading space makes the first word the token that it is within a text.
    let tokens = vocabulary.encode(&format!(" {text}"))?;
    if tokens.iter().any(|token| *token >= config.end) {
        return Err(invalid("prompt", "holds a special token such as <|endoftext|>; write plain text"));
    }
    Ok(tokens)
}

fn invalid(parameter: &'static str, message: impl Into<String>) -> EngineError {
    EngineError::InvalidInput { parameter, message: message.into() }
}
