//! The cache's place and the rules of fetching into it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ostler_crds::names::RepositoryId;

use crate::error::ArtifactError;
use crate::events::CacheEvent;
use crate::layout::Layout;
use crate::promises::Promises;
use crate::retry::RetryPolicy;
use crate::verified::Verified;

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
    /// The most bytes that the whole cache may take, where its folder has a limit that its disk does not tell of.
    pub limit_bytes: Option<u64>,
}

/// What may be removed from a cache to make room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CollectionPolicy {
    /// The part of the disk that is to be free, in percent.
    pub keep_free_percent: u8,
    /// What was used so lately goes only for a fetch that lacks room, and transfers not at all.
    pub grace: Duration,
}

impl CollectionPolicy {
    /// Keeps so many percent of the disk free, with the usual grace of an hour.
    #[must_use]
    pub fn keeping_free(percent: u8) -> Self {
        Self { keep_free_percent: percent, grace: Duration::from_secs(3600) }
    }
}

impl Default for FetchPolicy {
    fn default() -> Self {
        Self {
            retry: RetryPolicy::default(),
            parallel: 4,
            lock_poll: Duration::from_millis(200),
            lock_patience: Duration::from_secs(300),
            reserve_bytes: 16 << 20,
            limit_bytes: None,
        }
    }
}

/// Hears of what happens in a cache, from any thread.
pub type OnCacheEvent = Arc<dyn Fn(&CacheEvent) + Send + Sync>;

/// A cache folder in the Hub's layout, shared by all processes that use it.
#[derive(Clone)]
pub struct Cache {
    root: PathBuf,
    policy: FetchPolicy,
    collection: Option<CollectionPolicy>,
    watch: Option<OnCacheEvent>,
    verified: Arc<Verified>,
    promises: Arc<Promises>,
}

impl fmt::Debug for Cache {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { root, policy, collection, .. } = self;
        let mut debug = formatter.debug_struct("Cache");
        debug.field("root", root).field("policy", policy).field("collection", collection).finish()
    }
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
        Ok(Self {
            root,
            policy: FetchPolicy::default(),
            collection: None,
            watch: None,
            verified: Arc::default(),
            promises: Arc::default(),
        })
    }

    /// The same cache under other rules.
    #[must_use]
    pub fn with_policy(self, policy: FetchPolicy) -> Self {
        Self { policy, ..self }
    }

    /// The same cache, from which what is not in use may be removed. Without a policy nothing is ever removed but what
    /// is damaged.
    #[must_use]
    pub fn with_collection(self, collection: Option<CollectionPolicy>) -> Self {
        Self { collection, ..self }
    }

    /// The same cache, of which `watch` hears.
    #[must_use]
    pub fn watched(self, watch: OnCacheEvent) -> Self {
        Self { watch: Some(watch), ..self }
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

    pub(crate) fn collection(&self) -> Option<CollectionPolicy> {
        self.collection
    }

    /// What this process has verified lately.
    pub(crate) fn verified(&self) -> &Verified {
        &self.verified
    }

    /// Room that fetches were promised.
    pub(crate) fn promises(&self) -> &Arc<Promises> {
        &self.promises
    }

    pub(crate) fn tell(&self, event: &CacheEvent) {
        if let Some(watch) = &self.watch {
            watch(event);
        }
    }

    pub(crate) fn layout(&self, repository: &RepositoryId) -> Layout {
        Layout::new(&self.root, repository)
    }
}
