//! Every container and codec that the interfaces promise, as files that other programs wrote; and files that nobody
//! should send.
//!
//! `audio/` holds half a second of `examples/audio/10-fr.wav`, encoded by ffmpeg 5.1: `base.wav` is what went in.

use std::path::Path;
use std::time::{Duration, Instant};

use ostler_inference::audio::{AudioError, AudioLimits, Pcm, decode};

fn read(name: &str) -> Vec<u8> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/audio").join(name);
    std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn decoded(bytes: &[u8]) -> Result<Pcm, AudioError> {
    decode(bytes, &AudioLimits::default())
}

/// How alike two sounds are, 1 for the same, where the second may start up to a tenth of a second later: encoders
/// put silence in front.
fn likeness(original: &[f32], other: &[f32]) -> f32 {
    (0..1_600)
        .map(|shift| {
            let pairs = || original.iter().zip(other.iter().skip(shift));
            let product: f32 = pairs().map(|(left, right)| left * right).sum();
            let energies = pairs().map(|(left, right)| (left * left, right * right));
            let (left, right) = energies.fold((0.0, 0.0), |sum, pair| (sum.0 + pair.0, sum.1 + pair.1));
            product / (left * right).sqrt().max(f32::MIN_POSITIVE)
        })
        .fold(0.0, f32::max)
}

#[test]
fn every_promised_format_is_heard() {
    let base = decoded(&read("base.wav")).expect("valid").samples;
    for (name, codec, rate, channels, least) in [
        ("flac.flac", "flac", 16_000, 1, 0.9999),
        ("alac.m4a", "alac", 16_000, 1, 0.9999),
        ("stereo-48k.wav", "pcm_s16le", 48_000, 2, 0.99),
        ("pcm24-44k.wav", "pcm_s24le", 44_100, 1, 0.99),
        ("mulaw.wav", "pcm_mulaw", 8_000, 1, 0.9),
        ("mp3.mp3", "mp3", 16_000, 1, 0.9),
        ("mp2.mpga", "mp2", 16_000, 1, 0.9),
        ("aac.m4a", "aac", 16_000, 1, 0.9),
        ("adts.aac", "aac", 16_000, 1, 0.9),
        ("vorbis.ogg", "vorbis", 16_000, 1, 0.9),
        ("opus.ogg", "opus", 48_000, 1, 0.9),
        ("opus-voip.ogg", "opus", 48_000, 1, 0.7),
        ("opus.webm", "opus", 48_000, 1, 0.9),
        ("opus.mp4", "opus", 48_000, 1, 0.9),
    ] {
        let pcm = decoded(&read(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(
            (pcm.codec, pcm.source_sample_rate, pcm.source_channels),
            (codec, rate, channels),
            "{name}"
        );
        // Encoders pad to whole frames, of up to 1,152 samples, at both ends.
        let extra = pcm.samples.len() as i64 - base.len() as i64;
        assert!((-400..=3_000).contains(&extra), "{name}: {} samples", pcm.samples.len());
        let found = likeness(&base, &pcm.samples);
        assert!(found >= least, "{name}: {found}");
    }
}

#[test]
fn ogg_opus_has_the_exact_length() {
    let base = decoded(&read("base.wav")).expect("valid").samples;
    for name in ["opus.ogg", "opus-voip.ogg"] {
        assert_eq!(decoded(&read(name)).expect("valid").samples.len(), base.len(), "{name}");
    }
}

#[test]
fn what_is_not_supported_is_named() {
    let mut he_aac = read("aac.m4a");
    let config = he_aac.windows(2).rposition(|pair| pair == [0x14, 0x08]).expect("AAC-LC at 16 kHz, mono");
    // The first five bits say which kind of AAC it is.
    he_aac[config] = 0x2c;
    for (bytes, reason, word) in [
        (he_aac, "UnsupportedCodec", "HE-AAC"),
        (read("ac3.mka"), "UnsupportedCodec", "AC-3"),
        (read("speex.ogg"), "UnsupportedCodec", "Speex"),
        (read("video-only.webm"), "NoAudioTrack", "no audio track"),
    ] {
        let error = decoded(&bytes).expect_err(word);
        assert_eq!(error.reason(), reason, "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
}

/// Row 35: a decode bomb of FLAC.
#[test]
fn row_35_a_small_file_of_much_silence_stops_at_the_limit() {
    let bytes = read("silence-400s.flac");
    let started = Instant::now();
    let error = decode(&bytes, &AudioLimits { max_seconds: 30.0 }).expect_err("too long");
    assert_eq!(error.reason(), "AudioTooLong");
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(decoded(&bytes).expect("valid").samples.len(), 400 * 16_000);
}

/// Row 36: cut at every eighth, and damaged at places that a generator draws: an answer comes, whichever.
#[test]
fn row_36_damaged_files_are_answered() {
    let mut state = 1_u64;
    let mut draw = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let names = [
        "base.wav",
        "flac.flac",
        "alac.m4a",
        "mp3.mp3",
        "mp2.mpga",
        "aac.m4a",
        "adts.aac",
        "vorbis.ogg",
        "opus.ogg",
        "opus.webm",
        "opus.mp4",
    ];
    for name in names {
        let whole = read(name);
        let mut corpus: Vec<Vec<u8>> =
            (1..8).map(|eighth| whole[..whole.len() * eighth / 8].to_vec()).collect();
        for round in 0..24 {
            let mut damaged = whole.clone();
            // Headers decide what is allocated and looped over, so half of the damage goes there.
            let reach = if round % 2 == 0 { whole.len().min(200) } else { whole.len() };
            for _ in 0..1 + round / 4 {
                let place = draw(reach);
                damaged[place] = if draw(3) == 0 { 0xff } else { draw(256) as u8 };
            }
            corpus.push(damaged);
        }
        for bytes in corpus {
            let started = Instant::now();
            match decode(&bytes, &AudioLimits { max_seconds: 60.0 }) {
                Ok(pcm) => assert!(
                    pcm.samples.len() <= 60 * 16_000 && pcm.samples.iter().all(|sample| sample.is_finite())
                ),
                Err(error) => assert!(!error.reason().is_empty()),
            }
            assert!(started.elapsed() < Duration::from_secs(20), "{name} took {:?}", started.elapsed());
        }
    }
}
