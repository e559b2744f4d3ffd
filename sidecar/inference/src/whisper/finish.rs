//! From a window's decoded tokens to the segments that the caller reads, with the words in them.

use super::alignment;
use super::decode::Decoded;
use super::forward::Forward;
use super::prompt::Prompt;
use super::segments::{FRAME_SECONDS, TokenSegment};
use super::transcription::Transcription;
use super::words::{self, TimedToken};
use crate::engine::{EngineError, Segment, Word};

/// Where a window lies and what its decoder read.
pub(super) struct Place<'a, M> {
    /// Its states.
    pub(super) memory: &'a M,
    /// What the decoder read before its own tokens.
    pub(super) prompt: &'a Prompt,
    /// The frame that it starts at.
    pub(super) seek: usize,
    /// How many frames of sound it may hold.
    pub(super) frames: usize,
    /// The language of its text, as Whisper writes it.
    pub(super) language: &'a str,
}

/// The segments of a window's `parts`, numbered from `first_id` on.
pub(super) fn segments<F: Forward>(
    transcription: &Transcription<'_, F>,
    place: &Place<'_, F::Memory>,
    parts: Vec<TokenSegment>,
    decoded: &Decoded,
    first_id: usize,
) -> Result<Vec<Segment>, EngineError> {
    let times = token_times(transcription, place, &decoded.attempt.tokens)?;
    let words = place_words(transcription, place, &parts, &times)?;
    parts
        .into_iter()
        .zip(words)
        .enumerate()
        .map(|(index, (part, words))| {
            // Without timestamps a segment would last to the end of its window, silence included.
            let end =
                if transcription.job.timestamps { part.end } else { part.end.min(transcription.duration()) };
            Ok(Segment {
                id: first_id + index,
                seek: place.seek,
                start: part.start,
                end,
                text: transcription.engine.text(&part.tokens)?,
                tokens: part.tokens,
                temperature: decoded.temperature,
                average_log_probability: decoded.measures.average_log_probability,
                compression_ratio: decoded.measures.compression_ratio,
                no_speech_probability: decoded.measures.no_speech_probability,
                words,
            })
        })
        .collect()
}

/// When each of a window's tokens begins, in seconds from the start of the window; nothing where nobody asks.
fn token_times<F: Forward>(
    transcription: &Transcription<'_, F>,
    place: &Place<'_, F::Memory>,
    tokens: &[u32],
) -> Result<Vec<f64>, EngineError> {
    if !transcription.job.words || tokens.is_empty() {
        return Ok(Vec::new());
    }
    let engine = transcription.engine;
    let all = [&place.prompt.tokens[..], tokens].concat();
    let heads = &engine.generation.alignment_heads;
    let weights = engine.forward.align(place.memory, &all, heads, transcription.control)?;
    // The prompt was not spoken, so its rows are left out.
    let positions = engine.config.max_source_positions;
    let own = weights
        .chunks_exact(all.len() * positions)
        .flat_map(|head| &head[place.prompt.tokens.len() * positions..])
        .copied()
        .collect();
    let width = engine.config.median_filter_width;
    Ok(alignment::token_times(own, tokens.len(), positions, place.frames / 2, width))
}

/// The words of each part, given when each token of the window begins.
fn place_words<F: Forward>(
    transcription: &Transcription<'_, F>,
    place: &Place<'_, F::Memory>,
    parts: &[TokenSegment],
    times: &[f64],
) -> Result<Vec<Vec<Word>>, EngineError> {
    if times.is_empty() {
        return Ok(vec![Vec::new(); parts.len()]);
    }
    let offset = place.seek as f64 * FRAME_SECONDS;
    let mut timed = Vec::with_capacity(times.len());
    // A token lasts from where the one before it begins to where itself begins: so has the reference it.
    let mut start = offset;
    for (token, time) in parts.iter().flat_map(|part| &part.tokens).zip(times) {
        timed.push(TimedToken { token: *token, start, end: offset + time });
        start = offset + time;
    }
    let end = transcription.engine.generation.end;
    let mut rest = &timed[..];
    parts
        .iter()
        .map(|part| {
            let (own, later) = rest.split_at(part.tokens.len().min(rest.len()));
            rest = later;
            let text: Vec<TimedToken> = own.iter().copied().filter(|timed| timed.token < end).collect();
            words::words(&transcription.engine.vocabulary, &text, place.language)
        })
        .collect()
}
