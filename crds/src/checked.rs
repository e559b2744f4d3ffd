//! From the spec of a `ModelDeployment` to values that cannot be wrong, or to the first field that is. Pure.
//!
//! The operator and a sidecar without a cluster read a spec by these rules alone. The API server has checked most of
//! them by the definition's own; an object stored under older rules, a definition installed without them, or a file
//! that no API server has seen must still not lead to a wrong plan.

mod error;
mod memory;
mod models;
mod preload_by_usage;
mod result_cache;

pub use error::SpecError;
pub use memory::{CheckedMemory, memory, task_limits};
pub use models::{Artifact, CheckedModel, CheckedVersion, models};
pub use preload_by_usage::preload_by_usage;
pub use result_cache::result_caches;

/// The longest name of a `ModelDeployment`: names of children add to it and are labels of at most 63 characters.
const MAX_NAME_LENGTH: usize = 52;

/// Checks the name of a `ModelDeployment`, which is also a Service's, and so a DNS label by RFC 1035.
///
/// # Errors
/// [`SpecError::OutOfRange`].
pub fn name(name: &str) -> Result<(), SpecError> {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_label = name.starts_with(|first: char| first.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.bytes().all(is_allowed);
    if is_label && name.len() <= MAX_NAME_LENGTH {
        return Ok(());
    }
    let shown = if name.is_empty() { "no name" } else { name };
    let expectation = "write at most 52 lower-case letters, digits and '-', starting with a letter";
    Err(SpecError::out_of_range("metadata.name", shown, expectation))
}

#[cfg(test)]
mod tests;
