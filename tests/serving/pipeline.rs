//! What a pipeline's two models take of memory and time: the real whisper-base, and a translation model of the size of
//! an opus-mt pair.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use ostler_test_hub::models;
use ostler_tests::machine::Memory;
use reqwest::Client;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::Failure;
use crate::arguments::Arguments;
use crate::clients::translation;
use crate::row::Row;
use crate::sidecar::Sidecar;

/// Layers that make the file as large as that of an opus-mt pair is in 16 bits.
const LAYERS: usize = 10;
/// What the weights of both, one job and the program must fit into.
const HOST: &str = "2G";
/// Bounds in megabytes: of speech alone, of translation alone, of both.
const BOUNDS: [f64; 3] = [1000.0, 500.0, 2000.0];
/// The longest that a first answer may take when nothing is in memory, and a load when the files are, in seconds.
const COLD: f64 = 60.0;
const WARM: f64 = 1.0;

/// A model and what it is asked.
#[derive(Clone)]
enum Work {
    Speech { folder: PathBuf, clip: Vec<u8> },
    Translation { folder: PathBuf },
}

impl Work {
    fn folder(&self) -> &Path {
        match self {
            Self::Speech { folder, .. } | Self::Translation { folder } => folder,
        }
    }

    fn model(&self) -> Value {
        let (name, task) = match self {
            Self::Speech { .. } => ("whisper", "automatic-speech-recognition"),
            Self::Translation { .. } => ("pair", "translation"),
        };
        let source = format!("file://{}", self.folder().display());
        json!({"name": name, "task": task, "versions": [{"name": "v1", "storageUri": source}]})
    }

    async fn ask(&self, sidecar: &Sidecar) -> Result<(), Failure> {
        let request = match self {
            Self::Speech { clip, .. } => {
                let part = Part::bytes(clip.clone()).file_name("speech.wav");
                let form = Form::new().text("model", "whisper").part("file", part);
                Client::new().post(sidecar.url("/v1/audio/transcriptions")).multipart(form)
            }
            Self::Translation { .. } => {
                Client::new().post(sidecar.url("/translate")).json(&translation("pair"))
            }
        };
        request.send().await?.error_for_status()?;
        Ok(())
    }
}

/// What was seen of a sidecar with some models.
struct Seen {
    memory: Memory,
    /// The slowest first answer, in seconds, with the load.
    first: f64,
    /// The slowest load, in seconds.
    load: f64,
}

pub(crate) async fn measure(arguments: &Arguments, scratch: &Path) -> Result<Vec<Row>, Failure> {
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("real-models/audio/jfk.wav");
    let speech = Work::Speech { folder: arguments.whisper_base()?, clip: std::fs::read(clip)? };
    let pair = Work::Translation { folder: models::write(&scratch.join("pair"), LAYERS)? };
    let mut rows = Vec::new();
    for (works, name, bound) in [
        (vec![speech.clone()], "whisper-base, 11 s of speech", BOUNDS[0]),
        (vec![pair.clone()], "a translation model of 147 MB, one sentence", BOUNDS[1]),
        (vec![speech, pair], "both", BOUNDS[2]),
    ] {
        // Where packed weights were kept before, this is the first load no longer.
        let folder = scratch.join(format!("pipeline-{}", rows.len()));
        std::fs::create_dir(&folder)?;
        works.iter().try_for_each(|work| forget(work.folder()))?;
        let cold = see(arguments, &folder, &works).await?;
        let warm = see(arguments, &folder, &works).await?;
        rows.push(Row {
            what: format!("memory and loads of {name}"),
            measured: format!(
                "resident {:.0} MB, at most {:.0}; first answer {:.2} s from the disk; load {:.3} s from memory",
                cold.memory.resident, cold.memory.peak, cold.first, warm.load
            ),
            beside: format!(
                "at most {bound:.0} MB{}; {COLD:.0} s{}; {WARM:.0} s{}",
                verdict(cold.memory.peak <= bound),
                verdict(cold.first <= COLD),
                verdict(warm.load <= WARM),
            ),
        });
    }
    Ok(rows)
}

fn verdict(is_met: bool) -> &'static str {
    if is_met { "" } else { " **not met**" }
}

/// Asks each model once, in a process of its own.
async fn see(arguments: &Arguments, folder: &Path, works: &[Work]) -> Result<Seen, Failure> {
    let models = works.iter().map(Work::model).collect();
    let sidecar = Sidecar::start(arguments, folder, models, HOST, None).await?;
    let mut first: f64 = 0.0;
    for work in works {
        let asked = Instant::now();
        work.ask(&sidecar).await?;
        first = first.max(asked.elapsed().as_secs_f64());
    }
    let load = sidecar.loads()?.into_iter().fold(0.0, f64::max) / 1e3;
    Ok(Seen { memory: sidecar.memory()?, first, load })
}

/// Has the kernel forget a folder's files, so that they are read from the disk.
fn forget(folder: &Path) -> Result<(), Failure> {
    for file in std::fs::read_dir(folder)? {
        let path = file?.path();
        if path.is_file() {
            let mut input = std::ffi::OsString::from("if=");
            input.push(&path);
            let done = Command::new("dd").arg(input).args(["iflag=nocache", "count=0"]).output()?;
            if !done.status.success() {
                return Err(format!("dd: {}", String::from_utf8_lossy(&done.stderr)).into());
            }
        }
    }
    Ok(())
}
