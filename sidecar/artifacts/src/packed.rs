//! Where packed weights are kept: within the cache, whether or not the files that they were made of are, and no longer
//! than these.

use std::path::{Path, PathBuf};

use ostler_crds::names::{Commit, RepositoryId};
use twox_hash::XxHash3_64;

use crate::cache::Cache;
use crate::layout;

impl Cache {
    /// The folder for packed weights of a commit. Those of commits whose snapshots are gone are removed.
    #[must_use]
    pub fn packed_of_commit(&self, repository: &RepositoryId, commit: &Commit) -> PathBuf {
        let layout = self.layout(repository);
        let snapshots = layout.snapshots();
        remove_where(&layout.packed(), |name| !snapshots.join(name).exists());
        layout.packed().join(commit.as_str())
    }

    /// The folder for packed weights of a folder outside of the cache, whose contents have this digest. Those of what
    /// the folder held before are removed.
    #[must_use]
    pub fn packed_of_folder(&self, folder: &Path, digest: &str) -> PathBuf {
        let place = XxHash3_64::oneshot(folder.as_os_str().as_encoded_bytes());
        let packed = layout::packed_of_folder(self.root(), place);
        // A colon is no letter of a file's name everywhere.
        let own = digest.replace(':', "-");
        remove_where(&packed, |name| name != Path::new(&own));
        packed.join(own)
    }
}

/// Removes those folders in `parent` whose names are no longer of use. What cannot be removed stays, and is tried again
/// the next time.
fn remove_where(parent: &Path, is_stale: impl Fn(&Path) -> bool) {
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        if is_stale(Path::new(&entry.file_name())) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_weights_go_with_their_commit() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::open(root.path().to_owned()).unwrap();
        let repository: RepositoryId = "openai/whisper-base".parse().unwrap();
        let commits = ["1", "2"].map(|digit| digit.repeat(40).parse::<Commit>().unwrap());
        let snapshots = cache.layout(&repository).snapshots();
        let folders = commits.each_ref().map(|commit| {
            std::fs::create_dir_all(snapshots.join(commit.as_str())).unwrap();
            let folder = cache.packed_of_commit(&repository, commit);
            std::fs::create_dir_all(&folder).unwrap();
            folder
        });
        assert!(folders.iter().all(|folder| folder.is_dir()));
        assert!(folders[0].starts_with(root.path().join("models--openai--whisper-base/.ostler/packed")));
        std::fs::remove_dir(snapshots.join(commits[0].as_str())).unwrap();
        assert_eq!(cache.packed_of_commit(&repository, &commits[1]), folders[1]);
        assert!(!folders[0].exists() && folders[1].is_dir());
    }

    #[test]
    fn packed_weights_of_a_folder_go_when_it_holds_something_else() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::open(root.path().to_owned()).unwrap();
        let [one, other] = ["/models/a", "/models/b"].map(Path::new);
        let first = cache.packed_of_folder(one, "sha256:1");
        let beside = cache.packed_of_folder(other, "sha256:1");
        assert_ne!(first, beside);
        for folder in [&first, &beside] {
            std::fs::create_dir_all(folder).unwrap();
        }
        assert_eq!(cache.packed_of_folder(one, "sha256:1"), first);
        assert!(first.is_dir());
        let second = cache.packed_of_folder(one, "sha256:2");
        assert!(!first.exists() && beside.is_dir() && second != first);
    }
}
