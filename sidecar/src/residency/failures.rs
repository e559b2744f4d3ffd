//! The failures that the state machine itself finds, in words that say what to change.

use ostler_crds::status::FailureLocation;

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

/// More than the whole budget.
pub(super) fn too_large(peak: u64, budget: u64) -> VersionFailure {
    VersionFailure {
        location: FailureLocation::Memory,
        reason: "TooLarge".to_owned(),
        message: format!(
            "loading takes {peak} bytes, more than the whole of memory.host, {budget} bytes: raise memory.host or \
             lower instances"
        ),
        retryable: false,
        retry_after: None,
    }
}

/// No room beside what may not leave.
pub(super) fn full(peak: u64, protected: u64, budget: u64) -> VersionFailure {
    VersionFailure {
        location: FailureLocation::Memory,
        reason: "BudgetFull".to_owned(),
        message: format!(
            "loading takes {peak} bytes, but versions that may not be evicted hold {protected} of the {budget} bytes \
             of memory.host: raise memory.host, or set keep: false or load: Lazy on another model"
        ),
        retryable: true,
        retry_after: None,
    }
}
