//! Weights that lie in a pickle (`pytorch_model.bin`), made safe.
//!
//! A pickle is a program. It is interpreted by a machine that only builds tensors, in a child process with
//! narrow limits that writes a safetensors file and ends. That file is read like any other, with every check,
//! and kept, so that a pickle is converted once.

mod archive;
mod child;
mod convert;
mod machine;
mod reader;
mod value;

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

pub use child::run_child;
pub use convert::{ConvertError, convert};

use crate::error::LoadError;

/// Raised where the converter's output changes, so that older converted files are left alone.
const CONVERTER_VERSION: u32 = 1;

/// What happens with weights in a pickle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PicklePolicy {
    /// They are refused.
    Refused,
    /// They are converted in a child process.
    Child {
        /// A program whose `arguments`, followed by the pickle and the file to write, make it call
        /// [`run_child`].
        program: PathBuf,
        /// What comes before the two paths.
        arguments: Vec<OsString>,
        /// Where converted files are kept. It must hold a second copy of the weights.
        scratch_folder: PathBuf,
    },
}

/// The path of the safetensors file that a pickle, in messages `name`, was converted into, now or earlier.
pub(super) fn converted(pickle: &Path, name: &str, policy: &PicklePolicy) -> Result<PathBuf, LoadError> {
    let PicklePolicy::Child { program, arguments, scratch_folder } = policy else {
        let message = "pickles are turned off here, and there are no safetensors beside it".to_owned();
        return Err(LoadError::Unsafe { file: name.to_owned(), message });
    };
    let io = |source| LoadError::io(name, source);
    std::fs::create_dir_all(scratch_folder).map_err(io)?;
    // The child runs elsewhere, so its paths are absolute.
    let scratch_folder = &scratch_folder.canonicalize().map_err(io)?;
    let pickle = &pickle.canonicalize().map_err(io)?;
    let identity = identity(pickle).map_err(io)?;
    let target = scratch_folder.join(format!("{identity}.safetensors"));
    if target.exists() {
        return Ok(target);
    }
    // The child writes under a name of its own; the final name only ever holds a whole file.
    let folder = tempfile::Builder::new().prefix(".unpickle-").tempdir_in(scratch_folder).map_err(io)?;
    let partial = folder.path().join("converted");
    let length = std::fs::metadata(pickle).map_err(io)?.len();
    let deadline = Duration::from_secs(60 + length / MINIMUM_BYTES_PER_SECOND);
    let mut command = Command::new(program);
    command.args(arguments).arg(pickle).arg(&partial);
    let report = run(command, deadline).map_err(|message| unsafe_file(name, &message))?;
    match report {
        child::Report::Converted => {}
        child::Report::Unsafe(message) => return Err(unsafe_file(name, &message)),
        child::Report::Corrupted(message) => return Err(LoadError::corrupted(name, message)),
        child::Report::Failed(message) => return Err(io(std::io::Error::other(message))),
    }
    std::fs::rename(&partial, &target).map_err(io)?;
    std::fs::File::open(scratch_folder).and_then(|folder| folder.sync_all()).map_err(io)?;
    Ok(target)
}

/// A conversion slower than this is stuck.
const MINIMUM_BYTES_PER_SECOND: u64 = 4 << 20;

fn unsafe_file(name: &str, message: &str) -> LoadError {
    LoadError::Unsafe { file: name.to_owned(), message: message.to_owned() }
}

/// Which file this is, without reading it: its real path (in the Hub's cache layout that is its digest), its
/// place on the device, size and time of change.
fn identity(path: &Path) -> std::io::Result<String> {
    let metadata = path.metadata()?;
    let numbers = [
        u64::from(CONVERTER_VERSION),
        metadata.dev(),
        metadata.ino(),
        metadata.size(),
        metadata.mtime() as u64,
        metadata.mtime_nsec() as u64,
    ];
    let mut hash = Sha256::new();
    hash.update(path.as_os_str().as_encoded_bytes());
    for number in numbers {
        hash.update(number.to_le_bytes());
    }
    Ok(hex::encode(hash.finalize()))
}

/// Runs the child with nothing of ours but the two paths, and reads its report.
fn run(mut command: Command, deadline: Duration) -> Result<child::Report, String> {
    command.env_clear().current_dir("/").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| format!("the converter does not start: {error}"))?;
    let status = wait(&mut child, deadline);
    // The child has ended, and a report is far smaller than a pipe's buffer, so this reads without waiting.
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout
            .take(MAX_REPORT_BYTES)
            .read_to_end(&mut output)
            .map_err(|error| format!("the converter's report cannot be read: {error}"))?;
    }
    let status = status?;
    let output = String::from_utf8_lossy(&output);
    output
        .lines()
        .find_map(|line| line.split_once(child::REPORT_PREFIX))
        .and_then(|(_, report)| serde_json::from_str(report).ok())
        .ok_or_else(|| format!("the converter did not survive it ({status})"))
}

/// The longest output of a child that is read, in bytes.
const MAX_REPORT_BYTES: u64 = 32 << 10;

fn wait(child: &mut Child, deadline: Duration) -> Result<std::process::ExitStatus, String> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if start.elapsed() < deadline => std::thread::sleep(pause),
            outcome => {
                // Killing fails only where it has ended by now; waiting leaves no zombie.
                let _ = child.kill();
                let _ = child.wait();
                return Err(match outcome {
                    Err(error) => format!("the converter cannot be waited for: {error}"),
                    Ok(_) => format!("the converter did not finish in {} s", deadline.as_secs()),
                });
            }
        }
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests;
