//! The steps that make something appear in the cache whole or not at all, and stay after a power loss.

use std::fs::{File, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::error::ArtifactError;

/// The mode of notes: all may read, because pods with different users share a cache.
const NOTE_MODE: u32 = 0o644;

/// Makes a folder and the folders above it, and syncs the folder that holds it, so that it stays.
pub(crate) fn make_folder(path: &Path) -> Result<(), ArtifactError> {
    if path.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(path)
        .map_err(|source| ArtifactError::of_storage("create folder", path, source))?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(path: &Path) -> Result<(), ArtifactError> {
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| ArtifactError::of_storage("sync folder", path, source))
}

/// Writes a small file whole under its name. It is not synced: a note that a power loss damages is not believed,
/// and what it said is found out again.
pub(crate) fn write_note(path: &Path, contents: &[u8]) -> Result<(), ArtifactError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    make_folder(folder)?;
    let failed = |source| ArtifactError::of_storage("write", path, source);
    let mut builder = tempfile::Builder::new();
    builder.prefix(".note-").permissions(Permissions::from_mode(NOTE_MODE));
    let mut file = builder.tempfile_in(folder).map_err(failed)?;
    file.write_all(contents).map_err(failed)?;
    file.persist(path).map(drop).map_err(|error| failed(error.error))
}

/// Makes a link, replacing whatever else lies under its name; whether there was anything to do. The folder is for
/// the caller to sync.
pub(crate) fn link(path: &Path, target: &Path) -> Result<bool, ArtifactError> {
    if std::fs::read_link(path).is_ok_and(|present| present == target) {
        return Ok(false);
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    make_folder(folder)?;
    let failed = |source| ArtifactError::of_storage("link", path, source);
    let link =
        tempfile::Builder::new().prefix(".link-").make_in(folder, |temporary| symlink(target, temporary));
    link.map_err(failed)?.persist(path).map(|()| true).map_err(|error| failed(error.error))
}

/// Removes a file if it is there. Open mappings of it stay whole, because its contents are not touched.
pub(crate) fn remove(path: &Path) -> Result<(), ArtifactError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(ArtifactError::of_storage("remove", path, error))
        }
        _ => Ok(()),
    }
}
