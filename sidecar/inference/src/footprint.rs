//! What a model takes of the memory.

use crate::weights::Usage;

/// The memory that a model takes, in bytes. It follows from the headers of the weights and from config.json.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// What the loaded model holds.
    pub resident_bytes: u64,
    /// What loading needs beside it.
    pub transient_bytes: u64,
    /// The most that one running job needs beside it.
    pub scratch_bytes: u64,
}

impl Footprint {
    pub(crate) fn new(usage: Usage, scratch_bytes: u64) -> Self {
        let Usage { resident_bytes, transient_bytes } = usage;
        Self { resident_bytes, transient_bytes, scratch_bytes }
    }
}
