//! The log-mel spectrogram, equal to that of transformers' `WhisperFeatureExtractor`.
//!
//! Frames are centred on multiples of the hop, the signal reflected at both ends, weighted by a periodic Hann
//! window; the power spectrum goes through Slaney's mel filters, a base-10 logarithm, a floor 8 below the clip's
//! highest value, and `(x + 4) / 4`.

use std::f32::consts::PI;
use std::sync::Arc;

use rustfft::num_complex::Complex32;
use rustfft::{Fft, FftPlanner};

use super::mel_filters::{MelFilter, slaney};
use super::preprocessor::{MelConfig, SAMPLE_RATE};

/// The power below which nothing is told apart, so that silence has a logarithm.
const FLOOR: f32 = 1e-10;

/// Turns samples into log-mel frames.
pub(super) struct MelExtractor {
    config: MelConfig,
    window: Vec<f32>,
    filters: Vec<MelFilter>,
    fft: Arc<dyn Fft<f32>>,
}

impl MelExtractor {
    /// Prepares the window, the filters and the transform.
    #[must_use]
    pub(super) fn new(config: MelConfig) -> Self {
        let size = config.fft_size;
        let window = (0..size).map(|n| 0.5 - 0.5 * (2.0 * PI * n as f32 / size as f32).cos()).collect();
        let filters = slaney(config.bands, size, SAMPLE_RATE);
        Self { config, window, filters, fft: FftPlanner::new().plan_fft_forward(size) }
    }

    /// Looks over a whole clip, so that its windows can be made one at a time without holding them all.
    ///
    /// A clip up to one window long is continued with silence to the end of the window, a longer one is taken as
    /// it is: so does the reference.
    #[must_use]
    pub(super) fn clip<'a>(&'a self, samples: &'a [f32]) -> ClipMel<'a> {
        let length = samples.len().max(self.config.window_samples);
        let frames = self.config.frames(length);
        let mut clip = ClipMel { extractor: self, samples, length, frames, floor: f32::NEG_INFINITY };
        let mut work = Work::new(self);
        let mut highest = f32::NEG_INFINITY;
        for frame in 0..frames {
            clip.log_frame(frame, &mut work);
            highest = work.bands.iter().copied().fold(highest, f32::max);
        }
        clip.floor = highest - 8.0;
        clip
    }
}

/// The spectrogram of one clip, made window by window.
pub(super) struct ClipMel<'a> {
    extractor: &'a MelExtractor,
    samples: &'a [f32],
    /// Samples with the silence that continues a short clip.
    length: usize,
    frames: usize,
    floor: f32,
}

struct Work {
    spectrum: Vec<Complex32>,
    scratch: Vec<Complex32>,
    power: Vec<f32>,
    bands: Vec<f32>,
}

impl Work {
    fn new(extractor: &MelExtractor) -> Self {
        let size = extractor.config.fft_size;
        Self {
            spectrum: vec![Complex32::default(); size],
            scratch: vec![Complex32::default(); extractor.fft.get_inplace_scratch_len()],
            power: vec![0.0; size / 2 + 1],
            bands: vec![0.0; extractor.config.bands],
        }
    }
}

impl ClipMel<'_> {
    /// Frames of the clip.
    #[must_use]
    pub(super) fn frames(&self) -> usize {
        self.frames
    }

    /// `count` frames from `start` on, band by band (`[bands, count]`); frames past the end of the clip are 0.0.
    #[must_use]
    pub(super) fn window(&self, start: usize, count: usize) -> Vec<f32> {
        let bands = self.extractor.config.bands;
        let mut window = vec![0.0; bands * count];
        let mut work = Work::new(self.extractor);
        for frame in start..(start + count).min(self.frames) {
            self.log_frame(frame, &mut work);
            for (band, &value) in work.bands.iter().enumerate() {
                window[band * count + frame - start] = (value.max(self.floor) + 4.0) / 4.0;
            }
        }
        window
    }

    /// The base-10 logarithms of one frame's mel bands.
    fn log_frame(&self, frame: usize, work: &mut Work) {
        let extractor = self.extractor;
        let first = (frame * extractor.config.hop) as isize - (extractor.config.fft_size / 2) as isize;
        for (offset, (value, weight)) in work.spectrum.iter_mut().zip(&extractor.window).enumerate() {
            *value = Complex32::new(self.sample(first + offset as isize) * weight, 0.0);
        }
        extractor.fft.process_with_scratch(&mut work.spectrum, &mut work.scratch);
        for (power, value) in work.power.iter_mut().zip(&work.spectrum) {
            *power = value.norm_sqr();
        }
        for (band, filter) in work.bands.iter_mut().zip(&extractor.filters) {
            *band = filter.apply(&work.power).max(FLOOR).log10();
        }
    }

    /// A sample of the clip as it is seen from outside too: mirrored at its ends without repeating the end itself.
    fn sample(&self, index: isize) -> f32 {
        let last = self.length as isize - 1;
        let mirrored = if index < 0 {
            -index
        } else if index > last {
            2 * last - index
        } else {
            index
        };
        usize::try_from(mirrored).ok().and_then(|index| self.samples.get(index)).copied().unwrap_or(0.0)
    }
}
