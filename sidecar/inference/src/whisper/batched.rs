//! Many windows at once: the clip is cut where it is quiet, and its windows are decoded beside each other.
//!
//! No window reads the text of another, so a decoder step serves all of a batch: each of its weights is read once for
//! many tokens. What a window says to its end is kept, for no later one hears it again.

use super::decode::decode;
use super::finish::{self, Place};
use super::forward::Forward;
use super::transcription::{Language, Transcription};
use super::{cuts, scratch, segments};
use crate::engine::{EngineError, Segment};

/// The segments of a whole clip.
pub(super) fn transcribe<F: Forward>(
    transcription: &Transcription<'_, F>,
    language: &Language,
) -> Result<Vec<Segment>, EngineError> {
    let Transcription { engine, job, mel, request, .. } = transcription;
    let first_timestamp = engine.generation.first_timestamp();
    let prompt = transcription.prompt(&request.prompt, &transcription.initial_tokens(language));
    let max_length = transcription.max_length(engine.generation.max_length, &prompt);
    let code = if job.translate { "en" } else { &language.code };
    let rows = request.beams.max(request.best_of);
    let at_once = scratch::windows_at_once(engine.forward.window_bytes(rows)) as usize;
    let windows = cuts::windows(&job.samples, mel.hop(), engine.config.window_frames());
    let mut all: Vec<Segment> = Vec::new();
    for batch in windows.chunks(at_once) {
        let memories = batch
            .iter()
            .map(|window| transcription.encode(window.start, window.len()))
            .collect::<Result<Vec<F::Memory>, EngineError>>()?;
        let places: Vec<(&F::Memory, usize)> =
            memories.iter().zip(batch).map(|(memory, window)| (memory, window.start)).collect();
        let decoded = decode(transcription, &places, &prompt, max_length)?;
        let mut finished = Vec::new();
        for ((window, memory), decoded) in batch.iter().zip(&memories).zip(decoded) {
            let Some(decoded) = decoded else { continue };
            let (seek, frames) = (window.start, window.len());
            let parts = segments::split_all(&decoded.attempt.tokens, first_timestamp, seek, frames);
            let place = Place { memory, prompt: &prompt, seek, frames, language: code };
            let id = all.len() + finished.len();
            finished.extend(finish::segments(transcription, &place, parts, &decoded, id)?);
        }
        all.extend(finished.iter().cloned());
        transcription.report(batch.last().map_or(0, |window| window.end), finished);
    }
    Ok(all)
}
