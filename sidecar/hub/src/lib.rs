//! A client of the Hugging Face Hub's HTTP interface that checks every status, bounds every wait and guards its
//! token.
//!
//! The operator resolves revisions with it, the sidecar's cache downloads files with it. What it promises:
//!
//! - The status is checked before a body is used, so an error page is never taken for a file.
//! - No wait is endless: connecting, an answer's head, each piece of a body and a body's rate are all bounded.
//! - The token goes to the endpoint's own origin alone, is read again on each use, and is in no log, error or
//!   `Debug` output.
//! - Redirects are followed by hand, to the endpoint's own host and to the hosts that the settings list, never to a
//!   private address unless the endpoint is at one itself.
//! - Everything in an answer is checked before it is passed on: commits, digests, sizes, paths.

mod address;
mod client;
mod download;
mod error;
mod failure;
mod file_path;
mod head;
mod rate;
mod redirect;
mod repository_revision;
mod resolver;
mod retry_after;
mod settings;
mod token;

pub use client::HubClient;
pub use download::Download;
pub use error::{HubError, Resource};
pub use file_path::{UnsafePath, check_file_path};
pub use repository_revision::{RepositoryFile, RepositoryRevision};
pub use settings::{HubBounds, HubSettings};
pub use url::Url;

#[cfg(test)]
mod tests {
    mod fuzz;
}
