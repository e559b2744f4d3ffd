//! The fields of OpenAI's `/v1/audio/transcriptions` and `/v1/audio/translations`, as a typed request. Pure.
//!
//! Every field that OpenAI's API has is honoured or refused by name; an unknown one is refused as well, so that a
//! misspelt option never passes for a working one.

use std::sync::Arc;

use ostler_inference::engine::{Job, LongForm, Temperature, TranscribeJob};
use ostler_inference::languages;

use super::error::ApiError;
use super::excerpt::excerpt;
use super::transcript_body::ResponseFormat;

/// The most beams that a request may ask for; each holds a decoder cache of its own.
pub(super) const MAX_BEAMS: usize = 16;

/// Which of the two endpoints was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// `/v1/audio/transcriptions`: text in the spoken language.
    Transcriptions,
    /// `/v1/audio/translations`: text in English.
    Translations,
}

/// What a client wants made of its audio.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SpeechRequest {
    /// `model` as it was written: `name`, `name@version` or `name@commit`.
    pub(super) model: String,
    /// OpenAI's `user`, a subject for the version split.
    pub(super) user: Option<String>,
    /// The shape of the answer.
    pub(super) format: ResponseFormat,
    /// Whether `verbose_json` has the segments: not where words alone were asked for.
    pub(super) segments: bool,
    /// Whether the text is sent while it is made.
    pub(super) stream: bool,
    /// The rest of the job.
    pub(super) options: SpeechOptions,
}

/// Everything of a [`TranscribeJob`] but the samples.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SpeechOptions {
    language: Option<String>,
    translate: bool,
    timestamps: bool,
    prompt: Option<String>,
    condition_on_previous_text: bool,
    beams: Option<usize>,
    temperature: Temperature,
    words: bool,
    best_of: usize,
    long_form: Option<LongForm>,
}

impl SpeechOptions {
    /// The job about some audio, which may be decoded later. `long_form` is the model's own, for requests that do not say.
    pub(super) fn into_job(self, samples: Arc<[f32]>, long_form: Option<LongForm>) -> Job {
        // What needs the text of the window before has windows one after another.
        let long_form = long_form.filter(|_| !self.condition_on_previous_text);
        Job::Transcribe(TranscribeJob {
            samples,
            language: self.language,
            translate: self.translate,
            timestamps: self.timestamps,
            prompt: self.prompt,
            condition_on_previous_text: self.condition_on_previous_text,
            beams: self.beams,
            temperature: self.temperature,
            words: self.words,
            best_of: self.best_of,
            long_form: self.long_form.or(long_form).unwrap_or_default(),
        })
    }
}

/// Reads the text fields of a form, in the order in which they came.
///
/// # Errors
/// The first field that is missing, wrong or refused.
pub(super) fn parse(endpoint: Endpoint, fields: &[(String, String)]) -> Result<SpeechRequest, ApiError> {
    let mut raw = Raw::default();
    for (name, value) in fields {
        raw.take(endpoint, name, value)?;
    }
    raw.check(endpoint)
}

/// The fields that were given, each read but not yet compared with the others.
#[derive(Default)]
struct Raw {
    model: Option<String>,
    user: Option<String>,
    language: Option<String>,
    prompt: Option<String>,
    format: Option<ResponseFormat>,
    temperature: Option<f32>,
    temperature_fallback: Option<bool>,
    segment_timestamps: bool,
    word_timestamps: bool,
    without_timestamps: Option<bool>,
    condition_on_previous_text: Option<bool>,
    beams: Option<usize>,
    best_of: Option<usize>,
    long_form: Option<LongForm>,
    stream: Option<bool>,
}

impl Raw {
    fn take(&mut self, endpoint: Endpoint, field: &str, value: &str) -> Result<(), ApiError> {
        let transcribing = endpoint == Endpoint::Transcriptions;
        // Clients write lists as `name[]`, `name[0]` or `name`, and objects as `name[key]`.
        let name = field.split_once('[').map_or(field, |(name, _)| name);
        match name {
            "model" => once(&mut self.model, name, value.to_owned()),
            "user" => once(&mut self.user, name, value.to_owned()),
            "language" => once(&mut self.language, name, language(name, value)?),
            "prompt" => once(&mut self.prompt, name, value.to_owned()),
            "response_format" => once(&mut self.format, name, format(name, value)?),
            "temperature" => once(&mut self.temperature, name, temperature(name, value)?),
            "temperature_fallback" => once(&mut self.temperature_fallback, name, boolean(name, value)?),
            "without_timestamps" => once(&mut self.without_timestamps, name, boolean(name, value)?),
            "condition_on_previous_text" => {
                once(&mut self.condition_on_previous_text, name, boolean(name, value)?)
            }
            "beam_size" => once(&mut self.beams, name, beams(name, value)?),
            "best_of" => once(&mut self.best_of, name, beams(name, value)?),
            "long_form" => once(&mut self.long_form, name, long_form(name, value)?),
            "timestamp_granularities" if transcribing => match value {
                "segment" => {
                    self.segment_timestamps = true;
                    Ok(())
                }
                "word" => {
                    self.word_timestamps = true;
                    Ok(())
                }
                other => {
                    Err(invalid(name, format!("{} is not one of \"segment\", \"word\"", excerpt(other))))
                }
            },
            "stream" if transcribing => once(&mut self.stream, name, boolean(name, value)?),
            "include" if transcribing => Err(unsupported(
                name,
                "log probabilities of tokens are not returned; verbose_json has them per segment",
            )),
            "chunking_strategy" if transcribing => {
                Err(unsupported(name, "long audio is always decoded in windows of 30 s; leave it out"))
            }
            "known_speaker_names" | "known_speaker_references" if transcribing => {
                Err(unsupported(name, "speakers are not told apart; leave it out"))
            }
            "languages" if transcribing => Err(unsupported(
                name,
                "name one spoken language in \"language\", or none to have it detected",
            )),
            "keywords" if transcribing => Err(unsupported(name, "write the words into \"prompt\"")),
            _ => Err(invalid(&excerpt(field), "this endpoint has no such field".to_owned())),
        }
    }

    fn check(self, endpoint: Endpoint) -> Result<SpeechRequest, ApiError> {
        let model = self.model.filter(|model| !model.is_empty());
        let model = model.ok_or(ApiError::MissingParameter { parameter: "model" })?;
        let format = self.format.unwrap_or_default();
        if (self.segment_timestamps || self.word_timestamps) && format != ResponseFormat::VerboseJson {
            let message = "needs response_format=verbose_json".to_owned();
            return Err(invalid("timestamp_granularities", message));
        }
        let stream = self.stream.unwrap_or(false);
        if stream && format != ResponseFormat::Json {
            return Err(invalid("stream", "true needs response_format=json".to_owned()));
        }
        let temperature = match (self.temperature.unwrap_or(0.0), self.temperature_fallback) {
            (temperature, Some(true)) if temperature > 0.0 => {
                let message =
                    "true is for temperature 0, from which the ladder climbs; leave one of them out";
                return Err(invalid("temperature_fallback", message.to_owned()));
            }
            (0.0, None | Some(true)) => Temperature::Ladder,
            (temperature, _) => Temperature::Fixed(temperature),
        };
        let options = SpeechOptions {
            language: self.language,
            translate: endpoint == Endpoint::Translations,
            timestamps: !self.without_timestamps.unwrap_or(false),
            prompt: self.prompt.filter(|prompt| !prompt.is_empty()),
            condition_on_previous_text: self.condition_on_previous_text.unwrap_or(false),
            beams: self.beams,
            temperature,
            words: self.word_timestamps,
            best_of: self.best_of.unwrap_or(1),
            long_form: self.long_form,
        };
        Ok(SpeechRequest {
            model,
            user: self.user.filter(|user| !user.is_empty()),
            format,
            segments: self.segment_timestamps || !self.word_timestamps,
            stream,
            options,
        })
    }
}

/// Keeps a value, and refuses a second one: a client that sends two means one of them.
fn once<T>(slot: &mut Option<T>, name: &str, value: T) -> Result<(), ApiError> {
    if slot.replace(value).is_some() {
        return Err(invalid(name, "is given twice".to_owned()));
    }
    Ok(())
}

fn language(name: &str, value: &str) -> Result<String, ApiError> {
    let language = languages::parse(value).ok_or_else(|| {
        let message = format!(
            "{} is not a language that Whisper knows; write an ISO 639-1 code such as \"de\"",
            excerpt(value)
        );
        invalid(name, message)
    })?;
    Ok(language.code.to_owned())
}

fn format(name: &str, value: &str) -> Result<ResponseFormat, ApiError> {
    const SUPPORTED: &str = "\"json\", \"text\", \"verbose_json\", \"srt\", \"vtt\"";
    match value {
        "json" => Ok(ResponseFormat::Json),
        "text" => Ok(ResponseFormat::Text),
        "verbose_json" => Ok(ResponseFormat::VerboseJson),
        "srt" => Ok(ResponseFormat::Srt),
        "vtt" => Ok(ResponseFormat::Vtt),
        "diarized_json" => Err(unsupported(
            name,
            &format!("\"diarized_json\" needs speaker recognition; ask for one of {SUPPORTED}"),
        )),
        other => Err(invalid(name, format!("{} is not one of {SUPPORTED}", excerpt(other)))),
    }
}

fn temperature(name: &str, value: &str) -> Result<f32, ApiError> {
    match value.trim().parse::<f32>() {
        Ok(temperature) if (0.0..=1.0).contains(&temperature) => Ok(temperature),
        _ => Err(invalid(name, format!("{} is not a number from 0 to 1", excerpt(value)))),
    }
}

fn beams(name: &str, value: &str) -> Result<usize, ApiError> {
    match value.trim().parse::<usize>() {
        Ok(beams) if (1..=MAX_BEAMS).contains(&beams) => Ok(beams),
        _ => Err(invalid(name, format!("{} is not a whole number from 1 to {MAX_BEAMS}", excerpt(value)))),
    }
}

fn long_form(name: &str, value: &str) -> Result<LongForm, ApiError> {
    let read = value.parse();
    read.map_err(|_| invalid(name, format!("{} is not one of \"sequential\", \"batched\"", excerpt(value))))
}

fn boolean(name: &str, value: &str) -> Result<bool, ApiError> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(invalid(name, format!("{} is not \"true\" or \"false\"", excerpt(value)))),
    }
}

fn invalid(parameter: &str, message: String) -> ApiError {
    ApiError::InvalidParameter { parameter: parameter.to_owned(), message }
}

fn unsupported(parameter: &str, message: &str) -> ApiError {
    ApiError::UnsupportedParameter { parameter: parameter.to_owned(), message: message.to_owned() }
}

#[cfg(test)]
mod tests;
