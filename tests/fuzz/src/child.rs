//! Runs a target in a process of its own: the test program once more, with the one test alone.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::corpus;
use crate::error::FuzzError;
use crate::session::{self, Extent, STACK};
use crate::target::{Place, Target};

/// Says to the child that it is one, and where it shows its input.
const SHOWN: &str = "OSTLER_FUZZ_SHOWN";
/// How long a child may take beyond what it was asked for.
const PATIENCE: Duration = Duration::from_secs(120);
/// What is told at most of what a child wrote, in bytes.
const MAX_OUTPUT: usize = 4 << 10;

/// Runs a target, and gives what there is to tell. In the child it runs the inputs, and so panics where one shows a
/// fault.
///
/// # Errors
/// See [`FuzzError`].
pub fn supervise(target: &Target, place: &Place) -> Result<String, FuzzError> {
    let variable = |name: &str| std::env::var(name).ok();
    let number = |name: &str| variable(name)?.parse::<u64>().ok();
    let time = number("OSTLER_FUZZ_SECONDS").map(Duration::from_secs);
    let seed = number("OSTLER_FUZZ_SEED").unwrap_or_else(|| if time.is_some() { rand::random() } else { 0 });
    if let Some(shown) = variable(SHOWN) {
        let corpus = corpus::read(target, place)?;
        return in_child(target, corpus, Extent { seed, time }, PathBuf::from(shown));
    }
    corpus::check_seeds(target, place, variable("OSTLER_FUZZ_WRITE").is_some())?;
    run_child(target, place, time.unwrap_or_default() + PATIENCE)
}

fn in_child(
    target: &Target,
    corpus: Vec<Vec<u8>>,
    extent: Extent,
    shown: PathBuf,
) -> Result<String, FuzzError> {
    let target = *target;
    let work = move || {
        session::confine(target.memory)?;
        session::run(&target, corpus, extent, &shown)
    };
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(work).map_err(FuzzError::Child)?;
    match thread.join() {
        Ok(outcome) => outcome.map_err(FuzzError::Child),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn run_child(target: &Target, place: &Place, patience: Duration) -> Result<String, FuzzError> {
    let folder = tempfile::tempdir().map_err(FuzzError::Child)?;
    let (shown, output) = (folder.path().join("input"), folder.path().join("output"));
    let written = File::create(&output).map_err(FuzzError::Child)?;
    let mut command = Command::new(std::env::current_exe().map_err(FuzzError::Child)?);
    command.args([place.test.as_str(), "--exact", "--nocapture", "--test-threads=1"]).env(SHOWN, &shown);
    let errors = written.try_clone().map_err(FuzzError::Child)?;
    command.stdin(Stdio::null()).stdout(written).stderr(errors);
    let status = wait(command, patience).map_err(FuzzError::Child)?;
    let written = fs::read(&output).map_err(|source| FuzzError::file(&output, source))?;
    let report = String::from_utf8_lossy(&written);
    // Where the test's name is wrong, the child runs nothing and is content. The test's name may stand on the same line.
    let start = format!("{}: ", target.corpus);
    let told = report.lines().find_map(|line| line.find(&start).and_then(|place| line.get(place..)));
    if let (Some(told), Some(true)) = (told, status.map(|status| status.success())) {
        return Ok(told.to_owned());
    }
    let end = match status {
        Some(status) => format!("{} ended with {status}", place.test),
        None => format!("{} did not end within {} s", place.test, patience.as_secs()),
    };
    let tail = written.len().saturating_sub(MAX_OUTPUT);
    let output = String::from_utf8_lossy(&written[tail..]).into_owned();
    Err(FuzzError::Fault { end, input: kept(&shown, target.corpus)?, corpus: target.corpus, output })
}

/// Waits for a child. Gives nothing where it had to be killed.
fn wait(mut command: Command, patience: Duration) -> io::Result<Option<ExitStatus>> {
    let mut child = command.spawn()?;
    let started = Instant::now();
    while started.elapsed() < patience {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

/// Copies an input to where it outlives the test, under a name that follows from its contents.
fn kept(shown: &Path, corpus: &str) -> Result<PathBuf, FuzzError> {
    let bytes = fs::read(shown).unwrap_or_default();
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    let folder = std::env::temp_dir().join("ostler-fuzz").join(corpus);
    let path = folder.join(format!("{:016x}", hasher.finish()));
    let written = fs::create_dir_all(&folder).and_then(|()| fs::write(&path, bytes));
    written.map_err(|source| FuzzError::file(&path, source))?;
    Ok(path)
}
