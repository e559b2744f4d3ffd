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
//! ROOT/.ostler-packed/FOLDER/DIGEST/                the same, of a folder that is elsewhere
//! ```

use std::path::{Path, PathBuf};

use hf_hub::{RepoType, RepoTypeModel};
use ostler_crds::names::{Commit, RepositoryId};

use crate::blob::Blob;

/// The paths of one repository.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    folder: PathBuf,
    locks: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: &Path, repository: &RepositoryId) -> Self {
        let name = format!("{}--{}--{}", RepoTypeModel.plural(), repository.owner(), repository.name());
        Self { folder: root.join(&name), locks: root.join(".locks").join(name) }
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.folder.join("blobs")
    }

    pub(crate) fn blob(&self, blob: &Blob) -> PathBuf {
        self.blobs().join(blob.name())
    }

    pub(crate) fn partial(&self, blob: &Blob) -> PathBuf {
        self.blobs().join(format!("{}.incomplete", blob.name()))
    }

    pub(crate) fn lock(&self, blob: &Blob) -> PathBuf {
        self.locks.join(format!("{}.lock", blob.name()))
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

    pub(crate) fn record(&self, blob: &Blob) -> PathBuf {
        self.folder.join(".ostler").join("verified").join(format!("{}.json", blob.name()))
    }
}

/// Where packed weights of a folder outside of the cache are, one folder for each state of it: `folder` is its path's
/// checksum.
pub(crate) fn packed_of_folder(root: &Path, folder: u64) -> PathBuf {
    root.join(".ostler-packed").join(format!("{folder:016x}"))
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
