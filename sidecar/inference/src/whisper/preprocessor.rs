//! `preprocessor_config.json`: how samples become a log-mel spectrogram.

use serde::Deserialize;

use super::config::{ModelConfig, incompatible};
use crate::error::LoadError;

pub(super) const FILE: &str = "preprocessor_config.json";

/// The sample rate that every Whisper model hears, in Hz.
pub(super) const SAMPLE_RATE: usize = 16_000;

/// The settings of the log-mel spectrogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MelConfig {
    /// Bands: 80 or 128.
    pub(super) bands: usize,
    /// Samples of one Fourier transform: 400.
    pub(super) fft_size: usize,
    /// Samples from one frame to the next: 160.
    pub(super) hop: usize,
    /// Samples of one window, 30 s of them.
    pub(super) window_samples: usize,
}

#[derive(Deserialize)]
struct RawPreprocessor {
    feature_size: Option<usize>,
    sampling_rate: Option<usize>,
    n_fft: Option<usize>,
    hop_length: Option<usize>,
    chunk_length: Option<usize>,
    dither: Option<f64>,
}

impl MelConfig {
    /// Reads and checks `preprocessor_config.json` against the model's sizes. What it does not say is what
    /// OpenAI's models have: 400 samples a transform, 160 a hop, 30 s a window.
    ///
    /// # Errors
    /// [`LoadError`] naming the field that contradicts the model.
    pub(super) fn parse(json: &[u8], model: &ModelConfig) -> Result<Self, LoadError> {
        let raw: RawPreprocessor =
            serde_json::from_slice(json).map_err(|error| LoadError::corrupted(FILE, error))?;
        let rate = raw.sampling_rate.unwrap_or(SAMPLE_RATE);
        if rate != SAMPLE_RATE {
            return Err(incompatible(
                FILE,
                "sampling_rate",
                format!("is {rate}; Whisper hears {SAMPLE_RATE}"),
            ));
        }
        if raw.dither.is_some_and(|dither| dither != 0.0) {
            return Err(incompatible(FILE, "dither", "adds random noise; it must be 0"));
        }
        let bands = raw.feature_size.unwrap_or(model.num_mel_bins);
        if bands != model.num_mel_bins {
            return Err(incompatible(
                FILE,
                "feature_size",
                format!("is {bands}, but num_mel_bins of config.json is {}", model.num_mel_bins),
            ));
        }
        let fft_size = raw.n_fft.unwrap_or(400);
        if !(16..=8192).contains(&fft_size) {
            return Err(incompatible(FILE, "n_fft", format!("is {fft_size}; it must be 16 to 8192")));
        }
        let hop = raw.hop_length.unwrap_or(160);
        if hop == 0 || hop > fft_size {
            return Err(incompatible(
                FILE,
                "hop_length",
                format!("is {hop}; it must be 1 to n_fft, {fft_size}"),
            ));
        }
        let seconds = raw.chunk_length.unwrap_or(30);
        let frames = seconds.saturating_mul(SAMPLE_RATE) / hop;
        if frames != model.window_frames() {
            return Err(incompatible(
                FILE,
                "chunk_length",
                format!(
                    "is {seconds} s, which is {frames} frames, but max_source_positions of config.json wants {}",
                    model.window_frames()
                ),
            ));
        }
        Ok(Self { bands, fft_size, hop, window_samples: seconds * SAMPLE_RATE })
    }

    /// Frames of a clip of this many samples, as the reference counts them: the last, half-empty one is dropped.
    #[must_use]
    pub(super) fn frames(&self, samples: usize) -> usize {
        samples / self.hop
    }
}
