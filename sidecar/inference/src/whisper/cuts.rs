//! Where a long clip is cut into windows that are decoded by themselves, and what of a window is to be heard again.

use std::ops::Range;

use super::loudness::{AVERAGED_FRAMES, Loudness};

/// The part of a window, from its end back, in which a cut is looked for: a fifth, 6 s of 30 s.
const SEARCH_PART: usize = 5;
/// A rest that is shorter than so many frames is the echo of what was heard already: timestamps are no better.
const SHORTEST_REST: usize = 50;
/// A window of which fewer frames than these were heard is not gone through by ever such steps.
const SHORTEST_STEP: usize = 100;

/// Cuts a clip, at its quietest places, into windows of at most `longest` frames that follow each other without a gap.
#[must_use]
pub(super) fn windows(loudness: &Loudness, longest: usize) -> Vec<Range<usize>> {
    let mut windows = Vec::new();
    let mut start = 0;
    while loudness.frames() - start > longest {
        let end = loudness.quietest(start + longest - longest / SEARCH_PART, start + longest);
        windows.push(start..end);
        start = end;
    }
    windows.push(start..loudness.frames());
    windows
}

/// What is left of a window whose text reaches to the frame `heard`, where there is something to hear in it.
///
/// Whisper often writes the sentences that it hears the end of and leaves the last one to the next window, which in
/// sequence begins there. Here no other window hears it.
#[must_use]
pub(super) fn rest(loudness: &Loudness, window: &Range<usize>, heard: usize) -> Option<Range<usize>> {
    // Neither the last sound before the rest nor the first one behind it is its own.
    let inner = heard + AVERAGED_FRAMES..window.end.saturating_sub(AVERAGED_FRAMES / 2);
    let is_rest = heard >= window.start + SHORTEST_STEP
        && window.end.saturating_sub(heard) >= SHORTEST_REST
        && loudness.is_audible(&inner, window);
    is_rest.then_some(heard..window.end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A second of 100 frames, a sample a frame, silent in some ranges.
    fn with_pauses(frames: usize, pauses: &[Range<usize>]) -> Loudness {
        let mut samples = vec![0.5f32; frames];
        for pause in pauses {
            samples[pause.clone()].fill(0.001);
        }
        Loudness::of(&samples, 1)
    }

    #[test]
    fn a_clip_is_cut_in_its_pauses() {
        // Pauses of 0.4 s at 27.0 s and at 55.5 s, short ones of 0.05 s elsewhere.
        let loudness = with_pauses(8_000, &[2_700..2_740, 5_550..5_590, 2_900..2_905, 5_600..5_605]);
        let windows = windows(&loudness, 3_000);
        assert_eq!(windows.len(), 3);
        assert!((2_710..2_730).contains(&windows[0].end), "{windows:?}");
        assert!((5_560..5_580).contains(&windows[1].end), "{windows:?}");
        assert_eq!(windows[2].end, 8_000);
    }

    #[test]
    fn where_all_places_are_alike_windows_are_as_long_as_they_may_be() {
        let windows = windows(&Loudness::of(&[0.0; 7_000], 1), 3_000);
        assert_eq!(windows, [0..3_000, 3_000..6_000, 6_000..7_000]);
    }

    #[test]
    fn what_was_left_out_is_heard_again_where_there_is_sound() {
        let loudness = with_pauses(6_000, &[2_000..3_000, 3_100..3_110, 5_900..6_000]);
        let window = 3_000..6_000;
        for (window, heard, expected) in [
            // All of it was heard, or all but an echo.
            (&window, 6_000, None),
            (&window, 5_951, None),
            // What is left is silence.
            (&window, 5_890, None),
            (&(0..3_000), 2_000, None),
            (&(0..3_000), 1_985, None),
            // A phrase is left.
            (&window, 5_500, Some(5_500..6_000)),
            (&(0..3_000), 1_900, Some(1_900..3_000)),
            // Nothing of it was heard; it would be heard for ever.
            (&window, 3_000, None),
            (&window, 3_099, None),
            (&window, 3_100, Some(3_100..6_000)),
        ] {
            assert_eq!(rest(&loudness, window, heard), expected, "{window:?} {heard}");
        }
    }

    proptest! {
        #[test]
        fn windows_cover_the_clip_and_none_is_too_long(
            samples in prop::collection::vec(-1.0f32..1.0, 1..4_000), hop in 1usize..7, longest in 5usize..300,
        ) {
            let windows = windows(&Loudness::of(&samples, hop), longest);
            let mut start = 0;
            for window in &windows {
                prop_assert_eq!(window.start, start);
                prop_assert!(!window.is_empty() && window.len() <= longest);
                start = window.end;
            }
            prop_assert_eq!(start, samples.len().div_ceil(hop));
        }

        #[test]
        fn a_rest_ends_its_window_and_is_shorter_than_it(
            samples in prop::collection::vec(-1.0f32..1.0, 1..4_000), start in 0usize..2_000, length in 1usize..2_000,
            heard in 0usize..5_000,
        ) {
            let loudness = Loudness::of(&samples, 1);
            let end = (start + length).min(samples.len());
            let window = start.min(end)..end;
            if let Some(rest) = rest(&loudness, &window, heard) {
                prop_assert_eq!(rest.clone(), heard..window.end);
                prop_assert!(rest.len() >= SHORTEST_REST && rest.len() + SHORTEST_STEP <= window.len());
            }
        }
    }
}
