//! What the handlers share: the manager, the limits, the permits, and how a version is acquired.

use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use ostler_crds::names::Task;
use ostler_inference::engine::{Control, Job, Output};

use super::admission::Admission;
use super::error::{ApiError, Attempt};
use super::flights::Flights;
use super::held_loads::HeldLoads;
use super::provenance::{self, Credit};
use crate::lease::Lease;
use crate::manager::AcquireError;
use crate::pool::RunError;
use crate::residency::FailedAttempt;
use crate::result_cache::Pin;
use crate::routing::{self, Request, RouteError};
use crate::state::AppState;
use crate::target::{VersionFailure, VersionKey};

/// When a client may ask again for a version that only a change of the plan can help.
const AFTER_A_CHANGE: Duration = Duration::from_secs(60);

/// The state of every handler of the serving listener. Cloning is cheap.
#[derive(Clone)]
pub(super) struct Api {
    pub(super) app: AppState,
    pub(super) admission: Arc<Admission>,
    pub(super) held_loads: HeldLoads,
    pub(super) flights: Flights,
}

impl Api {
    pub(super) fn new(app: AppState) -> Self {
        let admission = Arc::new(Admission::new(&app.limits));
        Self { app, admission, held_loads: HeldLoads::default(), flights: Flights::default() }
    }

    /// Whether the plan has a version for the request, before anything is done for it.
    ///
    /// # Errors
    /// [`ApiError::UnknownModel`], [`ApiError::UnknownLanguagePair`].
    pub(super) fn check_route(&self, request: &Request) -> Result<(), ApiError> {
        self.route(request).map(|_| ())
    }

    /// The versions that may answer a request: the chosen one, then its fallbacks.
    ///
    /// # Errors
    /// As [`Api::check_route`].
    pub(super) fn route(&self, request: &Request) -> Result<Vec<VersionKey>, ApiError> {
        routing::candidates(&self.app.manager.plan(), request).map_err(route_error)
    }

    /// The weights that the chosen version answers with, where answers are kept and the weights are known.
    ///
    /// # Errors
    /// As [`Api::check_route`].
    pub(super) fn pin(&self, request: &Request) -> Result<Option<Pin>, ApiError> {
        self.app.manager.pin(request).map_err(route_error)
    }

    /// The version that routing chooses for the request.
    ///
    /// # Errors
    /// As [`Api::check_route`].
    pub(super) fn chosen(&self, request: &Request) -> Result<VersionKey, ApiError> {
        self.route(request)?.into_iter().next().ok_or(ApiError::Internal)
    }

    /// Acquires a version for the request.
    ///
    /// # Errors
    /// The routing's, [`ApiError::ModelUnavailable`], [`ApiError::ShuttingDown`].
    pub(super) async fn acquire(&self, request: Request) -> Result<Lease, ApiError> {
        let outcome = self.app.manager.acquire(request).await;
        outcome.map_err(acquire_error)
    }
}

impl Api {
    /// Says in the response's headers, and in the metrics, which versions answered, and whether they had to compute.
    pub(super) fn credit(&self, response: &mut Response, used: &[Credit]) {
        provenance::add(response.headers_mut(), used);
        for Credit { provenance, is_hit } in used {
            self.app.metrics.observe_served(provenance);
            if let Some(is_hit) = is_hit {
                self.app.metrics.observe_result(&provenance.model, *is_hit);
            }
        }
    }
}

/// Runs a job, of which the caller hears by `control`. `names` maps the job's fields to those of the endpoint.
///
/// # Errors
/// [`ApiError::Busy`] where the queue is full, else what the engine says.
pub(super) async fn run(
    lease: &Lease,
    job: Job,
    control: Control,
    names: &[(&str, &str)],
) -> Result<Output, ApiError> {
    // Dropping this future, as happens when the client goes away, cancels the job.
    lease.run(job, control).await.map_err(|error| match error {
        RunError::Engine(error) => ApiError::engine(&error, names),
        RunError::Busy { retry_after, .. } => ApiError::Busy { what: "this model", retry_after },
        RunError::Panicked(message) => {
            tracing::error!(%message, "an engine panicked");
            ApiError::Internal
        }
    })
}

/// An answer of another kind than the job's: the model has another task than the plan says.
pub(super) fn wrong_output(expected: Task) -> ApiError {
    tracing::error!(%expected, "an engine gave another kind of answer than its job asked for");
    ApiError::Internal
}

pub(super) fn route_error(error: RouteError) -> ApiError {
    let message = error.to_string();
    match error {
        RouteError::UnknownModel { .. } | RouteError::UnknownVersion { .. } => {
            ApiError::UnknownModel { message }
        }
        RouteError::CommitGone { .. } => ApiError::CommitGone { message },
        RouteError::UnknownLanguagePair { .. } | RouteError::LanguagePairNeeded { .. } => {
            ApiError::UnknownLanguagePair { message }
        }
    }
}

pub(super) fn acquire_error(error: AcquireError) -> ApiError {
    let message = error.to_string();
    match error {
        AcquireError::Route(error) => route_error(error),
        AcquireError::Unavailable { attempts, retry_after, .. } => ApiError::ModelUnavailable {
            message,
            attempts: attempts.into_iter().map(attempt).collect(),
            retry_after: retry_after.unwrap_or(AFTER_A_CHANGE),
        },
        AcquireError::Busy { attempts, retry_after, .. } => ApiError::ModelUnavailable {
            message,
            attempts: attempts.into_iter().map(attempt).collect(),
            retry_after,
        },
        AcquireError::Removed { .. } => ApiError::UnknownModel { message },
        AcquireError::ShuttingDown => ApiError::ShuttingDown,
    }
}

fn attempt(attempt: FailedAttempt) -> Attempt {
    let VersionFailure { location, reason, message, retryable, .. } = attempt.failure;
    Attempt { version: attempt.key.to_string(), location, reason, message, retryable }
}

#[cfg(test)]
mod tests;
