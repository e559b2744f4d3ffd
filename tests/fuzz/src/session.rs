//! What the child does: gives its target one input after the other, within limits.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::mutation::Mutator;
use crate::outcomes::Outcomes;
use crate::target::Target;

/// How long an input may take. Usual ones take a thousandth of it, and a busy machine must not be a fault.
const LONGEST: Duration = Duration::from_secs(10);
/// The most inputs that others are made of.
const MAX_ORIGINS: usize = 2_000;
/// The stack of the threads that the parsers run on, in bytes: that of tokio's.
pub(crate) const STACK: usize = 2 << 20;

/// How many inputs are made, and from which number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) seed: u64,
    /// As long as this is not over; else as many as the target says.
    pub(crate) time: Option<Duration>,
}

/// Takes from this process what a parser must not need.
pub(crate) fn confine(memory: u64) -> io::Result<()> {
    let status = fs::read_to_string("/proc/self/status")?;
    let used = status.lines().find_map(|line| line.strip_prefix("VmData:")?.trim().strip_suffix("kB"));
    let used: u64 =
        used.and_then(|used| used.trim().parse().ok()).ok_or_else(|| io::Error::other("no VmData"))?;
    for (resource, limit) in [(Resource::Data, used * 1024 + memory), (Resource::Core, 0)] {
        let maximum = getrlimit(resource).maximum;
        setrlimit(resource, Rlimit { current: Some(limit), maximum })?;
    }
    Ok(())
}

/// Runs a target over its corpus and over what is made of it. Each input is in the file `shown` while it is at work.
/// Gives what there is to tell.
///
/// # Panics
/// Where an input shows a fault.
pub(crate) fn run(target: &Target, corpus: Vec<Vec<u8>>, extent: Extent, shown: &Path) -> io::Result<String> {
    let shown = File::options().create(true).truncate(true).write(true).open(shown)?;
    let mut outcomes = Outcomes::default();
    let mut examine = |bytes: &[u8]| -> io::Result<bool> {
        shown.set_len(bytes.len() as u64)?;
        shown.write_all_at(bytes, 0)?;
        let started = Instant::now();
        let outcome = (target.check)(bytes);
        assert!(started.elapsed() < LONGEST, "it took {:?}", started.elapsed());
        Ok(outcomes.is_new(&outcome))
    };
    let mut origins = Vec::with_capacity(corpus.len());
    for bytes in corpus {
        examine(&bytes)?;
        // A file may be too long to make inputs of, and is examined as it is all the same.
        if bytes.len() <= target.longest {
            origins.push(bytes);
        }
    }
    let mut mutator = Mutator::new(extent.seed, target.tokens, target.longest);
    let (started, mut inputs) = (Instant::now(), 0);
    while extent.time.map_or(inputs < target.inputs, |time| started.elapsed() < time) {
        let mut input = mutator.input(&origins);
        if let Some(repair) = target.repair.filter(|_| mutator.happens(50)) {
            repair(&mut input);
        }
        let is_new = examine(&input)?;
        inputs += 1;
        if is_new && origins.len() < MAX_ORIGINS {
            origins.push(input);
        }
    }
    let (time, count) = (started.elapsed(), outcomes.count());
    Ok(format!("{}: {inputs} inputs in {time:.1?}, {count} different outcomes", target.corpus))
}
