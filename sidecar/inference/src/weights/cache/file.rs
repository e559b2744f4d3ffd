//! The file of packed weights, and how it is read and written.
//!
//! ```text
//! 8 bytes      "ostlerPW"
//! 32 bytes     the key: what the contents follow from
//! 8 bytes      the length of the contents
//! 8 bytes      XXH3 of everything before and of the checksums
//! 8 bytes each XXH3 of each block of the contents
//! zeros        up to a multiple of 4096
//! contents     an arena's bytes
//! ```
//!
//! Numbers are little-endian. XXH3 finds damage at the speed of memory; whoever may write into the cache may change
//! the files that it is made from as well.

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::sync::Mutex;

use ostler_kernels::Arena;
use twox_hash::XxHash3_64;

use super::pieces;
use crate::processor::Processor;

const MAGIC: &[u8; 8] = b"ostlerPW";
/// Everything in front of the checksums.
const FIXED_BYTES: usize = 8 + 32 + 8 + 8;
/// Contents that have a checksum of their own, and are read by one thread.
const BLOCK_BYTES: usize = 1 << 20;
/// The contents start at a multiple of it.
const ALIGNMENT: usize = 4096;
/// What must stay free on the disk: it holds the models themselves, which come first.
const RESERVE_BYTES: u64 = 64 << 20;
/// All may read: pods with different users share a cache.
const MODE: u32 = 0o644;
/// What the names of files in the making begin with.
const UNFINISHED: &str = ".packing-";

/// Why a copy of packed weights was not used or not kept.
#[derive(Debug, thiserror::Error)]
pub enum PackedError {
    /// The file system refused to give it.
    #[error("{file} cannot be read")]
    Read {
        /// The file's name.
        file: String,
        /// What the system answered.
        #[source]
        source: io::Error,
    },
    /// It is not what was written.
    #[error("{file} is damaged: {message}")]
    Damaged {
        /// The file's name.
        file: String,
        /// How it shows.
        message: String,
    },
    /// The disk has not the space for it.
    #[error("{file} needs {needed} bytes, the disk has {free} free and keeps {RESERVE_BYTES} of them")]
    Full {
        /// The file's name.
        file: String,
        /// The bytes of the file.
        needed: u64,
        /// The bytes that may be written.
        free: u64,
    },
    /// The file system refused to take it.
    #[error("{file} cannot be written")]
    Write {
        /// The file's name.
        file: String,
        /// What the system answered.
        #[source]
        source: io::Error,
    },
}

/// What was at the place of a copy.
pub(super) enum Found {
    /// The copy, whole; it was read.
    Whole,
    /// None of these weights.
    Nothing,
}

/// Reads a copy of `bytes` bytes into an arena.
pub(super) fn read(
    path: &Path,
    key: &[u8; 32],
    arena: &mut Arena,
    bytes: u64,
    processor: &Processor,
) -> Result<Found, PackedError> {
    let failed = |source| PackedError::Read { file: name(path), source };
    let damaged = |message: &str| PackedError::Damaged { file: name(path), message: message.to_owned() };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(failed(error)),
    };
    let length = file.metadata().map_err(failed)?.len();
    let start = contents_start(bytes);
    if length < FIXED_BYTES as u64 {
        return Err(damaged("it ends within its header"));
    }
    let mut fixed = [0; FIXED_BYTES];
    file.read_exact_at(&mut fixed, 0).map_err(failed)?;
    if !fixed.starts_with(MAGIC) {
        return Err(damaged("it does not begin as such a file does"));
    }
    if fixed[8..40] != *key || fixed[40..48] != bytes.to_le_bytes() {
        return Ok(Found::Nothing);
    }
    if length != start + bytes {
        return Err(damaged(&format!("it has {length} bytes instead of {}", start + bytes)));
    }
    let mut checksums = vec![0; blocks(bytes) * 8];
    file.read_exact_at(&mut checksums, FIXED_BYTES as u64).map_err(failed)?;
    if fixed[48..] != header_checksum(&fixed[..48], &checksums).to_le_bytes() {
        return Err(damaged("its header is not as it was written"));
    }
    let contents = usize::try_from(bytes).ok().and_then(|bytes| arena.bytes_mut(bytes));
    let Some(contents) = contents else { return Ok(Found::Nothing) };
    let tasks = contents.chunks_mut(BLOCK_BYTES).zip(checksums.as_chunks::<8>().0).enumerate().collect();
    let failure = Mutex::new(None);
    processor.team().enter_behind().for_each(
        tasks,
        |(index, (block, checksum)): (usize, (&mut [u8], &[u8; 8]))| {
            let place = start + (index * BLOCK_BYTES) as u64;
            let error = match pieces::read_exact_at(&file, block, place) {
                Err(error) => failed(error),
                Ok(()) if XxHash3_64::oneshot(block).to_le_bytes() == *checksum => return,
                Ok(()) => damaged(&format!("the megabyte at byte {place} is not as it was written")),
            };
            *failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(error);
        },
    );
    let failure = failure.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    failure.map_or(Ok(Found::Whole), Err)
}

/// Writes a copy under a name of its own, and gives it its name once it is whole and on the disk.
pub(super) fn write(path: &Path, key: &[u8; 32], bytes: &[u8]) -> Result<(), PackedError> {
    let failed = |source| PackedError::Write { file: name(path), source };
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(failed)?;
    remove_unfinished(folder);
    let length = bytes.len() as u64;
    let (start, disk) =
        (contents_start(length), rustix::fs::statvfs(folder).map_err(|error| failed(error.into()))?);
    let (needed, free) = (start + length, disk.f_bavail.saturating_mul(disk.f_frsize));
    if free < needed.saturating_add(RESERVE_BYTES) {
        return Err(PackedError::Full { file: name(path), needed, free });
    }
    let checksums: Vec<u8> =
        bytes.chunks(BLOCK_BYTES).flat_map(|block| XxHash3_64::oneshot(block).to_le_bytes()).collect();
    let mut header = [MAGIC.as_slice(), key, &length.to_le_bytes()].concat();
    let checksum = header_checksum(&header, &checksums);
    header.extend(checksum.to_le_bytes());
    header.extend(&checksums);
    header.resize(start as usize, 0);
    let mut builder = tempfile::Builder::new();
    builder.prefix(UNFINISHED).permissions(Permissions::from_mode(MODE));
    let mut file = builder.tempfile_in(folder).map_err(failed)?;
    // Whoever cleans up leaves it alone as long as this process lives.
    file.as_file().try_lock().map_err(|error| failed(error.into()))?;
    file.write_all(&header).map_err(failed)?;
    pieces::write_all(&mut file, bytes).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// Removes what a process left that ended while it wrote: its lock is gone with it.
fn remove_unfinished(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let is_unfinished = entry.file_name().to_string_lossy().starts_with(UNFINISHED);
        let is_left = || File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok());
        if is_unfinished && is_left() {
            // Another process may have removed it by now.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// The name of a file, for messages.
fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn blocks(bytes: u64) -> usize {
    bytes.div_ceil(BLOCK_BYTES as u64) as usize
}

fn contents_start(bytes: u64) -> u64 {
    (FIXED_BYTES + blocks(bytes) * 8).next_multiple_of(ALIGNMENT) as u64
}

fn header_checksum(fixed: &[u8], checksums: &[u8]) -> u64 {
    XxHash3_64::oneshot(&[fixed, checksums].concat())
}

#[cfg(test)]
mod tests {
    mod fuzz;
}
