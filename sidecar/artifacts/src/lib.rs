//! Model files on disk: fetched once, verified, published atomically into the Hub's own cache layout.
//!
//! [`fetch`] gives a folder that holds the chosen files of a repository at a commit, each proved to be what the Hub
//! says it is. What it promises:
//!
//! - Nothing unverified is ever under a final name: a file is received as `NAME.incomplete`, its size and digest
//!   (SHA-256, or git's blob id for small files) are checked, it is synced, and only then renamed.
//! - A transfer that is cut, cancelled or killed is resumed where it stopped, by whichever process comes next.
//! - Of many processes on one cache one transfers, the others wait and see its progress.
//! - A complete snapshot is used without the network; each fetch and each [`Cache::check`] before a load compares its
//!   files with a fast checksum that was recorded when they were published.
//! - What is removed to make room was used least recently of what nobody uses now, in any process; a process that is
//!   killed while it removes leaves a cache that everybody can use.
//! - The cache is the one that Python's `huggingface_hub` keeps: what it fetched is found (and verified before use),
//!   and the other way round.
//! - Every way in which it fails has a typed error and a reason.

mod attempts;
mod blob;
mod blocking;
mod cache;
mod check;
mod collect;
mod collection;
mod digest;
mod error;
mod events;
mod fetch;
mod folder;
mod in_use;
mod inspect;
mod inventory;
mod layout;
mod listing;
mod lock;
mod packed;
mod partial;
mod plan;
mod prepare;
mod priority;
mod progress;
mod promises;
mod publish;
mod record;
mod remove;
mod retry;
mod room;
mod scrub;
mod scrub_pace;
mod transfer;
mod verified;

pub use cache::{Cache, CollectionPolicy, FetchPolicy, OnCacheEvent};
pub use error::ArtifactError;
pub use events::{CacheEvent, FoundBy, Removal};
pub use fetch::{FileEntry, Select, Snapshot, fetch};
pub use folder::digest_folder;
pub use in_use::InUse;
pub use priority::work_behind_requests;
pub use progress::Transfer;
pub use retry::RetryPolicy;
pub use scrub::Scrub;
pub use scrub_pace::ScrubPolicy;

#[cfg(test)]
mod tests {
    mod fuzz;
}
