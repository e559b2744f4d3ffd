//! How one window's tokens become segments, and where the next window starts.
//!
//! The rules are those of transformers' sequential long form, which follow OpenAI's: a pair of timestamps in the
//! middle ends a segment; what follows the last pair is thrown away and heard again in the next window, unless the
//! window ends with a single timestamp, after which there is no speech.

use std::ops::Range;

/// Seconds from one timestamp token to the next.
pub(super) const TIMESTAMP_SECONDS: f64 = 0.02;
/// Seconds of one mel frame.
pub(super) const FRAME_SECONDS: f64 = 0.01;
/// Mel frames of one timestamp step.
const FRAMES_PER_TIMESTAMP: usize = 2;

/// A part of a window's tokens and when it was spoken.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TokenSegment {
    /// Seconds from the start of the clip.
    pub(super) start: f64,
    /// Seconds from the start of the clip.
    pub(super) end: f64,
    /// Its tokens, timestamps included.
    pub(super) tokens: Vec<u32>,
}

/// Splits `tokens` (without the prompt and the final end token) of the window that starts at frame `seek` and is
/// `frames` long. Returns the segments and how many frames on the next window starts, which is at least one.
#[must_use]
pub(super) fn split(
    tokens: &[u32],
    first_timestamp: u32,
    seek: usize,
    frames: usize,
) -> (Vec<TokenSegment>, usize) {
    let is_timestamp = |token: &u32| *token >= first_timestamp;
    let offset = seek as f64 * FRAME_SECONDS;
    let time = |token: u32| offset + f64::from(token.saturating_sub(first_timestamp)) * TIMESTAMP_SECONDS;
    let single_ending = matches!(tokens, [.., text, last] if !is_timestamp(text) && is_timestamp(last));
    let mut ends: Vec<usize> = (1..tokens.len())
        .filter(|&index| is_timestamp(&tokens[index - 1]) && is_timestamp(&tokens[index]))
        .collect();

    let Some(last_end) = ends.last_mut() else {
        let last =
            tokens.iter().rev().find(|token| is_timestamp(token)).filter(|token| **token != first_timestamp);
        let end = last.map_or(offset + (frames / FRAMES_PER_TIMESTAMP) as f64 * TIMESTAMP_SECONDS, |token| {
            time(*token)
        });
        return (vec![TokenSegment { start: offset, end, tokens: tokens.to_vec() }], frames.max(1));
    };
    if single_ending {
        ends.push(tokens.len());
    } else {
        // The closing timestamp of the last pair stays with the last segment, which tells it from a single ending.
        *last_end += 1;
    }

    let mut segments = Vec::with_capacity(ends.len());
    let mut start = 0;
    for (index, &end) in ends.iter().enumerate() {
        let slice = &tokens[start..end];
        let back = if index + 1 == ends.len() && !single_ending { 2 } else { 1 };
        if let (Some(first), Some(closing)) =
            (slice.first(), slice.len().checked_sub(back).and_then(|at| slice.get(at)))
        {
            segments.push(TokenSegment { start: time(*first), end: time(*closing), tokens: slice.to_vec() });
        }
        start = end;
    }
    let advance = if single_ending {
        frames
    } else {
        tokens[start - 2].saturating_sub(first_timestamp) as usize * FRAMES_PER_TIMESTAMP
    };
    // A pair at 0.00 s would never move on; the reference would loop for ever, so such a window counts as heard.
    (segments, if advance == 0 { frames.max(1) } else { advance })
}

/// Splits the tokens of a window that no other hears again: all of its text is kept, and what no timestamp closes
/// ends with the window.
#[must_use]
pub(super) fn split_all(
    tokens: &[u32],
    first_timestamp: u32,
    seek: usize,
    frames: usize,
) -> Vec<TokenSegment> {
    let is_timestamp = |token: &u32| *token >= first_timestamp;
    let offset = seek as f64 * FRAME_SECONDS;
    let window_end = offset + frames as f64 * FRAME_SECONDS;
    let time = |token: &u32| {
        let seconds = f64::from(token - first_timestamp) * TIMESTAMP_SECONDS;
        (offset + seconds).min(window_end)
    };
    tokens
        .chunk_by(|left, right| !(is_timestamp(left) && is_timestamp(right)))
        .map(|part| TokenSegment {
            start: part.first().filter(|token| is_timestamp(token)).map_or(offset, time),
            end: part.last().filter(|token| is_timestamp(token)).map_or(window_end, time),
            tokens: part.to_vec(),
        })
        .filter(|part| !part.tokens.iter().all(is_timestamp))
        .collect()
}

/// The frame that the text of a window of `frames` reaches to.
///
/// A pair of timestamps at its end says that a further sentence begins there whose end the window does not hold; a
/// single one, that nothing is said behind it; text without one is said to the end of the window.
#[must_use]
pub(super) fn heard_until(tokens: &[u32], first_timestamp: u32, frames: &Range<usize>) -> usize {
    match tokens {
        [.., before, last] if *before >= first_timestamp && *last >= first_timestamp => {
            let inside = (last - first_timestamp) as usize * FRAMES_PER_TIMESTAMP;
            (frames.start + inside).min(frames.end)
        }
        _ => frames.end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: u32 = 100;

    fn seconds(segments: &[TokenSegment]) -> Vec<(f64, f64, &[u32])> {
        segments.iter().map(|segment| (segment.start, segment.end, &segment.tokens[..])).collect()
    }

    #[test]
    fn a_single_closing_timestamp_ends_the_window() {
        let (segments, advance) = split(&[100, 1, 2, 150], FIRST, 0, 3000);
        assert_eq!(seconds(&segments), [(0.0, 1.0, &[100, 1, 2, 150][..])]);
        assert_eq!(advance, 3000);
    }

    #[test]
    fn pairs_split_and_what_follows_the_last_is_heard_again() {
        let (segments, advance) = split(&[100, 1, 150, 150, 2, 200, 200, 3], FIRST, 1000, 3000);
        assert_eq!(
            seconds(&segments),
            [(10.0, 11.0, &[100, 1, 150][..]), (11.0, 12.0, &[150, 2, 200, 200][..])]
        );
        assert_eq!(advance, 200);
    }

    #[test]
    fn pairs_and_a_single_ending() {
        let (segments, advance) = split(&[100, 1, 150, 150, 2, 200], FIRST, 0, 3000);
        assert_eq!(seconds(&segments), [(0.0, 1.0, &[100, 1, 150][..]), (1.0, 2.0, &[150, 2, 200][..])]);
        assert_eq!(advance, 3000);
    }

    #[test]
    fn without_pairs_the_window_is_one_segment() {
        let (segments, advance) = split(&[100, 1, 2], FIRST, 100, 250);
        assert_eq!(seconds(&segments), [(1.0, 3.5, &[100, 1, 2][..])]);
        assert_eq!(advance, 250);
        let (segments, _) = split(&[1, 2], FIRST, 0, 3000);
        assert_eq!(seconds(&segments), [(0.0, 30.0, &[1, 2][..])]);
        let (segments, _) = split(&[], FIRST, 0, 3000);
        assert_eq!(segments.len(), 1);
    }

    #[test]
    fn a_window_that_is_heard_once_keeps_all_of_its_text() {
        let parts = |tokens: &[u32]| split_all(tokens, FIRST, 1000, 2500);
        assert_eq!(
            seconds(&parts(&[100, 1, 150, 150, 2, 200, 210, 3])),
            [(10.0, 11.0, &[100, 1, 150][..]), (11.0, 12.0, &[150, 2, 200][..]), (12.2, 35.0, &[210, 3][..])]
        );
        assert_eq!(seconds(&parts(&[1, 2])), [(10.0, 35.0, &[1, 2][..])]);
        assert_eq!(seconds(&parts(&[100, 1, 1900])), [(10.0, 35.0, &[100, 1, 1900][..])]);
        assert_eq!(parts(&[100, 100]), []);
        assert_eq!(parts(&[]), []);
    }

    #[test]
    fn a_pair_at_the_end_leaves_the_rest_of_a_window() {
        for (tokens, expected) in [
            (&[100, 1, 150, 150][..], 1_100),
            (&[100, 1, 150, 151], 1_102),
            (&[100, 1, 1_600, 1_600], 3_500),
            (&[100, 1, 150], 3_500),
            (&[100, 1, 150, 150, 2], 3_500),
            (&[1, 2], 3_500),
            (&[100, 100], 1_000),
            (&[], 3_500),
        ] {
            assert_eq!(heard_until(tokens, FIRST, &(1_000..3_500)), expected, "{tokens:?}");
        }
    }

    #[test]
    fn every_window_moves_on() {
        assert_eq!(split(&[100, 100], FIRST, 0, 3000).1, 3000);
        assert_eq!(split(&[], FIRST, 0, 0).1, 1);
    }
}
