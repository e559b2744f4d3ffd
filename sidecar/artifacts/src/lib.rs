//! Model files on disk: fetched once, verified, published atomically into the Hub's own cache layout.
//!
//! [`fetch`] gives a folder that holds the chosen files of a repository at a commit, each proved to be what the Hub
//! says it is. What it promises:
//!
//! - Nothing unverified is ever under a final name: a file is received as `NAME.incomplete`, its size and digest
//!   (SHA-256, or git's blob id for small files) are checked, it is synced, and only then renamed.
//! - A transfer that is cut, cancelled or killed is resumed where it stopped, by whichever process comes next.
//! - Of many processes on one cache one transfers, the others wait and see its progress.
//! - A complete snapshot is used without the network; each use checks its files against a fast checksum that was
//!   recorded when they were published.
//! - The cache is the one that Python's `huggingface_hub` keeps: what it fetched is found (and verified before use),
//!   and the other way round.
//! - Every way in which it fails has a typed error and a reason.

mod attempts;
mod blob;
mod blocking;
mod cache;
mod digest;
mod error;
mod fetch;
mod folder;
mod inspect;
mod layout;
mod listing;
mod lock;
mod packed;
mod partial;
mod plan;
mod progress;
mod publish;
mod record;
mod retry;
mod transfer;

pub use cache::{Cache, FetchPolicy};
pub use error::ArtifactError;
pub use fetch::{FileEntry, Select, Snapshot, fetch};
pub use folder::digest_folder;
pub use progress::Transfer;
pub use retry::RetryPolicy;
