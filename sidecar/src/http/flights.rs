//! What requests for the same answer share while it is computed.

use std::sync::Arc;

use super::error::ApiError;
use crate::lease::Fallback;
use crate::result_cache::{Answer, AnswerKey};
use crate::single_flight::SingleFlight;
use crate::target::VersionKey;

/// The answers that are being computed.
pub(super) type Flights = SingleFlight<FlightKey, Result<Computed, ApiError>>;

/// What makes two requests wait for one computation: they ask the same, and the same versions may answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct FlightKey {
    /// The answer of the chosen version.
    pub(super) answer: AnswerKey,
    /// The chosen version and its fallbacks.
    pub(super) candidates: Vec<VersionKey>,
    /// Whether they insist on a commit.
    pub(super) planned_pin_only: bool,
}

/// An answer, and how it came about.
#[derive(Debug, Clone)]
pub(super) struct Computed {
    /// What was answered, by which version.
    pub(super) answer: Arc<Answer>,
    /// Why that is not the chosen version.
    pub(super) fallback: Option<Fallback>,
    /// Whether the version that answers had kept the answer.
    pub(super) was_kept: bool,
}
