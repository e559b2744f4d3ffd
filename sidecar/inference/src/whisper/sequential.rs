//! Window after window, each starting where the one before it ended: transformers' sequential long form.

use super::decode::decode;
use super::finish::{self, Place};
use super::forward::Forward;
use super::transcription::{Language, Transcription};
use super::{ladder, prompt, segments};
use crate::engine::{EngineError, Segment};

/// The segments of a whole clip. `first` is its first window, encoded already.
pub(super) fn transcribe<F: Forward>(
    transcription: &Transcription<'_, F>,
    language: &Language,
    first: F::Memory,
) -> Result<Vec<Segment>, EngineError> {
    let Transcription { engine, job, mel, request, .. } = transcription;
    let window_frames = engine.config.window_frames();
    let first_timestamp = engine.generation.first_timestamp();
    let initial = transcription.initial_tokens(language);
    let mut encoded = Some(first);
    let mut all: Vec<Segment> = Vec::new();
    // What the next window may read: the prompt at first, then the text so far where that is asked for.
    let mut earlier = request.prompt.clone();
    let mut show_earlier = true;
    let mut max_length = engine.generation.max_length;
    let mut seek = 0;
    while seek < mel.frames() {
        let frames = (mel.frames() - seek).min(window_frames);
        let memory = match encoded.take() {
            Some(memory) => memory,
            None => transcription.encode(seek, window_frames)?,
        };
        let prompt = transcription.prompt(if show_earlier { &earlier } else { &[] }, &initial);
        max_length = transcription.max_length(max_length, &prompt);
        let decoded = decode(transcription, &[(&memory, seek)], &prompt, max_length)?.pop().flatten();
        let Some(decoded) = decoded else {
            show_earlier = job.condition_on_previous_text;
            seek += frames;
            continue;
        };
        show_earlier = job.condition_on_previous_text && ladder::may_condition(decoded.temperature);
        let (parts, advance) = segments::split(&decoded.attempt.tokens, first_timestamp, seek, frames);
        for part in &parts {
            earlier.extend_from_slice(prompt::as_earlier_text(&part.tokens, first_timestamp));
        }
        let language = if job.translate { "en" } else { &language.code };
        let sound = mel.sound_frames().saturating_sub(seek);
        let place = Place { memory: &memory, prompt: &prompt, seek, frames: sound, language };
        let finished = finish::segments(transcription, &place, parts, &decoded, all.len())?;
        all.extend(finished.iter().cloned());
        transcription.report(seek + advance, finished);
        seek += advance;
    }
    Ok(all)
}
