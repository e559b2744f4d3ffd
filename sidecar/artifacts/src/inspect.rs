//! Looks at what of a blob is on disk, and whether it is what it should be.

use std::fs::File;
use std::hash::Hasher;
use std::io::ErrorKind;

use twox_hash::XxHash3_64;

use crate::blob::{Blob, Presence};
use crate::blocking::Cancellation;
use crate::digest::{BlobHasher, read_through};
use crate::error::ArtifactError;
use crate::layout::Layout;
use crate::record::Record;

/// Checks a blob. One with a note is compared with the fast checksum, one without, such as `huggingface_hub`
/// leaves, is hashed in full and gets its note where the cache can be written to. Nothing is removed here: that
/// needs the blob's lock.
pub(crate) fn inspect(
    layout: &Layout,
    blob: &Blob,
    cancellation: &Cancellation,
) -> Result<Presence, ArtifactError> {
    let path = layout.blob(blob);
    let failed = |source| ArtifactError::of_storage("read", &path, source);
    let metadata = match std::fs::metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let partial_bytes = std::fs::metadata(layout.partial(blob)).map_or(0, |metadata| metadata.len());
            return Ok(Presence::Missing { partial_bytes });
        }
        Err(error) => return Err(failed(error)),
    };
    // Looked at before it is opened, because opening something else than a file may never return.
    if !metadata.is_file() || metadata.len() != blob.size() {
        return Ok(Presence::Corrupt);
    }
    let file = File::open(&path).map_err(failed)?;
    let record = Record::read(&layout.record(blob));
    let mut fast = XxHash3_64::new();
    let mut strong = record.is_none().then(|| BlobHasher::new(blob));
    let length = read_through(file, cancellation, |bytes| match &mut strong {
        Some(hasher) => hasher.update(bytes),
        None => fast.write(bytes),
    });
    let length = length.map_err(failed)?.ok_or(ArtifactError::Cancelled)?;
    let is_right = match (strong, record) {
        (Some(hasher), _) => {
            let digests = hasher.finish();
            let is_right = digests.digest == blob.name();
            if is_right && let Err(error) = Record::new(length, digests.fast).write(&layout.record(blob)) {
                tracing::debug!(%error, "verified, but not noted");
            }
            is_right
        }
        (None, Some(record)) => record == Record::new(length, fast.finish()),
        (None, None) => false,
    };
    Ok(if is_right { Presence::Verified } else { Presence::Corrupt })
}
