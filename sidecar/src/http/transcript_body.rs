//! A transcript in the response formats of OpenAI's API. Pure.

use ostler_inference::engine::{Segment, Transcript, Word};
use serde::Serialize;

use super::subtitles;

/// The formats of `response_format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum ResponseFormat {
    /// The text alone, in JSON.
    #[default]
    Json,
    /// The text alone.
    Text,
    /// The text, its language and its segments, in JSON.
    VerboseJson,
    /// `SubRip` subtitles.
    Srt,
    /// `WebVTT` subtitles.
    Vtt,
}

/// A body and its media type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RenderedTranscript {
    pub(super) content_type: &'static str,
    pub(super) text: String,
}

/// The answer to a transcription (`translated` false) or to a translation into English. `verbose_json` has
/// the segments where `segments` says so, and the words where the job asked for them.
///
/// # Errors
/// Only where the JSON writer fails.
pub(super) fn render(
    transcript: &Transcript,
    format: ResponseFormat,
    segments: bool,
    translated: bool,
    language_name: &str,
) -> Result<RenderedTranscript, serde_json::Error> {
    const JSON: &str = "application/json";
    // OpenAI sends subtitles as plain text as well.
    const PLAIN: &str = "text/plain; charset=utf-8";
    let (content_type, text) = match format {
        ResponseFormat::Json => (JSON, serde_json::to_string(&Short::of(transcript))?),
        ResponseFormat::VerboseJson => {
            (JSON, serde_json::to_string(&Verbose::of(transcript, segments, translated, language_name))?)
        }
        ResponseFormat::Text => (PLAIN, format!("{}\n", transcript.text)),
        ResponseFormat::Srt => (PLAIN, subtitles::srt(&transcript.segments)),
        ResponseFormat::Vtt => (PLAIN, subtitles::vtt(&transcript.segments)),
    };
    Ok(RenderedTranscript { content_type, text })
}

/// What OpenAI bills.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Usage {
    r#type: &'static str,
    /// Whole seconds, begun ones counted, as OpenAI bills them.
    seconds: u64,
}

impl Usage {
    /// That of a clip.
    pub(super) fn of(transcript: &Transcript) -> Self {
        Self { r#type: "duration", seconds: transcript.duration_seconds.ceil() as u64 }
    }
}

#[derive(Serialize)]
struct Short<'a> {
    text: &'a str,
    usage: Usage,
}

impl<'a> Short<'a> {
    fn of(transcript: &'a Transcript) -> Self {
        Self { text: &transcript.text, usage: Usage::of(transcript) }
    }
}

#[derive(Serialize)]
struct Verbose<'a> {
    task: &'static str,
    language: &'a str,
    duration: f64,
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    segments: Option<Vec<VerboseSegment<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<Vec<VerboseWord<'a>>>,
    usage: Usage,
}

impl<'a> Verbose<'a> {
    fn of(transcript: &'a Transcript, segments: bool, translated: bool, language_name: &'a str) -> Self {
        let words = transcript.segments.iter().flat_map(|segment| &segment.words);
        let words: Vec<_> = words.map(VerboseWord::of).collect();
        Self {
            task: if translated { "translate" } else { "transcribe" },
            // The language of the text, which after a translation is English.
            language: if translated { "english" } else { language_name },
            duration: transcript.duration_seconds,
            text: &transcript.text,
            segments: segments.then(|| transcript.segments.iter().map(VerboseSegment::of).collect()),
            // Without segments it was the words that were asked for, even if there are none.
            words: (!segments || !words.is_empty()).then_some(words),
            usage: Usage::of(transcript),
        }
    }
}

#[derive(Serialize)]
struct VerboseWord<'a> {
    word: &'a str,
    start: f64,
    end: f64,
}

impl<'a> VerboseWord<'a> {
    fn of(word: &'a Word) -> Self {
        Self { word: &word.text, start: hundredths(word.start), end: hundredths(word.end) }
    }
}

/// Times are multiples of 10 ms, which sums of them miss by a little.
fn hundredths(seconds: f64) -> f64 {
    (seconds * 100.0).round() / 100.0
}

#[derive(Serialize)]
struct VerboseSegment<'a> {
    id: usize,
    seek: usize,
    start: f64,
    end: f64,
    text: &'a str,
    tokens: &'a [u32],
    temperature: f32,
    avg_logprob: f32,
    compression_ratio: f32,
    no_speech_prob: f32,
}

impl<'a> VerboseSegment<'a> {
    fn of(segment: &'a Segment) -> Self {
        Self {
            id: segment.id,
            seek: segment.seek,
            start: segment.start,
            end: segment.end,
            text: &segment.text,
            tokens: &segment.tokens,
            temperature: segment.temperature,
            avg_logprob: segment.average_log_probability,
            compression_ratio: segment.compression_ratio,
            no_speech_prob: segment.no_speech_probability,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::fixtures::transcript;

    #[test]
    fn every_format_has_openais_shape() {
        let rendered = |format| render(&transcript(), format, true, false, "german").unwrap();
        let json = rendered(ResponseFormat::Json);
        assert_eq!(json.content_type, "application/json");
        assert_eq!(json.text, r#"{"text":"Hallo. Guten Tag.","usage":{"type":"duration","seconds":4}}"#);
        let text = rendered(ResponseFormat::Text);
        assert_eq!(text.text, "Hallo. Guten Tag.\n");
        assert_eq!(text.content_type, "text/plain; charset=utf-8");
        assert!(rendered(ResponseFormat::Srt).text.starts_with("1\n00:00:00,000 --> 00:00:01,500\nHallo.\n"));
        assert!(rendered(ResponseFormat::Vtt).text.starts_with("WEBVTT\n\n00:00:00.000 --> 00:00:01.500\n"));
        let verbose: serde_json::Value =
            serde_json::from_str(&rendered(ResponseFormat::VerboseJson).text).unwrap();
        assert_eq!(
            verbose,
            serde_json::json!({
                "task": "transcribe", "language": "german", "duration": 3.2, "text": "Hallo. Guten Tag.",
                "usage": {"type": "duration", "seconds": 4},
                "segments": [
                    {"id": 0, "seek": 0, "start": 0.0, "end": 1.5, "text": " Hallo.", "tokens": [50364, 7],
                     "temperature": 0.0, "avg_logprob": -0.25, "compression_ratio": 1.5, "no_speech_prob": 0.125},
                    {"id": 1, "seek": 0, "start": 1.5, "end": 3.0, "text": " Guten Tag.", "tokens": [50364, 7],
                     "temperature": 0.0, "avg_logprob": -0.25, "compression_ratio": 1.5, "no_speech_prob": 0.125},
                ],
            })
        );
    }

    #[test]
    fn words_stand_beside_the_segments_or_in_their_place() {
        let mut transcript = transcript();
        transcript.segments[0].words = vec![Word { text: "Hallo.".to_owned(), start: 0.1 + 0.2, end: 1.5 }];
        for (segments, count) in [(true, Some(2)), (false, None)] {
            let rendered =
                render(&transcript, ResponseFormat::VerboseJson, segments, false, "german").unwrap();
            let verbose: serde_json::Value = serde_json::from_str(&rendered.text).unwrap();
            let word = serde_json::json!([{"word": "Hallo.", "start": 0.3, "end": 1.5}]);
            assert_eq!(verbose["words"], word);
            assert_eq!(verbose.get("segments").map(|segments| segments.as_array().unwrap().len()), count);
        }
    }

    #[test]
    fn a_translation_is_in_english_whatever_was_spoken() {
        let rendered = render(&transcript(), ResponseFormat::VerboseJson, true, true, "german").unwrap();
        let verbose: serde_json::Value = serde_json::from_str(&rendered.text).unwrap();
        assert_eq!(verbose["task"], "translate");
        assert_eq!(verbose["language"], "english");
    }
}
