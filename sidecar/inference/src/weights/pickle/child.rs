//! What runs in the child process: confine itself, convert, report in one line.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};

use super::convert::{ConvertError, convert};

/// What the child's line on its standard output begins with.
pub(super) const REPORT_PREFIX: &str = "ostler-unpickle: ";

/// The address space of the child, in bytes: its own program and a few buffers.
const ADDRESS_SPACE_BYTES: u64 = 2 << 30;
/// The processor time of the child, in seconds.
const PROCESSOR_SECONDS: u64 = 600;
/// What the converted file may have beyond its source, in bytes: its header.
const EXTRA_FILE_BYTES: u64 = 64 << 20;
/// The files that the child may have open.
const OPEN_FILES: u64 = 32;
/// Whom the kernel ends first when memory runs out: the greatest number, whatever others take.
const FIRST_TO_GO: &str = "1000";

/// The most characters of a message. It may repeat names of the file, and the parent reads the report when the child has
/// ended: what does not fit into a pipe would never be written.
const MAX_MESSAGE_CHARACTERS: usize = 1_000;

/// How a conversion went.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "result", content = "message")]
pub(super) enum Report {
    Converted,
    Unsafe(String),
    Corrupted(String),
    Failed(String),
}

/// Converts `input` into `output` in a process that is made for it, after giving up what it does not need:
/// new privileges, memory, processor time, files, and its life when memory runs out. Every failure is told on the
/// standard output, as the parent reads it (see [`super::PicklePolicy::Child`]).
#[must_use]
pub fn run_child(input: &Path, output: &Path) -> ExitCode {
    let report = match confine(input) {
        Err(error) => Report::Failed(format!("the converter cannot confine itself: {error}")),
        Ok(()) => match convert(input, output) {
            Ok(()) => Report::Converted,
            Err(error @ ConvertError::Unsafe(_)) => Report::Unsafe(bounded(&error)),
            Err(error @ ConvertError::Corrupted(_)) => Report::Corrupted(bounded(&error)),
            Err(error @ ConvertError::Write(_)) => Report::Failed(bounded(&error)),
        },
    };
    let line = serde_json::to_string(&report).unwrap_or_default();
    let is_told = writeln!(std::io::stdout(), "{REPORT_PREFIX}{line}").is_ok();
    if is_told && matches!(report, Report::Converted) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn bounded(error: &ConvertError) -> String {
    error.to_string().chars().take(MAX_MESSAGE_CHARACTERS).collect()
}

fn confine(input: &Path) -> std::io::Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    // The server, which may take far more, is not to go in its place. A kernel without such a file chooses by itself.
    let _ = std::fs::write("/proc/self/oom_score_adj", FIRST_TO_GO);
    let file_bytes = std::fs::metadata(input)?.len().saturating_add(EXTRA_FILE_BYTES);
    let limits = [
        (Resource::As, ADDRESS_SPACE_BYTES),
        (Resource::Cpu, PROCESSOR_SECONDS),
        (Resource::Fsize, file_bytes),
        (Resource::Nofile, OPEN_FILES),
        (Resource::Core, 0),
    ];
    for (resource, limit) in limits {
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })?;
    }
    Ok(())
}
