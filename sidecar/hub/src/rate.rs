//! Decides whether a body comes too slowly. It counts only the time spent waiting for the other end, so a slow disk
//! here is not held against it.

use std::time::Duration;

/// The bytes and the waiting of the present window.
#[derive(Debug, Clone)]
pub(crate) struct RateGuard {
    window: Duration,
    minimum_bytes: u64,
    waited: Duration,
    bytes: u64,
}

impl RateGuard {
    /// A guard that wants `minimum_rate` bytes per second over each window.
    pub(crate) fn new(window: Duration, minimum_rate: u64) -> Self {
        let minimum_bytes = (minimum_rate as f64 * window.as_secs_f64()) as u64;
        Self { window, minimum_bytes, waited: Duration::ZERO, bytes: 0 }
    }

    /// How much longer may be waited before the present window is over.
    pub(crate) fn remaining(&self) -> Duration {
        self.window.saturating_sub(self.waited)
    }

    /// Takes in one wait and what it brought; false where a full window brought too little.
    pub(crate) fn observe(&mut self, waited: Duration, bytes: usize) -> bool {
        self.waited += waited;
        self.bytes += bytes as u64;
        if self.waited < self.window {
            return true;
        }
        let is_fast_enough = self.bytes >= self.minimum_bytes;
        self.waited = Duration::ZERO;
        self.bytes = 0;
        is_fast_enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trickle_fails_at_the_end_of_its_window() {
        let mut guard = RateGuard::new(Duration::from_secs(10), 100);
        for _ in 0..9 {
            assert!(guard.observe(Duration::from_secs(1), 1));
        }
        assert_eq!(guard.remaining(), Duration::from_secs(1));
        assert!(!guard.observe(Duration::from_secs(1), 1));
    }

    #[test]
    fn a_steady_body_passes_every_window() {
        let mut guard = RateGuard::new(Duration::from_secs(10), 100);
        assert!((0..1000).all(|_| guard.observe(Duration::from_secs(1), 100)));
    }

    #[test]
    fn a_fast_start_does_not_excuse_a_later_trickle() {
        let mut guard = RateGuard::new(Duration::from_secs(10), 100);
        assert!(guard.observe(Duration::from_secs(10), 1_000_000));
        assert!(!guard.observe(Duration::from_secs(10), 999));
    }
}
