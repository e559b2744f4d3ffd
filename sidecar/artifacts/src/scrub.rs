//! Verifies in full, slowly and in the background, what lies in the cache for long: a disk that rots gives no sign, and
//! the fast checksum of a load was noted by the same machine.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::Advice;

use crate::blob::Blob;
use crate::cache::Cache;
use crate::digest::{BUFFER_BYTES, BlobHasher};
use crate::error::ArtifactError;
use crate::events::{CacheEvent, FoundBy};
use crate::in_use;
use crate::inventory::{entries, modified};
use crate::layout::{self, Layout};
use crate::lock;
use crate::priority::work_behind_everybody;
use crate::scrub_pace::{Next, ScrubPolicy, next, rest};
use crate::verified::Stamp;

/// How often a scrub looks whether it may go on.
const PAUSE: Duration = Duration::from_millis(500);

/// A scrub in the background, on a thread of its own. It ends when this is dropped.
#[derive(Debug)]
pub struct Scrub {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Scrub {
    /// Starts it. It rests while `is_quiet` says that others have work to do.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(
        cache: Cache,
        policy: ScrubPolicy,
        is_quiet: impl Fn() -> bool + Send + 'static,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let work = move || {
            work_behind_everybody();
            let worker = Worker { cache, policy, is_quiet: &is_quiet, stopped, done: HashMap::new() };
            worker.run();
        };
        let thread = std::thread::Builder::new().name("scrub".to_owned()).spawn(work)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Scrub {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It stops before it reads on; a panic of it is its own.
            let _ = thread.join();
        }
    }
}

/// The end of the process was asked for.
struct Stopped;

struct Worker<'a> {
    cache: Cache,
    policy: ScrubPolicy,
    is_quiet: &'a (dyn Fn() -> bool + Send),
    stopped: Receiver<()>,
    /// What was looked at in vain, or could not be noted.
    done: HashMap<PathBuf, SystemTime>,
}

/// One file to look at.
struct Candidate {
    layout: Layout,
    blob: Blob,
}

/// What a file turned out to be.
enum Verdict {
    Right,
    Wrong,
    /// It was replaced or removed meanwhile.
    Changed,
}

impl Worker<'_> {
    fn run(mut self) {
        let mut wait = self.policy.first_wait;
        while self.sleep(wait).is_ok() {
            match self.round() {
                Ok(next_wait) => wait = next_wait,
                Err(Stopped) => return,
            }
        }
    }

    /// Looks at everything that is due, unless another process is at it. Gives the time until the next look.
    fn round(&mut self) -> Result<Duration, Stopped> {
        let Ok(Some(_alone)) = lock::try_lock(&layout::scrubbing(self.cache.root())) else {
            return Ok(self.policy.longest_wait);
        };
        loop {
            let candidates = self.candidates();
            let verified_at: Vec<SystemTime> =
                candidates.iter().map(|(verified_at, _)| *verified_at).collect();
            match next(&verified_at, SystemTime::now(), &self.policy) {
                Next::Wait(wait) => return Ok(wait),
                Next::Due(place) => {
                    if let Some((_, candidate)) = candidates.get(place) {
                        self.scrub(candidate)?;
                    }
                }
            }
        }
    }

    /// Everything that has a note, with the time of its last full verification.
    fn candidates(&self) -> Vec<(SystemTime, Candidate)> {
        let mut found = Vec::new();
        for entry in entries(self.cache.root()) {
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| Layout::is_repository(name)) else { continue };
            let layout = Layout::of_folder(self.cache.root(), name);
            for entry in entries(&layout.blobs()) {
                let size = entry.metadata().map_or(0, |metadata| metadata.len());
                let name = entry.file_name();
                let Some(blob) = name.to_str().and_then(|name| Blob::named(name, size)) else { continue };
                let noted = modified(&layout.record(&blob));
                let done = self.done.get(&layout.blob(&blob)).copied();
                if let Some(noted) = noted {
                    found
                        .push((noted.max(done.unwrap_or(noted)), Candidate { layout: layout.clone(), blob }));
                }
            }
        }
        found
    }

    fn scrub(&mut self, candidate: &Candidate) -> Result<(), Stopped> {
        let Candidate { layout, blob } = candidate;
        let path = layout.blob(blob);
        let stamp = Stamp::of(&path);
        self.done.insert(path.clone(), SystemTime::now());
        let mut verdict = self.look(blob, &path, stamp)?;
        if matches!(verdict, Ok(Verdict::Wrong)) {
            // What was read wrongly once may have been right on the disk.
            verdict = self.look(blob, &path, stamp)?;
        }
        let outcome = match verdict {
            Ok(Verdict::Changed) => Ok(()),
            Ok(Verdict::Wrong) => self.cache.remove_damaged(layout, blob.name(), stamp, FoundBy::Scrub),
            Ok(Verdict::Right) => {
                self.cache.tell(&CacheEvent::Scrubbed(blob.size()));
                in_use::mark(&layout.record(blob))
            }
            Err(source) => Err(ArtifactError::of_storage("scrub", &path, source)),
        };
        if let Err(error) = outcome {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, repository = layout.display_name(), "the scrub of a file failed");
        }
        Ok(())
    }

    /// Reads a file at its pace.
    fn look(
        &self,
        blob: &Blob,
        path: &Path,
        stamp: Option<Stamp>,
    ) -> Result<std::io::Result<Verdict>, Stopped> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Ok(Verdict::Changed)),
            Err(error) => return Ok(Err(error)),
        };
        // What is in memory says nothing of the disk. Where it cannot be let go, that is looked at.
        let _ = rustix::fs::fadvise(&file, 0, None, Advice::DontNeed);
        let mut hasher = BlobHasher::new(blob);
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            while !(self.is_quiet)() {
                self.sleep(PAUSE)?;
            }
            let start = Instant::now();
            let read = match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Ok(Err(error)),
            };
            hasher.update(&buffer[..read]);
            self.sleep(rest(read as u64, start.elapsed(), self.policy.bytes_per_second))?;
        }
        let is_right = hasher.finish().digest == blob.name();
        let is_same = stamp.is_some() && Stamp::of(path) == stamp;
        Ok(Ok(match (is_same, is_right) {
            (false, _) => Verdict::Changed,
            (true, true) => Verdict::Right,
            (true, false) => Verdict::Wrong,
        }))
    }

    fn sleep(&self, time: Duration) -> Result<(), Stopped> {
        match self.stopped.recv_timeout(time) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => Err(Stopped),
        }
    }
}
