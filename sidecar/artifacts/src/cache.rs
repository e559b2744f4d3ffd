//! The cache's place and the rules of fetching into it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ostler_crds::names::RepositoryId;

use crate::error::ArtifactError;
use crate::layout::Layout;
use crate::retry::RetryPolicy;

/// How a fetch behaves. The defaults suit production; tests shorten them.
#[derive(Debug, Clone)]
pub struct FetchPolicy {
    /// When and how often a failed request is made again.
    pub retry: RetryPolicy,
    /// How many files are received at once.
    pub parallel: usize,
    /// How often a waiter looks whether another process is done with a file.
    pub lock_poll: Duration,
    /// How long a waiter bears another process that makes no progress.
    pub lock_patience: Duration,
    /// Bytes that must stay free on the disk after everything is fetched.
    pub reserve_bytes: u64,
}

impl Default for FetchPolicy {
    fn default() -> Self {
        Self {
            retry: RetryPolicy::default(),
            parallel: 4,
            lock_poll: Duration::from_millis(200),
            lock_patience: Duration::from_secs(300),
            reserve_bytes: 16 << 20,
        }
    }
}

/// A cache folder in the Hub's layout, shared by all processes that use it.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
    policy: FetchPolicy,
}

impl Cache {
    /// Opens a cache, making its folder where it is missing.
    ///
    /// # Errors
    /// `CacheUnwritable` or `CacheFailed` where the folder cannot be made.
    pub fn open(root: PathBuf) -> Result<Self, ArtifactError> {
        if !root.is_dir() {
            std::fs::create_dir_all(&root)
                .map_err(|source| ArtifactError::of_storage("create cache folder", &root, source))?;
        }
        Ok(Self { root, policy: FetchPolicy::default() })
    }

    /// The same cache under other rules.
    #[must_use]
    pub fn with_policy(self, policy: FetchPolicy) -> Self {
        Self { policy, ..self }
    }

    /// The user's own cache, found as `huggingface_hub` finds it: `HF_HUB_CACHE`, `HF_HOME/hub`,
    /// `XDG_CACHE_HOME/huggingface/hub`, `~/.cache/huggingface/hub`.
    #[must_use]
    pub fn default_root() -> PathBuf {
        hf_hub::resolve_cache_dir()
    }

    /// The cache's folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn policy(&self) -> &FetchPolicy {
        &self.policy
    }

    pub(crate) fn layout(&self, repository: &RepositoryId) -> Layout {
        Layout::new(&self.root, repository)
    }
}
