use std::time::{Duration, Instant};

use super::*;

mod fuzz;

/// A WAV file of 16-bit samples.
fn wav(sample_rate: u32, channels: u16, samples: &[i16]) -> Vec<u8> {
    let data: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    wav_of(1, 16, sample_rate, channels, &data)
}

fn wav_of(format: u16, bits: u16, sample_rate: u32, channels: u16, data: &[u8]) -> Vec<u8> {
    let block = channels * bits / 8;
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((36 + data.len() as u32).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0");
    bytes.extend(format.to_le_bytes());
    bytes.extend(channels.to_le_bytes());
    bytes.extend(sample_rate.to_le_bytes());
    bytes.extend((sample_rate.wrapping_mul(u32::from(block))).to_le_bytes());
    bytes.extend(block.to_le_bytes());
    bytes.extend(bits.to_le_bytes());
    bytes.extend(b"data");
    bytes.extend((data.len() as u32).to_le_bytes());
    bytes.extend(data);
    bytes
}

fn sine(sample_rate: u32, frames: usize) -> Vec<i16> {
    (0..frames)
        .map(|n| {
            (8192.0 * (2.0 * std::f64::consts::PI * 440.0 * n as f64 / f64::from(sample_rate)).sin()) as i16
        })
        .collect()
}

fn decoded(bytes: &[u8]) -> Result<Pcm, AudioError> {
    decode(bytes, &AudioLimits::default())
}

#[test]
fn mono_at_16_khz_passes_untouched() {
    let samples = sine(16_000, 1000);
    let pcm = decoded(&wav(16_000, 1, &samples)).expect("valid");
    let expected: Vec<f32> = samples.iter().map(|sample| f32::from(*sample) / 32768.0).collect();
    assert_eq!(pcm.samples, expected);
    assert_eq!((pcm.container, pcm.codec, pcm.source_channels), ("wave", "pcm_s16le", 1));
}

#[test]
fn every_rate_gives_the_exact_length_and_the_same_tone() {
    let expected = decoded(&wav(16_000, 1, &sine(16_000, 16_000))).expect("valid").samples;
    for rate in [8_000, 11_025, 22_050, 24_000, 32_000, 44_100, 44_101, 48_000, 96_000, 192_000] {
        let pcm = decoded(&wav(rate, 1, &sine(rate, rate as usize))).expect("valid");
        assert_eq!(pcm.samples.len(), 16_000, "{rate}");
        // The filter rings at the ends.
        let worst = pcm.samples[800..15_200]
            .iter()
            .zip(&expected[800..15_200])
            .map(|(found, expected)| (found - expected).abs())
            .fold(0.0, f32::max);
        // The middle of a filter with an odd number of taps lies half a sample beside a sample.
        let half_a_sample = 0.25 * std::f32::consts::PI * 440.0 / rate.min(16_000) as f32;
        assert!(worst < half_a_sample + 2e-3, "{rate}: {worst}");
    }
    for (rate, frames, wanted) in [(48_000, 1, 1), (48_000, 4, 2), (8_000, 3, 6), (44_100, 44_101, 16_001)] {
        assert_eq!(
            decoded(&wav(rate, 1, &sine(rate, frames))).expect("valid").samples.len(),
            wanted,
            "{rate} {frames}"
        );
    }
}

#[test]
fn channels_are_averaged() {
    let pcm = decoded(&wav(16_000, 2, &[100, 300, -200, 200])).expect("valid");
    assert_eq!(pcm.samples, [200.0 / 32768.0, 0.0]);
}

/// Row 37: nothing to hear, no rate, no numbers.
#[test]
fn row_37_what_no_recording_has_is_refused_at_once() {
    let float = |sample: f32| wav_of(3, 32, 16_000, 1, &sample.to_le_bytes().repeat(100));
    for (bytes, reason) in [
        (vec![], "EmptyAudio"),
        (b"hello".to_vec(), "UnknownContainer"),
        (vec![0; 100_000], "UnknownContainer"),
        (wav(16_000, 1, &[]), "EmptyAudio"),
        (wav(0, 1, &[1; 100]), "UnsupportedFormat"),
        (wav(u32::MAX, 1, &[1; 100]), "UnsupportedFormat"),
        (wav(1, 1, &[1; 100]), "UnsupportedFormat"),
        (float(f32::NAN), "InvalidSamples"),
        (float(f32::INFINITY), "InvalidSamples"),
    ] {
        let started = Instant::now();
        let error = decoded(&bytes).expect_err(reason);
        assert_eq!(error.reason(), reason, "{error}");
        assert!(started.elapsed() < Duration::from_millis(50), "{reason} took {:?}", started.elapsed());
    }
    assert!(decoded(&float(0.5)).is_ok());
}

/// Row 40, while a clip is decoded: it stops at the next packet.
#[test]
fn row_40_a_clip_that_nobody_waits_for_is_decoded_no_further() {
    let bytes = wav(16_000, 1, &sine(16_000, 1_000_000));
    let asked = std::cell::Cell::new(0);
    let is_unwanted = || {
        asked.set(asked.get() + 1);
        asked.get() > 3
    };
    let error = decode_unless(&bytes, &AudioLimits::default(), &is_unwanted).expect_err("cancelled");
    assert_eq!((error.reason(), asked.get()), ("Cancelled", 4));
}

/// Row 35.
#[test]
fn row_35_the_limit_holds_while_decoding() {
    let bytes = wav(8_000, 1, &vec![0; 80_001]);
    let error = decode(&bytes, &AudioLimits { max_seconds: 10.0 }).expect_err("too long");
    assert_eq!(error.to_string(), "the audio is longer than the limit of 10 s; split it");
    assert!(decode(&bytes, &AudioLimits { max_seconds: 11.0 }).is_ok());
}
