//! Who uses what, seen by every process on the cache: a lock of the kernel's (`flock`) that its users share, and that
//! whoever removes something takes alone and without waiting. It is free the moment its holder dies. The time of the
//! lock's file is the time of the last use.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{Timespec, Timestamps, UTIME_NOW};

use crate::error::ArtifactError;
use crate::publish;

/// How often a user looks whether whoever removes something is done.
const POLL: Duration = Duration::from_millis(10);

/// How long a removal may take: unlinking takes moments.
const PATIENCE: Duration = Duration::from_secs(60);

/// All may lock and note their use: pods with different users share a cache.
const MODE: u32 = 0o666;

/// What it stands for is in use and stays in the cache as long as this lives, whatever other processes do.
#[derive(Debug)]
pub struct InUse {
    file: File,
}

impl InUse {
    /// Takes a share of a lock, waiting while something is being removed. Call it on a blocking thread.
    ///
    /// # Errors
    /// `CacheLocked` where the other makes no end, and failures of the file.
    pub(crate) fn share(path: &Path) -> Result<Self, ArtifactError> {
        if let Some(folder) = path.parent() {
            publish::make_folder(folder)?;
        }
        let failed = |source| ArtifactError::of_storage("lock", path, source);
        let start = Instant::now();
        loop {
            let file = open(path).map_err(failed)?;
            match file.try_lock_shared() {
                // It may have been removed between opening and locking; then the lock locks nothing.
                Ok(()) if is_named(&file, path) => {
                    touch(&file);
                    return Ok(Self { file });
                }
                Ok(()) => continue,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            let waited = start.elapsed();
            if waited >= PATIENCE {
                return Err(ArtifactError::LockStalled { path: path.to_owned(), waited });
            }
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        touch(&self.file);
    }
}

/// Whether anybody holds a share now. It makes no file, and holds up nobody for longer than a moment.
pub(crate) fn is_in_use(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

/// Notes the present time on a file, made where it is missing.
pub(crate) fn mark(path: &Path) -> Result<(), ArtifactError> {
    if let Some(folder) = path.parent() {
        publish::make_folder(folder)?;
    }
    touch(&open(path).map_err(|source| ArtifactError::of_storage("mark", path, source))?);
    Ok(())
}

fn open(path: &Path) -> std::io::Result<File> {
    let opened = OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(MODE).open(path);
    match opened {
        // Another user's, or a cache that cannot be written to: reading is enough for a lock.
        Err(error) => File::open(path).map_err(|_| error),
        opened => opened,
    }
}

fn is_named(file: &File, path: &Path) -> bool {
    let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(held), Ok(named)) => identity(held) == identity(named),
        _ => false,
    }
}

/// Sets a file's time to now. Where that is not allowed, the file looks older than it is, and whatever it stands for
/// goes sooner.
fn touch(file: &File) {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let _ = rustix::fs::futimens(file, &Timestamps { last_access: now, last_modification: now });
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::lock;

    #[test]
    fn users_share_and_whoever_removes_is_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in-use").join("a");
        assert!(!is_in_use(&path) && !path.exists());
        let users = [InUse::share(&path).unwrap(), InUse::share(&path).unwrap()];
        assert!(is_in_use(&path));
        assert!(lock::try_lock(&path).unwrap().is_none());
        drop(users);
        assert!(!is_in_use(&path));
        let alone = lock::try_lock(&path).unwrap().unwrap();
        let waiting = std::thread::spawn({
            let path = path.clone();
            move || InUse::share(&path).unwrap()
        });
        std::thread::sleep(Duration::from_millis(30));
        // What is locked by a file that has gone is locked by nobody.
        std::fs::remove_file(&path).unwrap();
        drop(alone);
        let user = waiting.join().unwrap();
        assert!(path.exists() && is_in_use(&path));
        drop(user);
    }

    #[test]
    fn a_use_is_noted_when_it_begins_and_when_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let set = |path: &Path| {
            let file = File::options().write(true).open(path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        };
        let is_new = || {
            let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
            modified.elapsed().unwrap() < Duration::from_secs(60)
        };
        drop(InUse::share(&path).unwrap());
        set(&path);
        let user = InUse::share(&path).unwrap();
        assert!(is_new());
        set(&path);
        drop(user);
        assert!(is_new());
    }
}
