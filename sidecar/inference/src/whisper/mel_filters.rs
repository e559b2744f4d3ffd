//! Slaney's mel filter bank: linear below 1 kHz, logarithmic above, triangles of equal area.
//!
//! The formulas are those of M. Slaney's Auditory Toolbox (1998), as librosa and transformers compute them.

const LINEAR_STEP: f64 = 200.0 / 3.0;
const KNEE_HERTZ: f64 = 1000.0;
const KNEE_MEL: f64 = KNEE_HERTZ / LINEAR_STEP;

/// One triangle: its weights on neighbouring bins of the power spectrum, zeros left out.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct MelFilter {
    first_bin: usize,
    weights: Vec<f32>,
}

impl MelFilter {
    /// The weighted sum of a power spectrum.
    #[must_use]
    pub(super) fn apply(&self, power: &[f32]) -> f32 {
        self.weights.iter().zip(&power[self.first_bin..]).map(|(weight, power)| weight * power).sum()
    }
}

/// The bank of `bands` filters from 0 Hz to half the sample rate, over `fft_size / 2 + 1` bins.
#[must_use]
pub(super) fn slaney(bands: usize, fft_size: usize, sample_rate: usize) -> Vec<MelFilter> {
    let nyquist = sample_rate as f64 / 2.0;
    let bins = fft_size / 2 + 1;
    let top = hertz_to_mel(nyquist);
    let edges: Vec<f64> =
        (0..bands + 2).map(|edge| mel_to_hertz(top * edge as f64 / (bands + 1) as f64)).collect();
    edges.windows(3).map(|edges| filter(edges, bins, nyquist)).collect()
}

fn filter(edges: &[f64], bins: usize, nyquist: f64) -> MelFilter {
    let (low, centre, high) = (edges[0], edges[1], edges[2]);
    // The area of each triangle is one.
    let scale = 2.0 / (high - low);
    let all: Vec<f32> = (0..bins)
        .map(|bin| {
            let hertz = nyquist * bin as f64 / (bins - 1) as f64;
            let rising = (hertz - low) / (centre - low);
            let falling = (high - hertz) / (high - centre);
            (rising.min(falling).max(0.0) * scale) as f32
        })
        .collect();
    let first_bin = all.iter().position(|weight| *weight != 0.0).unwrap_or(0);
    let end = all.iter().rposition(|weight| *weight != 0.0).map_or(first_bin, |last| last + 1);
    MelFilter { first_bin, weights: all[first_bin..end].to_vec() }
}

fn log_step() -> f64 {
    6.4_f64.ln() / 27.0
}

fn hertz_to_mel(hertz: f64) -> f64 {
    if hertz < KNEE_HERTZ { hertz / LINEAR_STEP } else { KNEE_MEL + (hertz / KNEE_HERTZ).ln() / log_step() }
}

fn mel_to_hertz(mel: f64) -> f64 {
    if mel < KNEE_MEL { mel * LINEAR_STEP } else { KNEE_HERTZ * ((mel - KNEE_MEL) * log_step()).exp() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_turns_back() {
        for hertz in [0.0, 100.0, 999.0, 1000.0, 4000.0, 8000.0] {
            assert!((mel_to_hertz(hertz_to_mel(hertz)) - hertz).abs() < 1e-6, "{hertz}");
        }
    }

    #[test]
    fn every_filter_of_both_sizes_holds_something() {
        for bands in [80, 128] {
            let bank = slaney(bands, 400, 16_000);
            assert_eq!(bank.len(), bands);
            assert!(bank.iter().all(|filter| filter.weights.iter().any(|weight| *weight > 0.0)));
        }
    }
}
