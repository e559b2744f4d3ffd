//! What a cache tells of itself, for metrics.

/// Something that happened in the cache beside fetching.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheEvent {
    /// Something was removed to make room.
    Removed(Removal),
    /// Contents were found to be damaged, and removed.
    Damaged(FoundBy),
    /// So many bytes of contents were found to be what the Hub vouched for.
    Scrubbed(u64),
}

/// What found a damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundBy {
    /// The check of a load, by the fast checksum.
    Load,
    /// The check of a fetch, by the fast checksum or in full.
    Fetch,
    /// The scrub, in full.
    Scrub,
}

/// What was removed to make room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removal {
    /// `commit`; `copy` of packed or converted weights; `transfer` that was given up; `contents` that nobody links to.
    pub kind: &'static str,
    /// A fetch needed the room; else it is to be kept free.
    pub for_fetch: bool,
    /// The bytes that it took.
    pub bytes: u64,
}
