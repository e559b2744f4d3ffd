//! Takes something out of the cache so that a kill at any point leaves a cache that everybody can use: names go before
//! contents, each in one step, and contents are unlinked, never truncated, so whoever has them open reads on.

use std::collections::BTreeSet;
use std::path::Path;

use ostler_crds::names::Commit;

use crate::error::ArtifactError;
use crate::inventory::{Links, Place, entries, extent, size_on_disk};
use crate::layout::{self, Layout};
use crate::lock;
use crate::publish;

/// Removes a holding and gives the bytes that it took; nothing where somebody has begun to use it, or it is gone.
pub(crate) fn remove(root: &Path, place: &Place) -> Result<Option<u64>, ArtifactError> {
    match place {
        Place::Commit { layout, commit } => remove_commit(layout, commit),
        Place::Loose { layout, name } => {
            let Some(_alone) = lock::try_lock(&layout.fetching())? else { return Ok(None) };
            remove_loose(layout, name, &linked(layout))
        }
        Place::Copy(path) => {
            let Some(_alone) = lock::try_lock(&layout::copies_in_use(root))? else { return Ok(None) };
            let (bytes, _) = extent(path);
            remove_tree(path)?;
            Ok(Some(bytes))
        }
    }
}

/// Removes the rest of removals that were cut short, as far as nobody is at work there; what stays is tried again the
/// next time.
pub(crate) fn finish_removals(root: &Path) {
    for entry in entries(root) {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| Layout::is_repository(name)) else { continue };
        let layout = Layout::of_folder(root, name);
        for entry in entries(&layout.removing()) {
            let name = entry.file_name();
            let Some(commit) = name.to_str().and_then(|name| name.parse::<Commit>().ok()) else { continue };
            if let Err(error) = finish_removal(&layout, &commit) {
                tracing::debug!(%error, "a removal is not finished");
            }
        }
    }
}

fn finish_removal(layout: &Layout, commit: &Commit) -> Result<(), ArtifactError> {
    let Some(_not_fetching) = lock::try_lock(&layout.fetching())? else { return Ok(()) };
    let Some(_not_loaded) = lock::try_lock(&layout.in_use(commit))? else { return Ok(()) };
    if layout.snapshot(commit).exists() {
        // It has been fetched again, and the notes are its own.
        return remove_tree(&layout.removing().join(commit.as_str()));
    }
    remove_contents(layout, commit).map(drop)
}

fn remove_commit(layout: &Layout, commit: &Commit) -> Result<Option<u64>, ArtifactError> {
    // Nobody fetches from the repository, so no blob is about to be linked to, and nobody has the commit loaded.
    let Some(_not_fetching) = lock::try_lock(&layout.fetching())? else { return Ok(None) };
    let Some(_not_loaded) = lock::try_lock(&layout.in_use(commit))? else { return Ok(None) };
    let (snapshot, packed) = (layout.snapshot(commit), layout.packed().join(commit.as_str()));
    let (packed_bytes, _) = extent(&packed);
    remove_tree(&packed)?;

    // The snapshot vanishes as a whole: one that lacks half of its links would be taken for a whole one.
    let removing = layout.removing().join(commit.as_str());
    publish::make_folder(&layout.removing())?;
    remove_tree(&removing)?;
    match std::fs::rename(&snapshot, &removing) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        renamed => renamed.map_err(|source| ArtifactError::of_storage("remove", &snapshot, source))?,
    }
    publish::sync_folder(&layout.snapshots())?;
    Ok(Some(packed_bytes.saturating_add(remove_contents(layout, commit)?)))
}

/// Removes what a commit leaves whose snapshot has been put aside, and gives the bytes that it took.
fn remove_contents(layout: &Layout, commit: &Commit) -> Result<u64, ArtifactError> {
    let removing = layout.removing().join(commit.as_str());
    let links = Links::of(&removing);
    remove_references(&layout.references(), commit)?;
    for note in [layout.listing(commit), layout.named(commit)] {
        publish::remove(&note)?;
    }
    let linked = linked(layout);
    let mut freed = links.own_bytes;
    for name in &links.blobs {
        freed = freed.saturating_add(remove_loose(layout, name, &linked)?.unwrap_or_default());
    }
    publish::remove(&layout.in_use(commit))?;
    // Last: as long as its links are here, a removal that was cut short can be finished.
    remove_tree(&removing)?;
    Ok(freed)
}

/// The names of all blobs that snapshots link to.
fn linked(layout: &Layout) -> BTreeSet<String> {
    entries(&layout.snapshots()).iter().flat_map(|entry| Links::of(&entry.path()).blobs).collect()
}

/// Removes a file in `blobs/` that nobody links to, under the lock that its receivers hold.
fn remove_loose(
    layout: &Layout,
    name: &str,
    linked: &BTreeSet<String>,
) -> Result<Option<u64>, ArtifactError> {
    if linked.contains(name) {
        return Ok(None);
    }
    let Some(_alone) = lock::try_lock(&layout.lock_of(name))? else { return Ok(None) };
    let path = layout.blobs().join(name);
    let bytes = std::fs::symlink_metadata(&path).ok().map(|metadata| size_on_disk(&metadata));
    publish::remove(&path)?;
    // After the contents: a note without contents says nothing, contents without a note are verified in full.
    publish::remove(&layout.record_of(name))?;
    Ok(bytes)
}

/// Removes what says that a revision stands for the commit: without the Hub it would lead to nothing.
fn remove_references(folder: &Path, commit: &Commit) -> Result<(), ArtifactError> {
    for entry in entries(folder) {
        let path = entry.path();
        if path.is_dir() {
            remove_references(&path, commit)?;
        } else if std::fs::read_to_string(&path).is_ok_and(|text| text.trim() == commit.as_str()) {
            publish::remove(&path)?;
        }
    }
    Ok(())
}

/// Removes a file, or a folder and all that is in it, if it is there.
fn remove_tree(path: &Path) -> Result<(), ArtifactError> {
    let is_folder = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
    if !is_folder {
        return publish::remove(path);
    }
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(ArtifactError::of_storage("remove", path, error))
        }
        _ => Ok(()),
    }
}
