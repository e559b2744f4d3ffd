//! How long a failed version rests before it is tried again.

use std::time::Duration;

/// Exponential backoff with jitter, for each version on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The rest after the first failure.
    pub base: Duration,
    /// The longest rest.
    pub cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_secs(5), cap: Duration::from_secs(300) }
    }
}

impl Backoff {
    /// The rest after `failures` failures in a row. `jitter` from 0 to 1 takes away up to half of it, so that pods
    /// that failed together do not come back together. What the other side asked for is waited in full.
    #[must_use]
    pub fn rest(&self, failures: u32, jitter: f64, asked_for: Option<Duration>) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        let full = self.base.saturating_mul(1 << doublings).min(self.cap);
        let rest = full.mul_f64(1.0 - 0.5 * jitter.clamp(0.0, 1.0));
        rest.max(asked_for.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_doubles_the_rest_up_to_the_cap() {
        let backoff = Backoff { base: Duration::from_secs(5), cap: Duration::from_secs(60) };
        let rests: Vec<u64> = (1..=6).map(|failures| backoff.rest(failures, 0.0, None).as_secs()).collect();
        assert_eq!(rests, [5, 10, 20, 40, 60, 60]);
        assert_eq!(backoff.rest(u32::MAX, 1.0, None), Duration::from_secs(30));
    }

    #[test]
    fn a_wait_that_the_hub_asks_for_is_kept() {
        let asked_for = Some(Duration::from_secs(90));
        assert_eq!(Backoff::default().rest(1, 0.5, asked_for), Duration::from_secs(90));
    }
}
