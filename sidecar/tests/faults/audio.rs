//! Audio that is larger than it looks, or none.

use std::time::{Duration, Instant};

use ostler_inference::audio::{AudioLimits, decode};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::clips::{flac_bomb, form, opus_bomb, opus_seconds, speech, wav};
use crate::process::{Sidecar, model, shipped};

const LIMIT: AudioLimits = AudioLimits { max_seconds: 60.0 };

/// Row 35: samples are counted while they are decoded, so that a bomb of either codec is decoded up to the limit and no
/// further, whatever its head says or leaves out.
#[test]
fn row_35_a_bomb_is_decoded_up_to_the_limit_and_no_further() {
    // What is within the limit is decoded, so that the files are files.
    let frames = 50 * 16_000 / 32_768;
    let pcm = decode(&flac_bomb(16_000, 1, frames), &LIMIT).unwrap();
    assert_eq!((pcm.codec, pcm.samples.len()), ("flac", frames as usize * 32_768));
    let pcm = decode(&opus_bomb(1), &LIMIT).unwrap();
    assert_eq!((pcm.codec, pcm.samples.len()), ("opus", opus_seconds(1) as usize * 16_000 + 9_600));
    for (name, bytes, reason) in [
        ("flac", flac_bomb(16_000, 1, 30_000), "AudioTooLong"),
        ("opus", opus_bomb(2_000), "AudioTooLong"),
        // Half an hour, in fifty times as many numbers as speech has.
        ("many channels at a high rate", flac_bomb(655_350, 8, 40_000), "TooManySamples"),
    ] {
        assert!(bytes.len() < 2_000_000, "{name}: {} bytes", bytes.len());
        let started = Instant::now();
        assert_eq!(decode(&bytes, &LIMIT).unwrap_err().reason(), reason, "{name}");
        assert!(started.elapsed() < Duration::from_secs(10), "{name} took {:?}", started.elapsed());
    }
}

async fn whisper(folder: &std::path::Path) -> Sidecar {
    let whisper = model("whisper", "automatic-speech-recognition", &shipped("whisper-v2"), json!({}));
    Sidecar::start(folder, vec![whisper], "1Gi").await
}

async fn transcribe(sidecar: &Sidecar, clip: Vec<u8>) -> (StatusCode, String) {
    let request = sidecar.client.post(sidecar.url("/v1/audio/transcriptions"));
    let answer = request.multipart(form("whisper", clip)).send().await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

/// Row 35, over HTTP: the answer is 413, and the process takes no more than the longest clip does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_35_a_bomb_is_answered_413_within_the_memory_of_the_longest_clip() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = whisper(folder.path()).await;
    let before = sidecar.memory().peak;
    // Seventeen hours, where two may be sent; and half an hour on eight channels at the highest rate of FLAC.
    for clip in [flac_bomb(16_000, 1, 30_000), flac_bomb(655_350, 8, 40_000)] {
        let (status, text) = transcribe(&sidecar, clip).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{text}");
        assert!(text.contains("the audio is over the limit of"), "{text}");
    }
    let grown = sidecar.memory().peak - before;
    let longest = 7_200 * 16_000 * 4;
    assert!(grown < longest + longest / 4, "{grown} bytes were taken");
    let (status, text) = transcribe(&sidecar, speech(2)).await;
    assert_eq!(status, StatusCode::OK, "{text}");
}

/// Row 37: what holds nothing to hear is told so at once. The best of some tries counts, since others use this machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_37_what_holds_nothing_to_hear_is_refused_within_50_milliseconds() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = whisper(folder.path()).await;
    assert_eq!(transcribe(&sidecar, speech(1)).await.0, StatusCode::OK);
    let float = |number: f32| wav(3, 32, 16_000, &number.to_le_bytes().repeat(16_000));
    let silence = vec![0; 32_000];
    let table = [
        ("no bytes", vec![], "missing_required_parameter"),
        ("no samples", wav(1, 16, 16_000, &[]), "invalid_audio"),
        ("a half sample", wav(1, 16, 16_000, &[0]), "invalid_audio"),
        ("NaN", float(f32::NAN), "invalid_audio"),
        ("infinity", float(f32::NEG_INFINITY), "invalid_audio"),
        ("0 Hz", wav(1, 16, 0, &silence), "invalid_audio"),
        ("1 Hz", wav(1, 16, 1, &silence), "invalid_audio"),
        ("4 GHz", wav(1, 16, u32::MAX, &silence), "invalid_audio"),
        ("samples of 0 bits", wav(1, 0, 16_000, &silence), "invalid_audio"),
        ("no frames of FLAC", flac_bomb(16_000, 1, 0), "invalid_audio"),
        ("no pages of Opus", opus_bomb(0), "invalid_audio"),
        ("no audio", b"this is no audio".to_vec(), "invalid_audio"),
    ];
    for (name, clip, code) in table {
        let mut best = Duration::MAX;
        for _ in 0..10 {
            let started = Instant::now();
            let (status, text) = transcribe(&sidecar, clip.clone()).await;
            best = best.min(started.elapsed());
            let body: Value = serde_json::from_str(&text).unwrap();
            assert_eq!((status.as_u16(), &body["error"]["code"]), (400, &json!(code)), "{name}: {text}");
            if best < Duration::from_millis(50) {
                break;
            }
        }
        assert!(best < Duration::from_millis(50), "{name} took {best:?}");
    }
    assert_eq!(transcribe(&sidecar, speech(1)).await.0, StatusCode::OK);
}
