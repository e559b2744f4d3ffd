//! The note that a blob was verified: its size and its fast checksum at that moment.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::ArtifactError;
use crate::publish;

/// What is noted of a verified blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    size: u64,
    /// XXH3, 64 bits, in hexadecimal: JSON numbers lose digits in other programs.
    xxh3: String,
}

impl Record {
    pub(crate) fn new(size: u64, fast: u64) -> Self {
        Self { size, xxh3: format!("{fast:016x}") }
    }

    /// Reads a note; nothing where it is missing or unreadable, and then the blob is verified in full again.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        let bytes = std::fs::read(path).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), ArtifactError> {
        let json = serde_json::to_vec(self).map_err(std::io::Error::other);
        publish::write_note(path, &json.map_err(|source| ArtifactError::of_storage("encode", path, source))?)
    }
}
