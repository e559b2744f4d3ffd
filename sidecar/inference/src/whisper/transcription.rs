//! One transcription at work: what all of its steps see.

use super::Whisper;
use super::forward::Forward;
use super::mel::ClipMel;
use super::preprocessor::SAMPLE_RATE;
use super::prompt::{self, Prompt};
use super::request::Request;
use super::rules::DecodingRules;
use super::segments::FRAME_SECONDS;
use crate::engine::{Control, EngineError, JobProgress, Segment, TranscribeJob};

/// The language of a clip, once it is known.
pub(super) struct Language {
    /// As Whisper writes it (`de`).
    pub(super) code: String,
    /// Its token; an English-only model has none.
    pub(super) token: Option<u32>,
    /// Its probability, where it was detected.
    pub(super) probability: Option<f32>,
}

/// A job, the model that does it, and what was made of both.
pub(super) struct Transcription<'a, F> {
    pub(super) engine: &'a Whisper<F>,
    pub(super) job: &'a TranscribeJob,
    pub(super) control: &'a Control,
    pub(super) request: Request,
    pub(super) mel: ClipMel<'a>,
    pub(super) rules: DecodingRules,
}

impl<F: Forward> Transcription<'_, F> {
    /// The length of the clip in seconds.
    pub(super) fn duration(&self) -> f64 {
        self.job.samples.len() as f64 / SAMPLE_RATE as f64
    }

    /// The states of the `frames` frames from `seek` on, as the decoder reads them; what a window has beyond is
    /// silence.
    pub(super) fn encode(&self, seek: usize, frames: usize) -> Result<F::Memory, EngineError> {
        let mel = self.mel.window(seek, frames, self.engine.config.window_frames());
        self.engine.forward.encode(&mel, self.control)
    }

    /// What every window's decoding starts with.
    pub(super) fn initial_tokens(&self, language: &Language) -> Vec<u32> {
        let mut tokens = vec![self.engine.generation.start];
        tokens.extend(language.token);
        tokens.extend(self.request.task);
        if !self.job.timestamps {
            tokens.push(self.engine.generation.no_timestamps);
        }
        tokens
    }

    /// What a window's decoder reads: `earlier` text as far as there is room for it, then the initial tokens.
    pub(super) fn prompt(&self, earlier: &[u32], initial: &[u32]) -> Prompt {
        let room = prompt::room(self.engine.config.max_target_positions);
        prompt::assemble(self.engine.generation.previous, earlier, room, initial)
    }

    /// The reference adds the prompt's length to the limit, again for every window, up to the model's positions.
    pub(super) fn max_length(&self, before: usize, prompt: &Prompt) -> usize {
        let positions = self.engine.config.max_target_positions;
        match self.engine.generation.common.max_new_tokens {
            Some(new) => (prompt.tokens.len() + new).min(positions),
            None => (before + prompt.tokens.len().min(prompt::room(positions))).min(positions),
        }
    }

    /// Tells the caller that the clip is done up to `frames`, and what that added.
    pub(super) fn report(&self, frames: usize, segments: Vec<Segment>) {
        let total_seconds = self.duration();
        let seconds = (frames as f64 * FRAME_SECONDS).min(total_seconds);
        self.control.report(JobProgress::Transcribed { seconds, total_seconds, segments });
    }
}
