//! Where everything lies: the Hub's cache layout as `huggingface_hub` and hf-hub keep it, and this project's own
//! notes in a hidden folder beside it. Pure path arithmetic.
//!
//! ```text
//! ROOT/.locks/models--ORG--NAME/DIGEST.lock         shared with huggingface_hub
//! ROOT/models--ORG--NAME/blobs/DIGEST               contents
//! ROOT/models--ORG--NAME/blobs/DIGEST.incomplete    a transfer, resumable
//! ROOT/models--ORG--NAME/snapshots/COMMIT/PATH      -> ../../blobs/DIGEST
//! ROOT/models--ORG--NAME/.ostler/listings/COMMIT.json
//! ROOT/models--ORG--NAME/.ostler/verified/DIGEST.json
//! ROOT/models--ORG--NAME/.ostler/packed/COMMIT/     weights as a processor computes with them
//! ROOT/models--ORG--NAME/.ostler/in-use/COMMIT      locked by whoever has it loaded; its time is that of the last use
//! ROOT/models--ORG--NAME/.ostler/in-use/fetching    locked by whoever fetches from the repository
//! ROOT/models--ORG--NAME/.ostler/named/COMMIT       its time says when a plan has named the commit
//! ROOT/models--ORG--NAME/.ostler/removing/COMMIT/   the links of a commit that is being removed
//! ROOT/.ostler-packed/FOLDER/DIGEST/                packed weights of a folder that is elsewhere
//! ROOT/.ostler-converted/IDENTITY.safetensors       what pickles were converted into
//! ROOT/.locks/ostler-copies                         locked by whoever reads one of these two
//! ROOT/.locks/ostler-collecting                     locked by whoever makes room
//! ROOT/.locks/ostler-scrubbing                      locked by whoever verifies in the background
//! ```

use std::path::{Path, PathBuf};

use hf_hub::{RepoType, RepoTypeModel};
use ostler_crds::names::{Commit, RepositoryId};

use crate::blob::Blob;

/// What the name of a transfer ends with.
pub(crate) const PARTIAL_SUFFIX: &str = ".incomplete";

/// The paths of one repository.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    folder: PathBuf,
    locks: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: &Path, repository: &RepositoryId) -> Self {
        let name = format!("{}--{}--{}", RepoTypeModel.plural(), repository.owner(), repository.name());
        Self::of_folder(root, &name)
    }

    /// The repository of a folder, which has one of these names.
    pub(crate) fn of_folder(root: &Path, name: &str) -> Self {
        Self { folder: root.join(name), locks: root.join(".locks").join(name) }
    }

    /// Whether a folder in the cache's own holds a model's repository.
    pub(crate) fn is_repository(name: &str) -> bool {
        name.strip_prefix(RepoTypeModel.plural()).is_some_and(|rest| rest.starts_with("--"))
    }

    /// The repository for a person, as far as the folder's name says it.
    pub(crate) fn display_name(&self) -> String {
        let name = self.folder.file_name().unwrap_or_default().to_string_lossy();
        name.trim_start_matches(RepoTypeModel.plural()).trim_start_matches("--").replacen("--", "/", 1)
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.folder.join("blobs")
    }

    pub(crate) fn blob(&self, blob: &Blob) -> PathBuf {
        self.blobs().join(blob.name())
    }

    pub(crate) fn partial(&self, blob: &Blob) -> PathBuf {
        self.blobs().join(format!("{}{PARTIAL_SUFFIX}", blob.name()))
    }

    pub(crate) fn lock(&self, blob: &Blob) -> PathBuf {
        self.lock_of(blob.name())
    }

    pub(crate) fn snapshot(&self, commit: &Commit) -> PathBuf {
        self.folder.join("snapshots").join(commit.as_str())
    }

    /// The link that stands for a file. The path must be a checked one of the repository.
    pub(crate) fn pointer(&self, commit: &Commit, path: &str) -> PathBuf {
        self.snapshot(commit).join(path)
    }

    pub(crate) fn listing(&self, commit: &Commit) -> PathBuf {
        self.folder.join(".ostler").join("listings").join(format!("{commit}.json"))
    }

    /// One folder for each commit.
    pub(crate) fn packed(&self) -> PathBuf {
        self.folder.join(".ostler").join("packed")
    }

    pub(crate) fn snapshots(&self) -> PathBuf {
        self.folder.join("snapshots")
    }

    /// What revisions stood for when they were asked for last.
    pub(crate) fn references(&self) -> PathBuf {
        self.folder.join("refs")
    }

    pub(crate) fn in_use(&self, commit: &Commit) -> PathBuf {
        self.folder.join(".ostler").join("in-use").join(commit.as_str())
    }

    pub(crate) fn fetching(&self) -> PathBuf {
        self.folder.join(".ostler").join("in-use").join("fetching")
    }

    pub(crate) fn named(&self, commit: &Commit) -> PathBuf {
        self.folder.join(".ostler").join("named").join(commit.as_str())
    }

    pub(crate) fn removing(&self) -> PathBuf {
        self.folder.join(".ostler").join("removing")
    }

    /// The lock of a file in `blobs/`, whole or not, by its name.
    pub(crate) fn lock_of(&self, name: &str) -> PathBuf {
        let digest = name.strip_suffix(PARTIAL_SUFFIX).unwrap_or(name);
        self.locks.join(format!("{digest}.lock"))
    }

    /// The note on a file in `blobs/`, by its name.
    pub(crate) fn record_of(&self, name: &str) -> PathBuf {
        self.folder.join(".ostler").join("verified").join(format!("{name}.json"))
    }

    pub(crate) fn record(&self, blob: &Blob) -> PathBuf {
        self.record_of(blob.name())
    }
}

/// Where packed weights of all folders outside of the cache are.
pub(crate) fn packed_of_folders(root: &Path) -> PathBuf {
    root.join(".ostler-packed")
}

/// Where what pickles were converted into is.
pub(crate) fn converted(root: &Path) -> PathBuf {
    root.join(".ostler-converted")
}

/// The lock of whoever reads packed weights of folders, or what pickles were converted into.
pub(crate) fn copies_in_use(root: &Path) -> PathBuf {
    root.join(".locks").join("ostler-copies")
}

/// The lock of whoever makes room.
pub(crate) fn collecting(root: &Path) -> PathBuf {
    root.join(".locks").join("ostler-collecting")
}

/// Where packed weights of a folder outside of the cache are, one folder for each state of it: `folder` is its path's
/// checksum.
pub(crate) fn packed_of_folder(root: &Path, folder: u64) -> PathBuf {
    packed_of_folders(root).join(format!("{folder:016x}"))
}

/// The lock of whoever verifies in the background.
pub(crate) fn scrubbing(root: &Path) -> PathBuf {
    root.join(".locks").join("ostler-scrubbing")
}

/// What the link of a file holds: relative, so that the cache can be moved as a whole.
pub(crate) fn pointer_target(path: &str, blob: &Blob) -> PathBuf {
    let depth = path.matches('/').count();
    let mut target = PathBuf::from("../..");
    target.extend(std::iter::repeat_n("..", depth));
    target.push("blobs");
    target.push(blob.name());
    target
}

/// The blob's name that a link holds, where it is one of this layout.
pub(crate) fn blob_name_of(target: &Path) -> Option<&str> {
    let is_in_blobs = target.parent().and_then(Path::file_name).is_some_and(|name| name == "blobs");
    if is_in_blobs { target.file_name()?.to_str() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn blob() -> Blob {
        Blob::named(&"a".repeat(64), 1).unwrap()
    }

    #[test]
    fn paths_are_the_hubs_own() {
        let layout = Layout::new(Path::new("/cache"), &"openai/whisper-base".parse().unwrap());
        let commit = "1".repeat(40).parse().unwrap();
        let name = "a".repeat(64);
        let table = [
            (layout.blob(&blob()), format!("/cache/models--openai--whisper-base/blobs/{name}")),
            (layout.partial(&blob()), format!("/cache/models--openai--whisper-base/blobs/{name}.incomplete")),
            (layout.lock(&blob()), format!("/cache/.locks/models--openai--whisper-base/{name}.lock")),
            (
                layout.pointer(&commit, "a/b.json"),
                format!("/cache/models--openai--whisper-base/snapshots/{commit}/a/b.json"),
            ),
        ];
        for (path, expected) in table {
            assert_eq!(path, Path::new(&expected));
        }
    }

    #[test]
    fn a_folders_name_says_whether_it_holds_a_model_and_which() {
        let table = [
            ("models--openai--whisper-base", true, "openai/whisper-base"),
            ("models--o--a--b", true, "o/a--b"),
            ("datasets--o--a", false, ""),
            ("models", false, ""),
            (".locks", false, ""),
        ];
        for (name, is_repository, shown) in table {
            assert_eq!(Layout::is_repository(name), is_repository, "{name}");
            if is_repository {
                assert_eq!(Layout::of_folder(Path::new("/cache"), name).display_name(), shown);
            }
        }
    }

    proptest! {
        #[test]
        fn a_link_leads_to_its_blob(parts in proptest::collection::vec("[a-z]{1,8}", 1..5)) {
            let path = parts.join("/");
            let layout = Layout::new(Path::new("/cache"), &"a/b".parse().unwrap());
            let commit = "1".repeat(40).parse().unwrap();
            let blob = blob();
            let target = pointer_target(&path, &blob);
            prop_assert_eq!(blob_name_of(&target), Some(blob.name()));
            // Resolves the link by hand, as the file system would.
            let mut resolved = layout.pointer(&commit, &path).parent().unwrap().to_owned();
            for component in target.components() {
                if component == std::path::Component::ParentDir {
                    resolved.pop();
                } else {
                    resolved.push(component);
                }
            }
            prop_assert_eq!(resolved, layout.blob(&blob));
        }
    }
}
