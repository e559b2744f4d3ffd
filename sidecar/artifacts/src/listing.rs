//! What a repository holds at a commit, kept on disk: a commit never changes, so it is asked for once.

use std::path::Path;

use ostler_crds::names::Commit;
use ostler_hub::{RepositoryFile, check_file_path};
use serde::{Deserialize, Serialize};

use crate::blob::{Blob, Listed};
use crate::error::ArtifactError;
use crate::layout::{Layout, blob_name_of};
use crate::publish;

#[derive(Serialize, Deserialize)]
struct Stored {
    commit: Commit,
    files: Vec<StoredFile>,
}

#[derive(Serialize, Deserialize)]
struct StoredFile {
    path: String,
    size: u64,
    digest: String,
}

/// The Hub's listing as this crate uses it; a file whose digest is no digest is named.
pub(crate) fn of_hub(files: &[RepositoryFile]) -> Result<Vec<Listed>, String> {
    let listed = |file: &RepositoryFile| match Blob::of(file) {
        Some(blob) => Ok(Listed { path: file.path.clone(), blob }),
        None => Err(format!("{}: its digest is not hexadecimal", file.path)),
    };
    files.iter().map(listed).collect()
}

/// Reads a kept listing; nothing where it is missing or damaged, and then the Hub is asked again.
pub(crate) fn read(layout: &Layout, commit: &Commit) -> Option<Vec<Listed>> {
    let bytes = std::fs::read(layout.listing(commit)).ok()?;
    let stored: Stored = serde_json::from_slice(&bytes).ok()?;
    if stored.commit != *commit {
        return None;
    }
    let listed = |file: StoredFile| {
        check_file_path(&file.path).ok()?;
        Some(Listed { blob: Blob::named(&file.digest, file.size)?, path: file.path })
    };
    stored.files.into_iter().map(listed).collect()
}

/// Keeps a listing.
pub(crate) fn write(layout: &Layout, commit: &Commit, listed: &[Listed]) -> Result<(), ArtifactError> {
    let path = layout.listing(commit);
    let file = |listed: &Listed| StoredFile {
        path: listed.path.clone(),
        size: listed.blob.size(),
        digest: listed.blob.name().to_owned(),
    };
    let stored = Stored { commit: commit.clone(), files: listed.iter().map(file).collect() };
    let json = serde_json::to_vec(&stored).map_err(std::io::Error::other);
    publish::write_note(&path, &json.map_err(|source| ArtifactError::of_storage("encode", &path, source))?)
}

/// The files that a snapshot holds already, for when the Hub cannot be asked: what `huggingface_hub` fetched is
/// named by its digest, so it can be verified without the Hub's word.
pub(crate) fn of_snapshot(layout: &Layout, commit: &Commit) -> Vec<Listed> {
    let snapshot = layout.snapshot(commit);
    let mut found = Vec::new();
    let mut folders = vec![snapshot.clone()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(path),
                Ok(kind) if kind.is_symlink() => found.extend(listed_link(&snapshot, &path)),
                _ => {}
            }
        }
    }
    found.sort_by(|left, right| left.path.cmp(&right.path));
    found
}

fn listed_link(snapshot: &Path, link: &Path) -> Option<Listed> {
    let path = link.strip_prefix(snapshot).ok()?.to_str()?.to_owned();
    check_file_path(&path).ok()?;
    let target = std::fs::read_link(link).ok()?;
    let size = std::fs::metadata(link).ok()?.len();
    Some(Listed { path, blob: Blob::named(blob_name_of(&target)?, size)? })
}
