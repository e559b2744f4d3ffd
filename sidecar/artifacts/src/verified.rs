//! What this process has verified and nobody has touched since, so that the load right after a fetch does not read
//! everything again. A verification is good for one load: what lies on the disk for long may rot there.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// What changes with a file's contents: its place on the device, its length, and the times of its last changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp([i128; 5]);

impl Stamp {
    /// The stamp of a file, if it is there.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Some(Self([
            metadata.dev().into(),
            metadata.ino().into(),
            metadata.len().into(),
            nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        ]))
    }
}

/// The stamps of files at the time of their verification.
#[derive(Debug, Default)]
pub(crate) struct Verified(Mutex<HashMap<PathBuf, Stamp>>);

impl Verified {
    /// Notes that a file was right when it had this stamp.
    pub(crate) fn remember(&self, path: PathBuf, stamp: Option<Stamp>) {
        let mut stamps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match stamp {
            Some(stamp) => stamps.insert(path, stamp),
            None => stamps.remove(&path),
        };
    }

    /// Whether a file was verified and not touched since; the next time it has to be verified anew.
    pub(crate) fn take(&self, path: &Path) -> bool {
        let stamp = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
        stamp.is_some() && stamp == Stamp::of(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verification_is_good_once_and_for_the_same_contents() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "1").unwrap();
        let verified = Verified::default();
        assert!(!verified.take(&path));
        verified.remember(path.clone(), Stamp::of(&path));
        assert!(verified.take(&path) && !verified.take(&path));
        verified.remember(path.clone(), Stamp::of(&path));
        std::fs::write(&path, "22").unwrap();
        assert!(!verified.take(&path));
        verified.remember(path.clone(), Stamp::of(&path));
        std::fs::remove_file(&path).unwrap();
        assert!(!verified.take(&path));
    }
}
