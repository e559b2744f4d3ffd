//! `Prefer: respond-async`: a client that would rather not hold a connection while a version is loaded is answered 202 at
//! once, with a place that shows how far it is, and asks again when it is there.

use std::time::Duration;

use ostler_crds::status::VersionState;
use tokio::time::timeout;

use super::api::{self, Api};
use super::caller::Caller;
use super::error::{ApiError, Deferred};
use super::held_loads::Begun;
use super::version_progress;
use crate::routing::Request;

/// How long a client waits that does not say: what is loaded in less is answered, and what fails in less is told.
const SHORT_WAIT: Duration = Duration::from_millis(250);

impl Api {
    /// Lets a request on whose client waits, or whose version is there. Else its load begins, and goes on though nobody
    /// waits in a connection.
    ///
    /// # Errors
    /// [`ApiError::Deferred`] where the client is to ask again; and what loading fails with before it would be.
    pub(super) async fn loaded_or_deferred(
        &self,
        caller: &Caller,
        request: &Request,
    ) -> Result<(), ApiError> {
        let preference = caller.preference;
        if !preference.responds_async {
            return Ok(());
        }
        let manager = &self.app.manager;
        let key = self.chosen(request)?;
        let is_loaded = manager.snapshot().version(&key).is_some_and(|it| it.state == VersionState::Loaded);
        if is_loaded {
            return Ok(());
        }
        let wait = preference.wait.unwrap_or_default().max(SHORT_WAIT);
        let acquiring = {
            let (manager, request) = (manager.clone(), request.clone());
            // It waits as long as any request; whoever is sent away then leaves a load behind that goes on.
            async move { manager.acquire(request).await.map(drop).map_err(api::acquire_error) }
        };
        let outcome = match self.held_loads.begin(&key) {
            Begun::Held(held) => {
                let holding = tokio::spawn(async move {
                    let outcome = acquiring.await;
                    drop(held);
                    outcome
                });
                timeout(wait, holding).await.map(|joined| joined.unwrap_or(Err(ApiError::Internal)))
            }
            Begun::Already => timeout(wait, acquiring).await,
            // RFC 7240: a preference that cannot be met is passed over, and the request waits as any other.
            Begun::Full => return Ok(()),
        };
        outcome.unwrap_or_else(|_| {
            let snapshot = manager.snapshot();
            let version = snapshot.version(&key);
            Err(ApiError::Deferred(Box::new(Deferred {
                location: version_progress::path(&key),
                retry_after: version_progress::retry_after(version),
                progress: version.and_then(|version| serde_json::to_value(version).ok()).unwrap_or_default(),
            })))
        })
    }
}
