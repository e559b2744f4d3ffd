//! The failures that the state machine itself finds, in words that say what to change.

use ostler_crds::names::Task;
use ostler_crds::status::{FailureLocation, VersionState};

use super::budget::{Scope, Shortage};
use crate::target::VersionFailure;

/// A source that has no commit.
pub(super) fn unpinned(why: String) -> VersionFailure {
    VersionFailure {
        location: FailureLocation::Download,
        reason: "Unpinned".to_owned(),
        message: why,
        retryable: false,
        retry_after: None,
    }
}

/// More than a whole bound allows.
pub(super) fn too_large(shortage: &Shortage, task: Task) -> VersionFailure {
    let bound = bound(shortage.scope, task);
    let Shortage { needed_bytes, limit_bytes, .. } = shortage;
    VersionFailure {
        location: FailureLocation::Memory,
        reason: "TooLarge".to_owned(),
        message: format!(
            "loading takes {needed_bytes} bytes, more than the whole of {bound}, {limit_bytes} bytes: raise {bound}, or \
             lower instances"
        ),
        retryable: false,
        retry_after: None,
    }
}

/// No room beside what may not leave.
pub(super) fn full(shortage: &Shortage, task: Task) -> VersionFailure {
    let bound = bound(shortage.scope, task);
    let Shortage { needed_bytes, free_bytes, limit_bytes, .. } = shortage;
    VersionFailure {
        location: FailureLocation::Memory,
        reason: "BudgetFull".to_owned(),
        message: format!(
            "loading takes {needed_bytes} bytes, but versions that may not be evicted leave {free_bytes} of the \
             {limit_bytes} bytes of {bound}: raise {bound}, or set keep: false or load: Lazy on another model"
        ),
        retryable: true,
        retry_after: None,
    }
}

/// Less memory is really there than the budget allows.
pub(super) fn not_free(shortage: &Shortage) -> VersionFailure {
    let Shortage { needed_bytes, free_bytes, limit_bytes, .. } = shortage;
    VersionFailure {
        location: FailureLocation::Memory,
        reason: "NotEnoughFree".to_owned(),
        message: format!(
            "loading takes {needed_bytes} bytes, but {free_bytes} bytes are really free, or could be freed, of the limit \
             of {limit_bytes} bytes: something else takes more than planned; lower memory.host, or raise the limit"
        ),
        retryable: true,
        retry_after: None,
    }
}

/// A request that waited as long as one may, or could not wait at all, for a version in this state.
pub(super) fn not_loaded_yet(state: VersionState, shortage: Option<&Shortage>, task: Task) -> VersionFailure {
    let (location, reason, message) = match (state, shortage) {
        (VersionState::Downloading | VersionState::Remote, _) => {
            (FailureLocation::Download, "StillDownloading", "its files are still being fetched".to_owned())
        }
        (VersionState::Cached, Some(shortage)) => {
            let Shortage { scope, needed_bytes, free_bytes, limit_bytes } = shortage;
            let bound = bound(*scope, task);
            let message = format!(
                "a load waits for memory: it takes {needed_bytes} bytes, and {free_bytes} of the {limit_bytes} bytes of \
                 {bound} can be freed now; the rest is held by versions that are in use or were loaded just now"
            );
            (FailureLocation::Memory, "MemoryInUse", message)
        }
        (VersionState::Loaded, _) => {
            let message = "it is loaded, and waits for working memory, which other requests use; more instances or \
                           models are at work than memory.host has room for";
            (FailureLocation::Memory, "MemoryInUse", message.to_owned())
        }
        _ => (FailureLocation::Load, "StillLoading", "it is still being loaded".to_owned()),
    };
    VersionFailure { location, reason: reason.to_owned(), message, retryable: true, retry_after: None }
}

/// The field of the spec that sets a bound.
fn bound(scope: Scope, task: Task) -> String {
    match scope {
        Scope::Model => "the model's memoryLimit".to_owned(),
        Scope::Task => format!("memory.limits[{task}]"),
        Scope::Budget => "memory.host".to_owned(),
        Scope::Real => "the memory that is really there".to_owned(),
    }
}
