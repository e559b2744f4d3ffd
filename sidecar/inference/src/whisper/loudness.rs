//! How loud a clip is from frame to frame, and what of it is sound.

use std::ops::Range;

/// Frames over which loudness is averaged: 0.3 s, longer than the closure of a consonant and shorter than a word.
pub(super) const AVERAGED_FRAMES: usize = 30;
/// Power below that of the loudest place of a stretch at which there is nothing to hear: 30 dB.
const INAUDIBLE_PART: f64 = 1e-3;

/// The power of a clip, frame by frame.
pub(super) struct Loudness {
    /// Sums of the squares of the samples up to each frame, the first of them 0.
    sums: Vec<f64>,
}

impl Loudness {
    /// Listens to samples, `hop` to a frame.
    #[must_use]
    pub(super) fn of(samples: &[f32], hop: usize) -> Self {
        let power = |frame: &[f32]| -> f64 { frame.iter().map(|sample| f64::from(*sample).powi(2)).sum() };
        let mut sum = 0.0;
        let sums = std::iter::once(0.0)
            .chain(samples.chunks(hop).map(|frame| {
                sum += power(frame);
                sum
            }))
            .collect();
        Self { sums }
    }

    /// Frames of the clip.
    #[must_use]
    pub(super) fn frames(&self) -> usize {
        self.sums.len() - 1
    }

    /// The frame of `from + 1 ..= to` around which it is quietest, the last of equal ones.
    #[must_use]
    pub(super) fn quietest(&self, from: usize, to: usize) -> usize {
        (from + 1..=to)
            .map(|frame| (frame, self.around(frame)))
            .fold((to, f64::INFINITY), |best, other| if other.1 <= best.1 { other } else { best })
            .0
    }

    /// Whether `part` of a stretch of the clip holds sound that can be heard beside the loudest of the stretch.
    #[must_use]
    pub(super) fn is_audible(&self, part: &Range<usize>, stretch: &Range<usize>) -> bool {
        self.loudest(part) > self.loudest(stretch) * INAUDIBLE_PART
    }

    /// The highest power around any frame of a range.
    fn loudest(&self, range: &Range<usize>) -> f64 {
        let end = range.end.min(self.frames());
        (range.start..end).map(|frame| self.around(frame)).fold(0.0, f64::max)
    }

    /// The power around a frame; less of it is heard at the ends of the clip, which are silent beyond.
    fn around(&self, frame: usize) -> f64 {
        let first = frame.saturating_sub(AVERAGED_FRAMES / 2);
        let last = (first + AVERAGED_FRAMES).min(self.frames());
        self.sums[last] - self.sums[first.min(last)]
    }
}
