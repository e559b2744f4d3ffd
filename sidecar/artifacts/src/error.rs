//! Everything that can go wrong between the Hub and a folder of verified files.

use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ostler_hub::HubError;

/// Why files could not be fetched or verified.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The Hub could not be asked, or refused.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// The repository does not hold what the model needs.
    #[error("{subject} cannot be used: {problem}")]
    Unsuitable {
        /// The repository and the commit.
        subject: String,
        /// What is missing or wrong.
        problem: String,
    },
    /// What was received twice is not what the Hub lists.
    #[error(
        "{path} of {subject} is not what the hub lists: {problem}; received twice, so its storage is damaged"
    )]
    IntegrityMismatch {
        /// The file in the repository.
        path: String,
        /// The repository and the commit.
        subject: String,
        /// Which of size and digest differs, and how.
        problem: String,
    },
    /// The disk has too little room.
    #[error("cache {} is full: {detail}; free space, or give the cache more", path.display())]
    DiskFull {
        /// Where the room is missing.
        path: PathBuf,
        /// How much is missing, or which step failed.
        detail: String,
    },
    /// The cache cannot be written to.
    #[error("cannot {step} {}: the cache must be writable for this user", path.display())]
    CacheUnwritable {
        /// What was tried.
        step: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What failed.
        #[source]
        source: Error,
    },
    /// The disk failed.
    #[error("cannot {step} {}", path.display())]
    CacheFailed {
        /// What was tried.
        step: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What failed.
        #[source]
        source: Error,
    },
    /// Another process holds a file's lock and makes no progress.
    #[error("{} is locked by another process that has made no progress for {waited:?}", path.display())]
    LockStalled {
        /// The lock file.
        path: PathBuf,
        /// How long nothing changed.
        waited: Duration,
    },
    /// A file of a commit that was here is not here any more, or no longer what it was. It is to be fetched again.
    #[error("{path} of {subject} is {problem} in the cache; it is fetched again")]
    Lost {
        /// The file in the repository.
        path: String,
        /// The repository and the commit.
        subject: String,
        /// Whether it is missing or damaged.
        problem: &'static str,
    },
    /// A folder of the user's own could not be read.
    #[error("cannot read {}; storageUri must name a folder of readable files", path.display())]
    SourceFolder {
        /// The file or folder.
        path: PathBuf,
        /// What failed.
        #[source]
        source: Error,
    },
    /// The work was given up before its end, because nobody waits for it any more or the process ends.
    #[error("the work on files was cancelled")]
    Cancelled,
    /// The system gives no more threads.
    #[error("the system gives no threads to work on files with: {0}")]
    NoThreads(String),
}

impl ArtifactError {
    /// The error of a step on a file of the cache.
    pub(crate) fn of_storage(step: &'static str, path: &Path, source: Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                Self::DiskFull { path, detail: format!("no space left to {step} it") }
            }
            ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => {
                Self::CacheUnwritable { step, path, source }
            }
            _ => Self::CacheFailed { step, path, source },
        }
    }

    /// The reason for conditions and metrics: one PascalCase word from a fixed set.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Hub(error) => error.reason(),
            Self::Unsuitable { .. } => "UnsuitableRepository",
            Self::IntegrityMismatch { .. } => "IntegrityMismatch",
            Self::DiskFull { .. } => "DiskFull",
            Self::CacheUnwritable { .. } => "CacheUnwritable",
            Self::CacheFailed { .. } => "CacheFailed",
            Self::LockStalled { .. } => "CacheLocked",
            Self::Lost { .. } => "CacheLost",
            Self::SourceFolder { .. } => "SourceUnreadable",
            Self::Cancelled => "Cancelled",
            Self::NoThreads(_) => "NoThreads",
        }
    }

    /// Whether the same fetch may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Hub(error) => error.is_retryable(),
            Self::LockStalled { .. } | Self::Lost { .. } | Self::Cancelled | Self::NoThreads(_) => true,
            Self::Unsuitable { .. }
            | Self::IntegrityMismatch { .. }
            | Self::DiskFull { .. }
            | Self::CacheUnwritable { .. }
            | Self::CacheFailed { .. }
            | Self::SourceFolder { .. } => false,
        }
    }

    /// How long the Hub asked to wait before the next request.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Hub(error) => error.retry_after(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_errors_have_their_reasons() {
        let table = [
            (ErrorKind::StorageFull, "DiskFull"),
            (ErrorKind::QuotaExceeded, "DiskFull"),
            (ErrorKind::ReadOnlyFilesystem, "CacheUnwritable"),
            (ErrorKind::PermissionDenied, "CacheUnwritable"),
            (ErrorKind::Other, "CacheFailed"),
        ];
        for (kind, reason) in table {
            let error = ArtifactError::of_storage("write", Path::new("/a"), kind.into());
            assert_eq!((error.reason(), error.is_retryable()), (reason, false));
        }
    }
}
