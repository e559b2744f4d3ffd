//! Everybody takes turns.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::contender::{Anonymous, Contender, Measured, Model, Outcome, Program};
use crate::inputs::{self, Inputs};
use crate::memory::{self, Watch};
use crate::process::{Process, ProcessError, Programs};
use crate::protocol::{Reply, Request};
use crate::rows::{Row, Task};
use crate::shapes::{SENTENCE_TOKENS, WINDOW_TOKENS};

/// Between two turns: the threads of some peers spin for a while (Intel's OpenMP for 0.2 s) after their work is done,
/// and would take the processor from whoever comes next.
const PAUSE: Duration = Duration::from_millis(300);
/// After loading and one piece of work, until memory is looked at.
const SETTLING: Duration = Duration::from_millis(500);

/// Where models and programs are, and what everybody works on.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The prepared models.
    pub models: PathBuf,
    /// The peers that did not install, each a file that says why.
    pub missing: PathBuf,
    /// The programs.
    pub programs: Programs,
    /// The inputs.
    pub inputs: Inputs,
    /// Where packed weights are kept.
    pub packed: PathBuf,
}

/// One contender that loaded its model, and what it has done.
struct Running {
    process: Process,
    engine: String,
    seconds: Vec<f64>,
    last: Reply,
    load: Request,
    watched: Option<Watched>,
    memory: Option<Anonymous>,
}

/// Anonymous bytes of a process while it loaded.
#[derive(Clone, Copy)]
struct Watched {
    before: u64,
    most: u64,
}

/// Measures a row, `repetitions` times in turn after a turn that does not count. Whoever cannot do it drops out, and
/// the outcome says why.
#[must_use]
pub fn row(setting: &Setting, row: &Row, repetitions: usize) -> Vec<Outcome> {
    let started: Vec<Result<Running, ProcessError>> =
        row.contenders.iter().map(|contender| start(setting, row, contender)).collect();
    let repetitions = if row.task == Task::Memory { 0 } else { repetitions };
    let mut running = started;
    for counts in std::iter::once(false).chain(std::iter::repeat_n(true, repetitions)) {
        for (contender, running) in row.contenders.iter().zip(&mut running) {
            let Ok(contestant) = running else { continue };
            thread::sleep(PAUSE);
            match turn(setting, row, contender, contestant) {
                Ok(reply) if counts => {
                    contestant.seconds.push(reply.seconds);
                    contestant.last = reply;
                }
                Ok(reply) => contestant.last = reply,
                Err(error) => *running = Err(error),
            }
        }
    }
    running
        .into_iter()
        .zip(&row.contenders)
        .map(|(running, contender)| outcome(setting, running, contender))
        .collect()
}

fn start(setting: &Setting, row: &Row, contender: &Contender) -> Result<Running, ProcessError> {
    let mut process = Process::start(&setting.programs, contender)?;
    let load = Request::Load {
        folder: folder(&setting.models, contender.model),
        dtype: contender.dtype.to_owned(),
        threads: contender.threads,
        workers: contender.workers,
        instructions: contender.instructions.map(str::to_owned),
        packed: contender.packed.then(|| setting.packed.clone()),
    };
    if row.task != Task::Memory {
        let engine = process.ask(&load)?.engine;
        return Ok(Running::new(process, engine, load, None));
    }
    // A question that nobody can answer: whatever is needed to answer any has been imported when it is answered.
    let nothing = Request::Window { samples: PathBuf::new(), tokens: 0 };
    let _ = process.ask(&nothing);
    let before = memory::anonymous(process.id());
    let watch = Watch::start(process.id());
    let loaded = process.ask(&load);
    let watched = Watched { before, most: watch.most() };
    let engine = loaded?.engine;
    Ok(Running::new(process, engine, load, Some(watched)))
}

impl Running {
    fn new(process: Process, engine: String, load: Request, watched: Option<Watched>) -> Self {
        Self { process, engine, seconds: Vec::new(), last: Reply::default(), load, watched, memory: None }
    }
}

fn turn(
    setting: &Setting,
    row: &Row,
    contender: &Contender,
    running: &mut Running,
) -> Result<Reply, ProcessError> {
    let inputs = &setting.inputs;
    let translate = |texts, beams| Request::Translate {
        texts: inputs::sentences(texts),
        tokens: SENTENCE_TOKENS,
        beams,
        batch: contender.batch,
    };
    let window = || Request::Window { samples: inputs.window.clone(), tokens: WINDOW_TOKENS };
    let is_translation =
        matches!(contender.model, Model::Marian | Model::Ctranslate2Marian | Model::Ctranslate2MarianInt8);
    let request = match row.task {
        Task::Load => running.load.clone(),
        Task::Window => window(),
        Task::Recording => Request::Recording { samples: inputs.recording.clone(), batch: contender.batch },
        Task::Translate { texts, beams } => translate(texts, beams),
        Task::Memory if is_translation => translate(1, 1),
        Task::Memory => window(),
    };
    let reply = running.process.ask(&request)?;
    if let Some(Watched { before, most }) = running.watched {
        thread::sleep(SETTLING);
        let steady = memory::anonymous(running.process.id()).saturating_sub(before);
        running.memory = Some(Anonymous { peak: most.saturating_sub(before), steady });
    }
    Ok(reply)
}

fn outcome(setting: &Setting, running: Result<Running, ProcessError>, contender: &Contender) -> Outcome {
    match running {
        Ok(running) => Outcome::Measured(Measured {
            engine: running.engine,
            seconds: running.seconds,
            texts: running.last.texts,
            tokens: running.last.tokens,
            memory: running.memory,
        }),
        Err(error) => {
            Outcome::Absent(why_missing(&setting.missing, contender).unwrap_or_else(|| error.to_string()))
        }
    }
}

/// Why a contender's package did not install, where that is why it cannot take part.
fn why_missing(missing: &Path, contender: &Contender) -> Option<String> {
    let package = match contender.program {
        Program::Ostler => return None,
        Program::Ctranslate2Whisper | Program::Ctranslate2Marian => "ctranslate2",
        Program::FasterWhisper => "faster-whisper",
        Program::TorchWhisper => "torch",
        Program::WhisperCpp => "whisper-cpp",
    };
    let reason = std::fs::read_to_string(missing.join(package)).ok()?;
    Some(format!("it did not install: {}", reason.trim()))
}

fn folder(models: &Path, model: Model) -> PathBuf {
    models.join(match model {
        Model::WhisperBase => "whisper-base",
        Model::WhisperBaseFixed => "whisper-base-fixed",
        Model::Marian => "marian",
        Model::Ctranslate2Whisper => "ctranslate2-whisper",
        Model::Ctranslate2WhisperInt8 => "ctranslate2-whisper-int8",
        Model::Ctranslate2Marian => "ctranslate2-marian",
        Model::Ctranslate2MarianInt8 => "ctranslate2-marian-int8",
        Model::WhisperCpp8Bit => "whisper-cpp-8bit.bin",
    })
}
