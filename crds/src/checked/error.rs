//! Why a spec was refused, with the path of the field and what to write instead.

use crate::names::NameError;
use crate::quantity::QuantityError;

/// Why a spec was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// A name, revision or URI is not of its form.
    #[error("{field}: {source}")]
    Name {
        /// The field's path.
        field: String,
        /// What is wrong with it.
        source: NameError,
    },
    /// An amount of memory is not of its form.
    #[error("{field}: {source}")]
    Quantity {
        /// The field's path.
        field: String,
        /// What is wrong with it.
        source: QuantityError,
    },
    /// A value is outside what is allowed.
    #[error("{field}: {value} is not allowed: {expectation}")]
    OutOfRange {
        /// The field's path.
        field: String,
        /// What was written.
        value: String,
        /// What to write.
        expectation: &'static str,
    },
    /// A name occurs twice in a list.
    #[error("{field}: {name:?} occurs twice: give each entry its own name")]
    Duplicate {
        /// The path of the second one.
        field: String,
        /// The name.
        name: String,
    },
    /// A version is named that the model does not have.
    #[error("{field}: the model has no version {name:?}: write one of {known}")]
    UnknownVersion {
        /// The field's path.
        field: String,
        /// What was written.
        name: String,
        /// The model's versions.
        known: String,
    },
    /// No default version among several.
    #[error("{field}: name the version that takes what the weights leave of 100")]
    MissingDefault {
        /// The field's path.
        field: String,
    },
    /// The weights beside the default version's are over 100 percent.
    #[error("{field}: the weights add up to {total}: write at most 100 together")]
    WeightsExceed {
        /// The path of the list.
        field: String,
        /// Their sum.
        total: u32,
    },
    /// A placeholder has nothing to be replaced with.
    #[error("{field}: {{languagePair}} needs languagePairs in the same model")]
    PlaceholderWithoutPairs {
        /// The field's path.
        field: String,
    },
}

impl SpecError {
    /// A value outside what is allowed.
    #[must_use]
    pub fn out_of_range(field: &str, value: impl ToString, expectation: &'static str) -> Self {
        Self::OutOfRange { field: field.to_owned(), value: value.to_string(), expectation }
    }
}
