//! A transcript in the making as OpenAI's events. Pure.

use ostler_inference::engine::{Segment, Transcript};
use serde::Serialize;

use super::transcript_body::Usage;

/// One event of `stream=true`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type")]
pub(super) enum TranscriptEvent {
    /// Text that follows what was sent before.
    #[serde(rename = "transcript.text.delta")]
    Delta {
        /// The text.
        delta: String,
    },
    /// The whole text, last of all.
    #[serde(rename = "transcript.text.done")]
    Done {
        /// The text.
        text: String,
        /// What was worked on.
        usage: Usage,
    },
}

impl TranscriptEvent {
    /// The last event.
    pub(super) fn done(transcript: &Transcript) -> Self {
        Self::Done { text: transcript.text.clone(), usage: Usage::of(transcript) }
    }
}

/// Cuts segments into deltas that together are the text of the whole transcript, which has no space around it.
#[derive(Debug, Default)]
pub(super) struct Deltas {
    begun: bool,
    /// Space that is sent once something follows it.
    held_back: String,
}

impl Deltas {
    /// The event of further segments, unless they hold nothing to send yet.
    pub(super) fn of(&mut self, segments: &[Segment]) -> Option<TranscriptEvent> {
        let mut text = std::mem::take(&mut self.held_back);
        text.extend(segments.iter().map(|segment| segment.text.as_str()));
        let visible = if self.begun { text.as_str() } else { text.trim_start() };
        let delta = visible.trim_end().to_owned();
        self.held_back = visible[delta.len()..].to_owned();
        self.begun |= !delta.is_empty();
        (!delta.is_empty()).then_some(TranscriptEvent::Delta { delta })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::fixtures::{segment, transcript};

    #[test]
    fn deltas_add_up_to_the_text() {
        let mut deltas = Deltas::default();
        let mut sent = String::new();
        for texts in [&[" "][..], &[" Hallo. ", " Guten"], &[], &[" Tag. "], &["  "]] {
            let segments: Vec<_> = texts.iter().map(|text| segment(0, 0.0, 1.0, text)).collect();
            if let Some(TranscriptEvent::Delta { delta }) = deltas.of(&segments) {
                assert!(!delta.is_empty() && !delta.ends_with(' '), "{delta:?}");
                sent += &delta;
            }
        }
        assert_eq!(sent, "Hallo.  Guten Tag.");
    }

    #[test]
    fn events_have_openais_shape() {
        let delta = Deltas::default().of(&transcript().segments).unwrap();
        assert_eq!(
            serde_json::to_value(delta).unwrap(),
            serde_json::json!({"type": "transcript.text.delta", "delta": "Hallo. Guten Tag."})
        );
        assert_eq!(
            serde_json::to_value(TranscriptEvent::done(&transcript())).unwrap(),
            serde_json::json!({
                "type": "transcript.text.done", "text": "Hallo. Guten Tag.",
                "usage": {"type": "duration", "seconds": 4},
            })
        );
    }
}
