//! One process at a time works on a blob. The lock is the kernel's (`flock`), so it is free the moment its holder
//! dies, and it is the very file that `huggingface_hub` locks.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::blocking;
use crate::error::ArtifactError;
use crate::publish;

/// A held lock; dropping it frees it.
#[derive(Debug)]
pub(crate) struct LockGuard {
    _file: File,
}

/// Takes a lock, waiting for another holder; `watched` grows while that one is at work, and `waiting` is told its
/// length.
///
/// # Errors
/// `LockStalled` where the holder makes no progress for `patience`, and failures of the lock file.
pub(crate) async fn acquire(
    path: PathBuf,
    watched: PathBuf,
    poll: Duration,
    patience: Duration,
    waiting: impl Fn(u64),
) -> Result<LockGuard, ArtifactError> {
    let mut last_length = 0;
    let mut last_change = Instant::now();
    loop {
        let (lock_path, watched) = (path.clone(), watched.clone());
        let (lock, length) = blocking::run(move |_| {
            let lock = try_lock(&lock_path)?;
            Ok((lock, std::fs::metadata(watched).map_or(0, |metadata| metadata.len())))
        })
        .await?;
        if let Some(lock) = lock {
            return Ok(lock);
        }
        if length != last_length {
            (last_length, last_change) = (length, Instant::now());
        }
        // Between its last byte and the end of its holder's work the file has its final name already.
        if length > 0 {
            waiting(length);
        }
        let waited = last_change.elapsed();
        if waited >= patience {
            return Err(ArtifactError::LockStalled { path, waited });
        }
        tokio::time::sleep(poll).await;
    }
}

/// Takes a lock if it is free.
pub(crate) fn try_lock(path: &Path) -> Result<Option<LockGuard>, ArtifactError> {
    if let Some(folder) = path.parent() {
        publish::make_folder(folder)?;
    }
    let failed = |source| ArtifactError::of_storage("lock", path, source);
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    // Another program may have removed the file between opening and locking; then the lock locks nothing.
    let held = file.metadata().map_err(failed)?;
    let is_same =
        std::fs::metadata(path).is_ok_and(|named| (named.dev(), named.ino()) == (held.dev(), held.ino()));
    Ok(is_same.then_some(LockGuard { _file: file }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_has_one_holder_and_is_free_when_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("locks").join("a.lock");
        let held = try_lock(&path).unwrap();
        assert!(held.is_some());
        assert!(try_lock(&path).unwrap().is_none());
        drop(held);
        assert!(try_lock(&path).unwrap().is_some());
    }

    #[tokio::test]
    async fn a_holder_without_progress_is_not_waited_for_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.lock");
        let _held = try_lock(&path).unwrap().unwrap();
        let (poll, patience) = (Duration::from_millis(5), Duration::from_millis(40));
        let error = acquire(path, folder.path().join("none"), poll, patience, |_| {}).await.unwrap_err();
        assert_eq!(error.reason(), "CacheLocked");
        assert!(error.is_retryable());
    }
}
