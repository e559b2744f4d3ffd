//! What the tests of fetching share: a small repository, a client and a cache with short waits.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use ostler_artifacts::{
    ArtifactError, Cache, FetchPolicy, FileEntry, RetryPolicy, Snapshot, Transfer, fetch,
};
use ostler_crds::names::{Commit, RepositoryId};
use ostler_hub::{HubBounds, HubClient, HubSettings};
use ostler_test_hub::TestHub;
use tempfile::TempDir;

pub(crate) const LARGE: &str = "model.safetensors";
pub(crate) const SMALL: &str = "config.json";
pub(crate) const BYTES: usize = 200_000;

/// A hub with one repository, and an empty cache.
pub(crate) struct Bench {
    pub(crate) hub: TestHub,
    pub(crate) client: HubClient,
    pub(crate) folder: TempDir,
    pub(crate) cache: Cache,
    pub(crate) commit: Commit,
}

pub(crate) fn repository() -> RepositoryId {
    "tiny/model".parse().unwrap()
}

pub(crate) fn large_bytes() -> Vec<u8> {
    (0..BYTES).map(|index| (index * 7 % 253) as u8).collect()
}

pub(crate) fn files() -> Vec<(&'static str, Vec<u8>)> {
    vec![(SMALL, b"{\"a\": 1}\n".to_vec()), (LARGE, large_bytes()), ("sub/empty.txt", vec![])]
}

pub(crate) fn policy() -> FetchPolicy {
    FetchPolicy {
        retry: RetryPolicy {
            failures: 4,
            first_delay: Duration::from_millis(10),
            longest_delay: Duration::from_millis(100),
            patience: Duration::from_secs(5),
        },
        lock_poll: Duration::from_millis(10),
        ..FetchPolicy::default()
    }
}

pub(crate) fn settings(endpoint: &str) -> HubSettings {
    let mut settings = HubSettings::new(endpoint.parse().unwrap());
    settings.bounds = HubBounds {
        connect: Duration::from_secs(5),
        idle: Duration::from_secs(1),
        answer: Duration::from_secs(5),
        ..HubBounds::default()
    };
    settings
}

pub(crate) fn all(entries: &[FileEntry]) -> Result<Vec<String>, String> {
    Ok(entries.iter().map(|entry| entry.path.clone()).collect())
}

pub(crate) fn only_large(_: &[FileEntry]) -> Result<Vec<String>, String> {
    Ok(vec![LARGE.to_owned()])
}

/// A folder in memory where there is one: the tests sync often, and what a disk does of it is not theirs to prove.
pub(crate) fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

pub(crate) async fn bench() -> Bench {
    bench_with(TestHub::start().await.unwrap())
}

pub(crate) fn bench_with(hub: TestHub) -> Bench {
    let commit = hub.push("tiny/model", "main", files()).unwrap().parse().unwrap();
    let client = HubClient::new(settings(&hub.endpoint())).unwrap();
    let folder = scratch();
    let cache = Cache::open(folder.path().join("hub")).unwrap().with_policy(policy());
    Bench { hub, client, folder, cache, commit }
}

impl Bench {
    pub(crate) async fn fetch(&self) -> Result<Snapshot, ArtifactError> {
        fetch(&self.client, &self.cache, &repository(), &self.commit, &all, |_| {}).await
    }

    pub(crate) async fn fetch_large(&self) -> Result<Snapshot, ArtifactError> {
        fetch(&self.client, &self.cache, &repository(), &self.commit, &only_large, |_| {}).await
    }

    pub(crate) async fn fetch_with_progress(&self) -> (Result<Snapshot, ArtifactError>, Vec<Transfer>) {
        let transfers = Mutex::new(Vec::new());
        let note = |transfer| transfers.lock().unwrap().push(transfer);
        let result = fetch(&self.client, &self.cache, &repository(), &self.commit, &all, note).await;
        (result, transfers.into_inner().unwrap())
    }

    /// As at the start: nothing cached, no fault, nothing logged.
    pub(crate) fn empty(&self) {
        self.hub.clear_faults();
        self.hub.forget_requests();
        let _ = std::fs::remove_dir_all(self.stored());
    }

    /// The repository's folder in the cache.
    pub(crate) fn stored(&self) -> PathBuf {
        self.cache.root().join("models--tiny--model")
    }

    /// The blob that the large file is.
    pub(crate) fn large_blob(&self) -> PathBuf {
        use sha2::Digest;
        self.stored().join("blobs").join(hex::encode(sha2::Sha256::digest(large_bytes())))
    }

    pub(crate) fn large_partial(&self) -> PathBuf {
        self.large_blob().with_extension("incomplete")
    }

    /// Requests so far whose answers carried bytes of the large file.
    pub(crate) fn transfers(&self) -> usize {
        self.hub.count(&ostler_test_hub::On::file(LARGE))
    }
}

/// Leaves nothing behind: a file that a cancelled transfer was just finishing may appear while its folder is removed.
impl Drop for Bench {
    fn drop(&mut self) {
        for _ in 0..100 {
            let _ = std::fs::remove_dir_all(self.folder.path());
            std::thread::sleep(Duration::from_millis(5));
            if !self.folder.path().exists() {
                return;
            }
        }
    }
}

/// Every file below a folder that is under a final name in `blobs` or `snapshots`: what anybody would take for whole.
pub(crate) fn published(stored: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in ["blobs", "snapshots"] {
        let mut folders = vec![stored.join(folder)];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = std::fs::read_dir(folder) else { continue };
            for entry in entries {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_none_or(|extension| extension != "incomplete") {
                    found.push(path);
                }
            }
        }
    }
    found
}

/// Waits until the transfer of the large file has come so far.
pub(crate) async fn received(bench: &Bench, bytes: u64) {
    while std::fs::metadata(bench.large_partial()).map_or(0, |metadata| metadata.len()) < bytes {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Checks that a snapshot holds the repository's files, each with its own bytes.
pub(crate) fn assert_whole(snapshot: &Snapshot) {
    for (path, bytes) in files() {
        assert!(std::fs::read(snapshot.folder.join(path)).unwrap() == bytes, "{path} differs");
    }
}

/// Checks that nothing of the large file can be taken for whole.
pub(crate) fn assert_no_large(bench: &Bench) {
    assert!(!bench.large_blob().exists());
    let large = published(&bench.stored());
    assert!(large.iter().all(|path| !path.ends_with(LARGE)), "{large:?}");
}
