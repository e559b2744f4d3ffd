//! The log-mel spectrogram, equal to that of transformers' `WhisperFeatureExtractor`.
//!
//! Frames are centred on multiples of the hop, the signal reflected at both ends, weighted by a periodic Hann
//! window; the power spectrum goes through Slaney's mel filters, a base-10 logarithm, a floor 8 below the clip's
//! highest value, and `(x + 4) / 4`.

use std::f32::consts::PI;
use std::sync::Arc;

use ostler_kernels::Lanes;
use realfft::num_complex::Complex32;
use realfft::{RealFftPlanner, RealToComplex};

use super::mel_filters::{MelFilter, slaney};
use super::preprocessor::{MelConfig, SAMPLE_RATE};

/// The power below which nothing is told apart, so that silence has a logarithm.
const FLOOR: f32 = 1e-10;
/// Frames that a thread looks over at once.
const BLOCK: usize = 100;
/// Frames that are turned into bands at once: few enough that they stay in the nearest cache meanwhile.
const TURNED: usize = 32;
/// Windows of a clip up to which its logarithms are kept from when they are looked over: 12 minutes.
const KEPT_WINDOWS: usize = 24;

/// Turns samples into log-mel frames.
pub(super) struct MelExtractor {
    config: MelConfig,
    window: Vec<f32>,
    filters: Vec<MelFilter>,
    fft: Arc<dyn RealToComplex<f32>>,
}

impl MelExtractor {
    /// Prepares the window, the filters and the transform.
    #[must_use]
    pub(super) fn new(config: MelConfig) -> Self {
        let size = config.fft_size;
        let window = (0..size).map(|n| 0.5 - 0.5 * (2.0 * PI * n as f32 / size as f32).cos()).collect();
        let filters = slaney(config.bands, size, SAMPLE_RATE);
        Self { config, window, filters, fft: RealFftPlanner::new().plan_fft_forward(size) }
    }

    /// Looks over a whole clip, so that its windows can be made one at a time without holding them all.
    ///
    /// A clip up to one window long is continued with silence to the end of the window, a longer one is taken as
    /// it is: so does the reference.
    #[must_use]
    pub(super) fn clip<'a>(&'a self, lanes: &Lanes<'_>, samples: &'a [f32]) -> ClipMel<'a> {
        let length = samples.len().max(self.config.window_samples);
        let frames = self.config.frames(length);
        let floor = f32::NEG_INFINITY;
        let mut clip = ClipMel { extractor: self, samples, length, frames, floor, logarithms: Vec::new() };
        let bands = self.config.bands;
        let is_kept = frames <= KEPT_WINDOWS * self.config.frames(self.config.window_samples);
        let mut logarithms = vec![0.0; if is_kept { frames * bands } else { 0 }];
        let mut highest = vec![f32::NEG_INFINITY; frames.div_ceil(BLOCK)];
        let mut work: Vec<Work> = (0..lanes.threads()).map(|_| Work::new(self)).collect();
        let mut places = logarithms.chunks_mut(BLOCK * bands);
        let blocks: Vec<_> =
            highest.iter_mut().enumerate().map(|(block, highest)| (block, highest, places.next())).collect();
        lanes.for_each_with(blocks, &mut work, |(block, highest, place), work| {
            let mut places = place.map(|place| place.chunks_exact_mut(bands));
            for frame in block * BLOCK..((block + 1) * BLOCK).min(frames) {
                clip.log_frame(frame, work);
                *highest = work.bands.iter().copied().fold(*highest, f32::max);
                if let Some(place) = places.as_mut().and_then(Iterator::next) {
                    place.copy_from_slice(&work.bands);
                }
            }
        });
        clip.floor = highest.into_iter().fold(f32::NEG_INFINITY, f32::max) - 8.0;
        clip.logarithms = logarithms;
        clip
    }

    /// Samples from one frame to the next.
    #[must_use]
    pub(super) fn hop(&self) -> usize {
        self.config.hop
    }

    /// The most bytes that are kept of a clip.
    #[must_use]
    pub(super) fn kept_bytes(&self) -> u64 {
        (KEPT_WINDOWS * self.config.frames(self.config.window_samples) * self.config.bands * 4) as u64
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
    /// Those of all frames, frame by frame, or none where they would be many.
    logarithms: Vec<f32>,
}

struct Work {
    signal: Vec<f32>,
    spectrum: Vec<Complex32>,
    scratch: Vec<Complex32>,
    power: Vec<f32>,
    bands: Vec<f32>,
}

impl Work {
    fn new(extractor: &MelExtractor) -> Self {
        let size = extractor.config.fft_size;
        Self {
            signal: vec![0.0; size],
            spectrum: extractor.fft.make_output_vec(),
            scratch: extractor.fft.make_scratch_vec(),
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

    /// Frames that begin in the clip's own samples, before the silence that continues it.
    #[must_use]
    pub(super) fn sound_frames(&self) -> usize {
        self.samples.len().div_ceil(self.extractor.config.hop)
    }

    /// `count` frames from `start` on, band by band, in a window of `width` frames (`[bands, width]`). The frames
    /// behind them, and those past the end of the clip, are 0.0.
    #[must_use]
    pub(super) fn window(&self, start: usize, count: usize, width: usize) -> Vec<f32> {
        let bands = self.extractor.config.bands;
        let mut window = vec![0.0; bands * width];
        let mut work = Work::new(self.extractor);
        let end = (start + count.min(width)).min(self.frames);
        let mut block = vec![0.0; TURNED * bands];
        for first in (start..end).step_by(TURNED) {
            let frames = first..(first + TURNED).min(end);
            for (frame, place) in frames.clone().zip(block.chunks_exact_mut(bands)) {
                match self.logarithms.get(frame * bands..(frame + 1) * bands) {
                    Some(kept) => place.copy_from_slice(kept),
                    None => {
                        self.log_frame(frame, &mut work);
                        place.copy_from_slice(&work.bands);
                    }
                }
            }
            for (band, places) in window.chunks_exact_mut(width).enumerate() {
                let places = &mut places[first - start..][..frames.len()];
                for (place, frame) in places.iter_mut().zip(block.chunks_exact(bands)) {
                    *place = (frame[band].max(self.floor) + 4.0) / 4.0;
                }
            }
        }
        window
    }

    /// The base-10 logarithms of one frame's mel bands.
    fn log_frame(&self, frame: usize, work: &mut Work) {
        let extractor = self.extractor;
        let first = (frame * extractor.config.hop) as isize - (extractor.config.fft_size / 2) as isize;
        let inside =
            usize::try_from(first).ok().and_then(|first| self.samples.get(first..first + work.signal.len()));
        match inside {
            Some(samples) => work.signal.copy_from_slice(samples),
            None => {
                for (offset, value) in work.signal.iter_mut().enumerate() {
                    *value = self.sample(first + offset as isize);
                }
            }
        }
        for (value, weight) in work.signal.iter_mut().zip(&extractor.window) {
            *value *= weight;
        }
        // It fails for buffers of another size alone, and these are its own.
        let _ = extractor.fft.process_with_scratch(&mut work.signal, &mut work.spectrum, &mut work.scratch);
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
