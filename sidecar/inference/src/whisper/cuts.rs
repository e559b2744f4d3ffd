//! Where a long clip is cut into windows that are decoded by themselves: at its quietest places.

use std::ops::Range;

/// The part of a window, from its end back, in which a cut is looked for: a fifth, 6 s of 30 s.
const SEARCH_PART: usize = 5;
/// Frames over which loudness is averaged: 0.3 s, longer than the closure of a consonant.
const PAUSE_FRAMES: usize = 30;

/// Cuts samples, `hop` to a frame, into windows of at most `longest` frames that follow each other without a gap.
#[must_use]
pub(super) fn windows(samples: &[f32], hop: usize, longest: usize) -> Vec<Range<usize>> {
    let loudness: Vec<f64> = samples
        .chunks(hop)
        .map(|frame| frame.iter().map(|sample| f64::from(*sample) * f64::from(*sample)).sum())
        .collect();
    let mut windows = Vec::new();
    let mut start = 0;
    while loudness.len() - start > longest {
        let end = quietest(&loudness, start + longest - longest / SEARCH_PART, start + longest);
        windows.push(start..end);
        start = end;
    }
    windows.push(start..loudness.len());
    windows
}

/// The frame of `from + 1 ..= to` around which it is quietest, the last of equal ones.
fn quietest(loudness: &[f64], from: usize, to: usize) -> usize {
    let around = |frame: usize| -> f64 {
        let first = frame.saturating_sub(PAUSE_FRAMES / 2);
        loudness[first..(first + PAUSE_FRAMES).min(loudness.len())].iter().sum()
    };
    (from + 1..=to)
        .map(|frame| (frame, around(frame)))
        .fold((to, f64::INFINITY), |best, other| if other.1 <= best.1 { other } else { best })
        .0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_clip_is_cut_in_its_pauses() {
        // A second of 100 frames; pauses of 0.4 s at 27.0 s and at 55.5 s, short ones of 0.05 s elsewhere.
        let mut samples = vec![0.5f32; 8_000];
        for (from, to) in [(2_700, 2_740), (5_550, 5_590), (2_900, 2_905), (5_600, 5_605)] {
            samples[from..to].fill(0.0);
        }
        let windows = windows(&samples, 1, 3_000);
        assert_eq!(windows.len(), 3);
        assert!((2_710..2_730).contains(&windows[0].end), "{windows:?}");
        assert!((5_560..5_580).contains(&windows[1].end), "{windows:?}");
        assert_eq!(windows[2].end, 8_000);
    }

    proptest! {
        #[test]
        fn windows_cover_the_clip_and_none_is_too_long(
            samples in prop::collection::vec(-1.0f32..1.0, 1..4_000), hop in 1usize..7, longest in 5usize..300,
        ) {
            let windows = windows(&samples, hop, longest);
            let mut start = 0;
            for window in &windows {
                prop_assert_eq!(window.start, start);
                prop_assert!(!window.is_empty() && window.len() <= longest);
                start = window.end;
            }
            prop_assert_eq!(start, samples.len().div_ceil(hop));
        }
    }
}
