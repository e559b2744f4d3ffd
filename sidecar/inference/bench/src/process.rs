//! A contender's process: questions in, answers out, its end when it is dropped.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::contender::{Contender, Program};
use crate::protocol::{Reply, Request};

/// The longest that a contender may take for one answer.
const PATIENCE: Duration = Duration::from_secs(300);

/// Why a contender gives no answer.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// Its process does not start.
    #[error("it does not start")]
    Start(#[source] io::Error),
    /// Its process ended; what it wrote last.
    #[error("it ended: {0}")]
    Ended(String),
    /// It takes too long.
    #[error("no answer within {} s", PATIENCE.as_secs())]
    TooSlow,
    /// Its answer is none.
    #[error("its answer is not one line of JSON")]
    Malformed(#[source] serde_json::Error),
    /// It says that it cannot.
    #[error("{0}")]
    Refused(String),
}

/// Where the programs of the contenders lie.
#[derive(Debug, Clone)]
pub struct Programs {
    /// This program.
    pub own: PathBuf,
    /// Python, in the peers' virtual environment.
    pub python: PathBuf,
    /// The peers' scripts.
    pub scripts: PathBuf,
    /// Where what they print as errors is kept for the while.
    pub logs: PathBuf,
}

/// A contender at work.
pub struct Process {
    child: Child,
    input: ChildStdin,
    answers: Receiver<io::Result<String>>,
    log: PathBuf,
}

fn script(program: Program) -> Option<&'static str> {
    match program {
        Program::Ostler => None,
        Program::Ctranslate2Whisper => Some("ctranslate2_whisper.py"),
        Program::Ctranslate2Marian => Some("ctranslate2_marian.py"),
        Program::FasterWhisper => Some("faster_whisper_batched.py"),
        Program::TorchWhisper => Some("torch_whisper.py"),
        Program::WhisperCpp => Some("whisper_cpp.py"),
    }
}

impl Process {
    /// Starts a contender.
    ///
    /// # Errors
    /// [`ProcessError::Start`].
    pub fn start(programs: &Programs, contender: &Contender) -> Result<Self, ProcessError> {
        let mut command = match script(contender.program) {
            None => {
                let mut own = Command::new(&programs.own);
                own.arg("worker");
                own
            }
            Some(script) => {
                let mut python = Command::new(&programs.python);
                python.arg(programs.scripts.join(script)).env("PYTHONDONTWRITEBYTECODE", "1");
                python
            }
        };
        command.env("OMP_NUM_THREADS", contender.threads.to_string());
        command.env("RAYON_NUM_THREADS", contender.threads.to_string());
        if contender.instructions == Some("avx2") {
            // CTranslate2's own kernels, and those of the library under it.
            command.env("CT2_FORCE_CPU_ISA", "AVX2").env("ONEDNN_MAX_CPU_ISA", "AVX2");
        }
        let log = programs.logs.join("errors");
        let errors = File::create(&log).map_err(ProcessError::Start)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors);
        let mut child = command.spawn().map_err(ProcessError::Start)?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(ProcessError::Start(io::Error::other("its streams are not there")));
        };
        let (sender, answers) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, input, answers, log })
    }

    /// The number of its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// See [`ProcessError`].
    pub fn ask(&mut self, request: &Request) -> Result<Reply, ProcessError> {
        let mut line = serde_json::to_string(request).map_err(ProcessError::Malformed)?;
        line.push('\n');
        let sent = self.input.write_all(line.as_bytes()).and_then(|()| self.input.flush());
        if sent.is_err() {
            return Err(ProcessError::Ended(last_line(&self.log)));
        }
        let line = match self.answers.recv_timeout(PATIENCE) {
            Ok(Ok(line)) => line,
            Err(RecvTimeoutError::Timeout) => return Err(ProcessError::TooSlow),
            Ok(Err(_)) | Err(RecvTimeoutError::Disconnected) => {
                return Err(ProcessError::Ended(last_line(&self.log)));
            }
        };
        let reply: Reply = serde_json::from_str(&line).map_err(ProcessError::Malformed)?;
        match reply.error {
            Some(error) => Err(ProcessError::Refused(error)),
            None => Ok(reply),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only where the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn last_line(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing").to_owned()
}
