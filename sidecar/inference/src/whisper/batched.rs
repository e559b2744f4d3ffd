//! Many windows at once: the clip is cut where it is quiet, and its windows are decoded beside each other.
//!
//! No window reads the text of another, so a decoder step serves all of a batch: each of its weights is read once for
//! many tokens. Where the text of a window ends early, the rest of it is a window of the next batch: no other one hears
//! what it says.

use std::collections::VecDeque;
use std::ops::Range;

use super::decode::decode;
use super::finish::{self, Place};
use super::forward::Forward;
use super::loudness::Loudness;
use super::transcription::{Language, Transcription};
use super::{cuts, scratch, segments};
use crate::engine::{EngineError, Segment};

/// Frames that are decoded together, of one of the parts that the clip was cut into.
struct Window {
    part: usize,
    frames: Range<usize>,
}

/// What was heard of a part of the clip so far.
#[derive(Default)]
struct Heard {
    segments: Vec<Segment>,
    is_whole: bool,
}

/// The segments of a whole clip.
pub(super) fn transcribe<F: Forward>(
    transcription: &Transcription<'_, F>,
    language: &Language,
) -> Result<Vec<Segment>, EngineError> {
    let Transcription { engine, job, request, .. } = transcription;
    let loudness = Loudness::of(&job.samples, engine.mel.hop());
    let parts = cuts::windows(&loudness, engine.config.window_frames());
    let rows = request.beams.max(request.best_of);
    let at_once = scratch::windows_at_once(engine.forward.window_bytes(rows)) as usize;
    let mut heard: Vec<Heard> = parts.iter().map(|_| Heard::default()).collect();
    let mut waiting: VecDeque<Window> =
        parts.iter().cloned().enumerate().map(|(part, frames)| Window { part, frames }).collect();
    let mut all: Vec<Segment> = Vec::new();
    let mut told = 0;
    while !waiting.is_empty() {
        let batch: Vec<Window> = waiting.drain(..at_once.min(waiting.len())).collect();
        let texts = texts(transcription, language, &batch)?;
        let mut rests = Vec::new();
        for (Window { part, frames }, Text { segments, until }) in batch.into_iter().zip(texts) {
            heard[part].segments.extend(segments);
            match cuts::rest(&loudness, &frames, until) {
                Some(frames) => rests.push(Window { part, frames }),
                None => heard[part].is_whole = true,
            }
        }
        // Rests go first, so that no part waits long for its end.
        rests.into_iter().rev().for_each(|rest| waiting.push_front(rest));
        let before = told;
        let mut finished = Vec::new();
        while let Some(part) = heard.get_mut(told).filter(|part| part.is_whole) {
            finished.append(&mut part.segments);
            told += 1;
        }
        if told > before {
            for (place, segment) in finished.iter_mut().enumerate() {
                segment.id = all.len() + place;
            }
            all.extend(finished.iter().cloned());
            transcription.report(parts[told - 1].end, finished);
        }
    }
    Ok(all)
}

/// The text of a window.
struct Text {
    /// Numbered by whoever knows what was before them.
    segments: Vec<Segment>,
    /// The frame that the text reaches to.
    until: usize,
}

/// The texts of windows that are decoded together.
fn texts<F: Forward>(
    transcription: &Transcription<'_, F>,
    language: &Language,
    windows: &[Window],
) -> Result<Vec<Text>, EngineError> {
    let Transcription { engine, job, request, .. } = transcription;
    let first_timestamp = engine.generation.first_timestamp();
    let prompt = transcription.prompt(&request.prompt, &transcription.initial_tokens(language));
    let max_length = transcription.max_length(engine.generation.max_length, &prompt);
    let code = if job.translate { "en" } else { &language.code };
    let memories = windows
        .iter()
        .map(|Window { frames, .. }| transcription.encode(frames.start, frames.len()))
        .collect::<Result<Vec<F::Memory>, EngineError>>()?;
    let places: Vec<(&F::Memory, usize)> =
        memories.iter().zip(windows).map(|(memory, window)| (memory, window.frames.start)).collect();
    let decoded = decode(transcription, &places, &prompt, max_length)?;
    windows
        .iter()
        .zip(&memories)
        .zip(decoded)
        .map(|((Window { frames, .. }, memory), decoded)| {
            let Some(decoded) = decoded else {
                return Ok(Text { segments: Vec::new(), until: frames.end });
            };
            let tokens = &decoded.attempt.tokens;
            let parts = segments::split_all(tokens, first_timestamp, frames.start, frames.len());
            let until = segments::heard_until(tokens, first_timestamp, frames);
            let place =
                Place { memory, prompt: &prompt, seek: frames.start, frames: frames.len(), language: code };
            Ok(Text { segments: finish::segments(transcription, &place, parts, &decoded, 0)?, until })
        })
        .collect()
}
