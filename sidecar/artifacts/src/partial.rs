//! A file that is being received: opened under its lock, filled in order, checked, and only then published.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;

use bytes::Bytes;
use tokio::sync::mpsc::Receiver;

use crate::blob::Blob;
use crate::blocking::Cancellation;
use crate::digest::{BlobHasher, read_through};
use crate::error::ArtifactError;
use crate::layout::Layout;
use crate::lock::LockGuard;
use crate::publish;
use crate::record::Record;

/// The mode of published blobs: they never change, and engines map them into memory.
const BLOB_MODE: u32 = 0o444;

/// A transfer on disk. It owns the blob's lock, so that the lock outlives a write that is still under way when the
/// fetch is cancelled.
pub(crate) struct Partial {
    layout: Layout,
    blob: Blob,
    file: File,
    hasher: BlobHasher,
    length: u64,
    lock: LockGuard,
}

/// How a complete transfer ended.
pub(crate) enum Finished {
    /// The blob is published.
    Published,
    /// The contents are wrong; they are removed, and the transfer starts anew.
    Mismatch(Box<Partial>, String),
}

impl Partial {
    /// Opens what an earlier transfer left, or an empty file. What is there is hashed, so that only the rest needs
    /// to be received.
    pub(crate) fn open(
        layout: Layout,
        blob: Blob,
        lock: LockGuard,
        cancellation: &Cancellation,
    ) -> Result<Self, ArtifactError> {
        let path = layout.partial(&blob);
        publish::make_folder(&layout.blobs())?;
        let failed = |source| ArtifactError::of_storage("open", &path, source);
        let open = || OpenOptions::new().create(true).read(true).append(true).open(&path);
        let is_other = std::fs::symlink_metadata(&path).is_ok_and(|metadata| !metadata.is_file());
        if is_other {
            // A link or a device in a transfer's place could lead anywhere, or never end.
            publish::remove(&path)?;
        }
        let mut opened = open();
        if opened.as_ref().is_err_and(|error| error.kind() == ErrorKind::PermissionDenied) {
            // What a process of another user left cannot be resumed, but where the folder allows it, replaced.
            publish::remove(&path)?;
            opened = open();
        }
        let mut file = opened.map_err(failed)?;
        if file.metadata().map_err(failed)?.len() > blob.size() {
            publish::remove(&path)?;
            file = open().map_err(failed)?;
        }
        let mut hasher = BlobHasher::new(&blob);
        let length = read_through(&file, cancellation, |bytes| hasher.update(bytes));
        let length = length.map_err(failed)?.ok_or(ArtifactError::Cancelled)?;
        Ok(Self { layout, blob, file, hasher, length, lock })
    }

    /// How many bytes are here.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Throws away what is here.
    pub(crate) fn restart(self, cancellation: &Cancellation) -> Result<Self, ArtifactError> {
        publish::remove(&self.layout.partial(&self.blob))?;
        Self::open(self.layout, self.blob, self.lock, cancellation)
    }

    /// Writes pieces until the sender is gone. A write that fails for want of space removes the file, because its
    /// bytes are worth more to others.
    pub(crate) fn fill(mut self, mut pieces: Receiver<Bytes>) -> Result<Self, ArtifactError> {
        while let Some(piece) = pieces.blocking_recv() {
            if let Err(source) = self.file.write_all(&piece) {
                let path = self.layout.partial(&self.blob);
                let error = ArtifactError::of_storage("write", &path, source);
                if matches!(error, ArtifactError::DiskFull { .. }) {
                    publish::remove(&path)?;
                }
                return Err(error);
            }
            self.hasher.update(&piece);
            self.length += piece.len() as u64;
        }
        Ok(self)
    }

    /// Checks a complete transfer and publishes it: note, sync, rename, sync of the folder.
    pub(crate) fn finish(self, cancellation: &Cancellation) -> Result<Finished, ArtifactError> {
        let Self { layout, blob, file, hasher, length, lock } = self;
        let partial = layout.partial(&blob);
        let digests = hasher.finish();
        if digests.digest != blob.name() || length != blob.size() {
            let problem = format!(
                "{length} bytes with digest {}, expected {} bytes with {}",
                digests.digest,
                blob.size(),
                blob.name()
            );
            publish::remove(&partial)?;
            let restarted = Self::open(layout, blob, lock, cancellation)?;
            return Ok(Finished::Mismatch(Box::new(restarted), problem));
        }
        let published = Self::publish(&layout, &blob, &file, digests.fast);
        if matches!(published, Err(ArtifactError::DiskFull { .. })) {
            publish::remove(&partial)?;
        }
        published.map(|()| Finished::Published)
    }

    fn publish(layout: &Layout, blob: &Blob, file: &File, fast: u64) -> Result<(), ArtifactError> {
        let (partial, name) = (layout.partial(blob), layout.blob(blob));
        file.sync_all().map_err(|source| ArtifactError::of_storage("sync", &partial, source))?;
        Record::new(blob.size(), fast).write(&layout.record(blob))?;
        std::fs::rename(&partial, &name)
            .map_err(|source| ArtifactError::of_storage("publish", &name, source))?;
        // Not before the rename: a partial that nobody may write to could not be resumed after a crash.
        file.set_permissions(Permissions::from_mode(BLOB_MODE))
            .map_err(|source| ArtifactError::of_storage("protect", &name, source))?;
        publish::sync_folder(&layout.blobs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock;

    fn partial(folder: &std::path::Path) -> Partial {
        let layout = Layout::new(folder, &"a/b".parse().unwrap());
        let blob = Blob::named(&"a".repeat(64), 3).unwrap();
        let lock = lock::try_lock(&layout.lock(&blob)).unwrap().unwrap();
        Partial::open(layout, blob, lock, &Cancellation::default()).unwrap()
    }

    #[tokio::test]
    async fn a_full_disk_is_named_and_given_its_room_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut partial = partial(folder.path());
        let path = partial.layout.partial(&partial.blob);
        assert!(path.exists());
        partial.file = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (sender, pieces) = tokio::sync::mpsc::channel(1);
        sender.send(Bytes::from_static(b"abc")).await.unwrap();
        let filled = tokio::task::spawn_blocking(move || partial.fill(pieces)).await.unwrap();
        assert_eq!(filled.err().unwrap().reason(), "DiskFull");
        assert!(!path.exists());
    }

    #[test]
    fn a_link_in_a_transfers_place_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let first = partial(folder.path());
        let path = first.layout.partial(&first.blob);
        drop(first);
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        assert_eq!(partial(folder.path()).length(), 0);
        assert!(std::fs::symlink_metadata(&path).unwrap().is_file());
    }
}
