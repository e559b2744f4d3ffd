//! Files of every container of which anything may be wrong.

use ostler_fuzz::{Seed, Target};

use super::*;

/// The longest clip of the target, in seconds: longer than its files, and small.
const MAX_SECONDS: f64 = 2.0;

fn check(bytes: &[u8]) -> String {
    match decode(bytes, &AudioLimits { max_seconds: MAX_SECONDS }) {
        Err(error) => format!("{}: {error}", error.reason()),
        Ok(pcm) => {
            let most = (MAX_SECONDS * f64::from(SAMPLE_RATE)) as usize;
            assert!((1..=most).contains(&pcm.samples.len()), "{} samples", pcm.samples.len());
            assert!(pcm.samples.iter().all(|sample| sample.is_finite()));
            assert!((AudioError::LEAST_RATE..=AudioError::MOST_RATE).contains(&pcm.source_sample_rate));
            assert!((1..=AudioError::MOST_CHANNELS).contains(&pcm.source_channels));
            format!("{} in {}", pcm.codec, pcm.container)
        }
    }
}

/// Writes the checksum of each page of Ogg anew (RFC 3533, section 6): without a right one a page is passed over.
fn repair(bytes: &mut [u8]) {
    let mut from = 0;
    while let Some(start) =
        bytes[from..].windows(4).position(|word| word == b"OggS").map(|place| from + place)
    {
        from = start + 4;
        let Some(segments) = bytes.get(start + 26).map(|count| usize::from(*count)) else { return };
        let Some(table) = bytes.get(start + 27..start + 27 + segments) else { return };
        let end = start + 27 + segments + table.iter().map(|length| usize::from(*length)).sum::<usize>();
        let Some(page) = bytes.get_mut(start..end) else { return };
        page[22..26].fill(0);
        let sum = page.iter().fold(0_u32, |sum, byte| {
            (0..8).fold(sum ^ u32::from(*byte) << 24, |sum, _| {
                (sum << 1) ^ if sum >> 31 == 1 { 0x04c1_1db7 } else { 0 }
            })
        });
        page[22..26].copy_from_slice(&sum.to_le_bytes());
    }
}

#[test]
fn pages_of_ogg_are_repaired_to_what_they_were() {
    let whole = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/audio/opus.ogg")).unwrap();
    let mut repaired = whole.clone();
    repaired[22] ^= 1;
    assert_ne!(repaired, whole);
    repair(&mut repaired);
    assert_eq!(repaired, whole);
}

/// Row 36: small files that claim much, and files with nothing or nonsense in them.
fn seeds() -> Vec<Seed> {
    let float = |sample: f32| wav_of(3, 32, 16_000, 1, &sample.to_le_bytes().repeat(20));
    // The beginning of a FLAC file that says which blocks, rate, channels and length it has.
    let flac = |block: u16, rate: u32, channels: u32, samples: u64| {
        let packed = u64::from(rate) << 44 | u64::from(channels - 1) << 41 | 15 << 36 | samples;
        let info = [&block.to_be_bytes()[..], &block.to_be_bytes(), &[0; 6], &packed.to_be_bytes(), &[0; 16]]
            .concat();
        [&b"fLaC\x80\0\0\x22"[..], &info, b"\xff\xf8\xc9\x08\0\0"].concat()
    };
    // Boxes of an MP4 file within one another.
    let nested = |depth: usize| {
        let boxes =
            (0..depth).rev().map(|level| [&(8 * (level as u32 + 1)).to_be_bytes()[..], b"moov"].concat());
        [b"\0\0\0\x10ftypM4A \0\0\0\0".to_vec()].into_iter().chain(boxes).collect::<Vec<_>>().concat()
    };
    let mut cut = wav(16_000, 1, &[5; 40]);
    cut.truncate(60);
    vec![
        ("wav", wav(16_000, 2, &[100, -100, 3, 4])),
        ("wav-without-samples", wav(16_000, 1, &[])),
        ("wav-of-0-hertz", wav(0, 1, &[1; 20])),
        ("wav-of-all-hertz", wav(u32::MAX, 1, &[1; 20])),
        ("wav-of-no-channels", wav(16_000, 0, &[1; 20])),
        ("wav-of-many-channels", wav(16_000, 4_000, &[1; 20])),
        ("wav-not-a-number", float(f32::NAN)),
        ("wav-infinite", float(f32::INFINITY)),
        ("wav-cut", cut),
        ("flac-of-large-blocks", flac(u16::MAX, 655_350, 8, u64::MAX >> 28)),
        ("flac-of-empty-blocks", flac(0, 16_000, 1, 0)),
        ("mp4-nested", nested(200)),
        (
            "mp4-endless-box",
            b"\0\0\0\x10ftypM4A \0\0\0\0\0\0\0\x01moov\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
        ),
        ("matroska-endless", b"\x1a\x45\xdf\xa3\x01\xff\xff\xff\xff\xff\xff\xff".to_vec()),
        ("id3-endless", b"ID3\x04\0\0\x7f\x7f\x7f\x7f".to_vec()),
        ("nothing", Vec::new()),
    ]
}

#[test]
fn row_36_no_file_gives_more_than_the_limit_or_ends_the_process() {
    ostler_fuzz::run!(Target {
        seeds,
        files: &[
            "tests/audio/flac.flac",
            "tests/audio/alac.m4a",
            "tests/audio/mp3.mp3",
            "tests/audio/mp2.mpga",
            "tests/audio/aac.m4a",
            "tests/audio/adts.aac",
            "tests/audio/mulaw.wav",
            "tests/audio/vorbis.ogg",
            "tests/audio/opus.ogg",
            "tests/audio/opus-voip.ogg",
            "tests/audio/opus.webm",
            "tests/audio/opus.mp4",
            "tests/audio/speex.ogg",
            "tests/audio/ac3.mka",
            "tests/audio/video-only.webm",
            // Longer than what others are made of, and than the limit.
            "tests/audio/silence-400s.flac",
        ],
        tokens: &[
            b"RIFF",
            b"fmt ",
            b"data",
            b"LIST",
            b"fLaC",
            b"OggS",
            b"OpusHead",
            b"OpusTags",
            b"\x01vorbis",
            b"ID3\x04\0\0",
            b"moov",
            b"trak",
            b"stsz",
            b"stco",
            b"stsc",
            b"stts",
            b"esds",
            b"moof",
            b"\x1a\x45\xdf\xa3",
            b"\xff\xfb\x90\x00",
            b"\xff\xf1\x50\x80",
            b"\xff\xff\xff\xff",
            b"\x7f\xff\xff\xff",
            b"\0\0\0\0",
        ],
        repair: Some(repair),
        longest: 16 << 10,
        inputs: 1_500,
        memory: 256 << 20,
        ..Target::new("audio", check)
    });
}
