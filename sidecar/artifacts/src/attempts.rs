//! Waits between attempts: gives the pure policy its clock and its dice.

use std::time::Instant;

use ostler_hub::HubError;

use crate::retry::RetryPolicy;

/// The failures in a row of one request or transfer.
#[derive(Debug)]
pub(crate) struct Attempts {
    policy: RetryPolicy,
    failures: u32,
    first_failure: Option<Instant>,
}

impl Attempts {
    pub(crate) fn new(policy: &RetryPolicy) -> Self {
        Self { policy: policy.clone(), failures: 0, first_failure: None }
    }

    /// Forgets the failures so far, because an attempt brought the transfer on.
    pub(crate) fn progressed(&mut self) {
        self.failures = 0;
        self.first_failure = None;
    }

    /// Waits before the next attempt.
    ///
    /// # Errors
    /// The given error, where there is to be no next attempt.
    pub(crate) async fn wait_after(&mut self, error: HubError) -> Result<(), HubError> {
        if !error.is_retryable() {
            return Err(error);
        }
        self.failures += 1;
        let elapsed = self.first_failure.get_or_insert_with(Instant::now).elapsed();
        let delay = self.policy.delay(self.failures, elapsed, error.retry_after(), rand::random());
        let Some(delay) = delay else { return Err(error) };
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            failures = self.failures,
            ?delay,
            "asking again"
        );
        tokio::time::sleep(delay).await;
        Ok(())
    }
}
