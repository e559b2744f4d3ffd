//! Packed weights kept on disk: the next load of the same files reads them as they are.
//!
//! What is kept is a copy and never trusted: another commit, format, set of instructions, layout or version of this
//! program, a length or a checksum that differs, and the weights are packed anew and put in its place. Whatever goes
//! wrong with it, the load goes on without.

mod file;
mod pieces;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use ostler_crds::names::{Dtype, Task};
use ostler_kernels::Arena;
use sha2::{Digest, Sha256};

use self::file::Found;
pub use self::file::PackedError;
use crate::processor::Processor;

/// Whatever is wrong with files.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Raised where the same weights are packed into other bytes.
const PACKING_VERSION: u32 = 1;

/// Where packed weights of one set of files are kept.
#[derive(Clone)]
pub struct PackedCache {
    /// The folder for them, made when there is something to keep.
    pub folder: PathBuf,
    /// What the files are, such as a commit or a digest: the same always means the same files.
    pub revision: String,
    /// Asked before weights are read from the files themselves, because there is no copy to read: an error ends the load.
    /// A copy has checksums of its own, so a load from it reads no more than headers of the files.
    pub check_files: Arc<dyn Fn() -> Result<(), BoxError> + Send + Sync>,
    /// Hears what became of them, once for each load and once more where a damaged copy was replaced.
    pub watch: Arc<dyn Fn(&PackedEvent) + Send + Sync>,
}

/// What became of a kept copy.
#[derive(Debug)]
pub enum PackedEvent {
    /// The weights were read from it.
    Read,
    /// There was none of these weights, and there is now.
    Written,
    /// It could not be used or kept; the weights were packed.
    Failed(PackedError),
}

/// Which of the copies of one set of files a model has.
#[derive(Clone, Copy)]
pub struct PackedPlace<'a> {
    /// Where they are kept.
    pub cache: &'a PackedCache,
    /// What the model does.
    pub task: Task,
    /// What it computes in.
    pub dtype: Dtype,
}

/// The copy of one arena.
pub(super) struct Kept<'a> {
    cache: &'a PackedCache,
    path: PathBuf,
    key: [u8; 32],
}

/// What the contents of an arena follow from.
pub(super) struct Contents<'a> {
    /// The part of the model, where it has several.
    pub(super) part: &'a str,
    /// A digest of the files' sizes and headers.
    pub(super) files: [u8; 32],
    /// A digest of what lies where.
    pub(super) layout: [u8; 32],
}

impl<'a> PackedPlace<'a> {
    /// The copy of an arena with these contents.
    pub(super) fn kept(&self, processor: &Processor, contents: &Contents<'_>) -> Kept<'a> {
        let Self { cache, task, dtype } = *self;
        let instructions = processor.kernels().instructions();
        let order = if cfg!(target_endian = "big") { "big" } else { "little" };
        let Contents { part, files, layout } = contents;
        let mut key = Sha256::new();
        for field in [&PACKING_VERSION as &dyn fmt::Display, &order, &cache.revision, &instructions, part] {
            key.update(format!("{field}\0"));
        }
        key.update(files);
        key.update(layout);
        let safe = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
        let part: String = part.chars().take(64).map(safe).collect();
        let part = if part.is_empty() { part } else { format!("-{part}") };
        let path = cache.folder.join(format!("{task}-{dtype}-{instructions}{part}.packed"));
        Kept { cache, path, key: key.finalize().into() }
    }
}

impl Kept<'_> {
    /// Fills an arena from the copy. Without success what is in the arena is nothing.
    pub(super) fn read(&self, arena: &mut Arena, bytes: u64, processor: &Processor) -> Outcome {
        match file::read(&self.path, &self.key, arena, bytes, processor) {
            Ok(Found::Whole) => {
                (self.cache.watch)(&PackedEvent::Read);
                Outcome::Present
            }
            Ok(Found::Nothing) => Outcome::Absent,
            Err(error) => {
                let may_write = matches!(error, PackedError::Damaged { .. });
                (self.cache.watch)(&PackedEvent::Failed(error));
                if may_write { Outcome::Absent } else { Outcome::OutOfReach }
            }
        }
    }

    /// Keeps a copy of an arena's bytes.
    pub(super) fn write(&self, bytes: &[u8]) {
        let outcome = file::write(&self.path, &self.key, bytes);
        (self.cache.watch)(&outcome.map_or_else(PackedEvent::Failed, |()| PackedEvent::Written));
    }
}

/// What reading a copy came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The arena has the contents.
    Present,
    /// They are to be packed and kept.
    Absent,
    /// They are to be packed; where they would be kept does not work.
    OutOfReach,
}

impl fmt::Debug for PackedCache {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { folder, revision, .. } = self;
        formatter.debug_struct("PackedCache").field("folder", folder).field("revision", revision).finish()
    }
}
