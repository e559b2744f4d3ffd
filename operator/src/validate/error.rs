//! Why a spec was refused, with the path of the field and what to write instead.

use ostler_crds::checked::SpecError;

/// Why a spec was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValidateError {
    /// By the rules that a sidecar without a cluster has too.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A node folder outside what the administrator allows.
    #[error("{field}: {path:?} is not allowed: {expectation}")]
    HostPath {
        /// The field's path.
        field: String,
        /// What was written.
        path: String,
        /// What the administrator allows.
        expectation: String,
    },
    /// The sidecar would have less memory than its models may use.
    #[error(
        "{field}: {given} bytes are too few: memory.host and the sidecar's own 256Mi need {needed}; leave it out or write more"
    )]
    MemoryTooSmall {
        /// The field's path.
        field: String,
        /// What was written.
        given: u64,
        /// The least.
        needed: u64,
    },
    /// A part of the template is not of its form.
    #[error("{field}: {expectation}")]
    Template {
        /// The field's path.
        field: String,
        /// What to write.
        expectation: &'static str,
    },
}
