//! Audio files to samples: any container that OpenAI's endpoints take, to mono at 16 kHz.
//!
//! Bytes come from outside, so nothing here trusts them: rates and channel counts are bounded before anything is
//! sized by them, samples are counted while they are decoded, a decoder that panics fails the one file, and a file that
//! nobody waits for any more is decoded no further.

mod aac;
mod error;
mod opus;
mod resample;
mod source;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use error::AudioError;

use self::resample::MonoResampler;
use self::source::Source;

/// The sample rate of decoded audio, in Hz: what speech models hear.
pub const SAMPLE_RATE: u32 = 16_000;

/// What a file may ask for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AudioLimits {
    /// The longest clip, in seconds. A second of decoded audio takes 64 kB.
    pub max_seconds: f64,
}

impl Default for AudioLimits {
    fn default() -> Self {
        // OpenAI's limit of 25 MB holds about two hours at the bit rates that speech is sent with.
        Self { max_seconds: 7_200.0 }
    }
}

/// Decoded audio.
#[derive(Debug, Clone, PartialEq)]
pub struct Pcm {
    /// Mono samples at [`SAMPLE_RATE`], nominally -1.0 to 1.0.
    pub samples: Vec<f32>,
    /// The container, as its format's short name: `wave`, `ogg`.
    pub container: &'static str,
    /// The codec, as its short name: `pcm_s16le`, `opus`.
    pub codec: &'static str,
    /// Samples a second of each channel in the file.
    pub source_sample_rate: u32,
    /// Channels in the file; they were averaged.
    pub source_channels: usize,
}

/// Decodes a whole file. The container is recognised by its content.
///
/// # Errors
/// [`AudioError`], which names the container or codec where one is not supported, or the limit that was passed.
pub fn decode(bytes: &[u8], limits: &AudioLimits) -> Result<Pcm, AudioError> {
    decode_unless(bytes, limits, &|| false)
}

/// The same, until `is_unwanted`, which is asked before each packet.
///
/// # Errors
/// As [`decode`], and [`AudioError::Cancelled`].
pub fn decode_unless(
    bytes: &[u8],
    limits: &AudioLimits,
    is_unwanted: &dyn Fn() -> bool,
) -> Result<Pcm, AudioError> {
    // Decoders are large and parse what strangers send; a bug in one must not take the process along.
    let decoded = catch_unwind(AssertUnwindSafe(|| decode_unguarded(bytes, limits, is_unwanted)));
    decoded.unwrap_or(Err(AudioError::Panicked))
}

fn decode_unguarded(
    bytes: &[u8],
    limits: &AudioLimits,
    is_unwanted: &dyn Fn() -> bool,
) -> Result<Pcm, AudioError> {
    if bytes.is_empty() {
        return Err(AudioError::Empty);
    }
    let mut source = Source::open(bytes)?;
    let mut resampler = None;
    let mut interleaved = Vec::new();
    while let Some(spec) = source.next(&mut interleaved, is_unwanted)? {
        let resampler = match &mut resampler {
            Some(resampler) => resampler,
            None => resampler.insert(MonoResampler::new(spec, limits.max_seconds)?),
        };
        resampler.push(spec, &interleaved)?;
    }
    let resampler = resampler.ok_or(AudioError::NoSamples)?;
    let spec = resampler.spec();
    let samples = resampler.finish()?;
    if samples.is_empty() {
        return Err(AudioError::NoSamples);
    }
    Ok(Pcm {
        samples,
        container: source.container(),
        codec: source.codec(),
        source_sample_rate: spec.sample_rate,
        source_channels: spec.channels,
    })
}

#[cfg(test)]
mod tests;
