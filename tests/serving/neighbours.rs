//! What a small translation model's client sees while its neighbours are busy.

use std::path::Path;
use std::time::Duration;

use ostler_test_hub::models;
use reqwest::Client;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::Failure;
use crate::arguments::Arguments;
use crate::clients::{Seen, ask, translation};
use crate::row::Row;
use crate::sidecar::Sidecar;

/// Layers of the model that is asked all the time, and of the one that is loaded.
const SMALL: usize = 2;
const LARGE: usize = 20;

/// Samples of one second.
const SAMPLE_RATE: u32 = 16_000;
const MINUTES: u32 = 10;

fn model(name: &str, folder: &Path, load: &str) -> Value {
    json!({
        "name": name, "task": "translation", "load": load,
        "versions": [{"name": "v1", "storageUri": format!("file://{}", folder.display())}],
    })
}

fn compared(what: &str, busy: &Seen, quiet: &Seen, wanted: &str) -> Row {
    Row {
        what: what.to_owned(),
        measured: busy.describe(),
        beside: format!(
            "quiet: {}; p99 {:.2} times{wanted}",
            quiet.describe(),
            busy.percentile(99) / quiet.percentile(99)
        ),
    }
}

/// Translations while ten minutes of speech are transcribed, again and again.
pub(crate) async fn beside_a_transcription(
    arguments: &Arguments,
    scratch: &Path,
) -> Result<Vec<Row>, Failure> {
    let small = models::write(&scratch.join("small"), SMALL)?;
    let speech = json!({
        "name": "whisper", "task": "automatic-speech-recognition", "load": "Preload",
        "versions": [{"name": "v1", "storageUri": format!("file://{}", arguments.whisper_base()?.display())}],
    });
    let served = vec![model("small", &small, "Preload"), speech];
    let sidecar = Sidecar::start(arguments, scratch, served, "4Gi", None).await?;
    let url = sidecar.url("/translate");
    let quiet = ask(&url, 1, arguments.time(), |_, _| translation("small")).await?;
    let wav = recording()?;
    let transcriptions = sidecar.url("/v1/audio/transcriptions");
    let speaking = repeat(move || {
        let (url, wav) = (transcriptions.clone(), wav.clone());
        async move {
            let form = Form::new().text("model", "whisper").part("file", Part::bytes(wav).file_name("a.wav"));
            let answer = Client::new().post(url).multipart(form).send().await;
            answer.is_ok_and(|answer| answer.status().is_success())
        }
    });
    // Until the recording is decoded and being worked on.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let busy = ask(&url, 1, arguments.time(), |_, _| translation("small")).await?;
    speaking.abort();
    Ok(vec![compared("one client's translations while 10 min of speech are transcribed", &busy, &quiet, "")])
}

/// Translations while a model of 300 MB is loaded, evicted and loaded again, from its folder and from packed weights.
pub(crate) async fn beside_loads(arguments: &Arguments, scratch: &Path) -> Result<Vec<Row>, Failure> {
    let small = models::write(&scratch.join("small"), SMALL)?;
    let large = models::write(&scratch.join("large"), LARGE)?;
    let mut loaded = model("large", &large, "Lazy");
    loaded["idleSeconds"] = json!(1);
    let served = vec![model("small", &small, "Preload"), loaded];
    let sidecar = Sidecar::start(arguments, scratch, served, "4Gi", None).await?;
    let url = sidecar.url("/translate");
    let quiet = ask(&url, 1, arguments.time(), |_, _| translation("small")).await?;
    let other = url.clone();
    let loading = repeat(move || {
        let url = other.clone();
        async move {
            let answer = Client::new().post(url).json(&translation("large")).send().await;
            tokio::time::sleep(Duration::from_millis(1200)).await;
            answer.is_ok_and(|answer| answer.status().is_success())
        }
    });
    let busy = ask(&url, 1, arguments.time(), |_, _| translation("small")).await?;
    loading.abort();
    let loads = sidecar.loads()?.len().saturating_sub(1);
    let what = format!("one client's translations while a model of 300 MB is loaded {loads} times");
    Ok(vec![compared(&what, &busy, &quiet, ", 1.5 wanted")])
}

/// Does something again and again until it fails or is aborted.
fn repeat<Work, Doing>(work: Work) -> JoinHandle<()>
where
    Work: Fn() -> Doing + Send + 'static,
    Doing: Future<Output = bool> + Send,
{
    tokio::spawn(async move { while work().await {} })
}

/// Ten minutes of the recordings of real speech, as a WAVE file.
fn recording() -> Result<Vec<u8>, Failure> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("real-models/audio");
    let clip = std::fs::read(folder.join("ljspeech_1_8.wav"))?;
    // All of them are 16-bit mono with the shortest header.
    let samples = clip.get(44..).ok_or("the recording is empty")?;
    let bytes = (SAMPLE_RATE * 60 * MINUTES * 2) as usize;
    let data: Vec<u8> = samples.iter().copied().cycle().take(bytes).collect();
    let mut wav = Vec::with_capacity(44 + bytes);
    wav.extend(b"RIFF");
    wav.extend((36 + bytes as u32).to_le_bytes());
    wav.extend(b"WAVEfmt ");
    wav.extend(16_u32.to_le_bytes());
    wav.extend([1_u16, 1].map(u16::to_le_bytes).concat());
    wav.extend([SAMPLE_RATE, SAMPLE_RATE * 2].map(u32::to_le_bytes).concat());
    wav.extend([2_u16, 16].map(u16::to_le_bytes).concat());
    wav.extend(b"data");
    wav.extend((bytes as u32).to_le_bytes());
    wav.extend(data);
    Ok(wav)
}
