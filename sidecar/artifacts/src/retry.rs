//! Decides whether and when a failed request is made again. Pure: the failures, the time and the dice are arguments.

use std::time::Duration;

/// When and how often a failed request is made again.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    /// The most failures in a row without progress.
    pub failures: u32,
    /// The wait after the first failure; it doubles with each further one.
    pub first_delay: Duration,
    /// The longest wait of its own; a wait that the Hub asks for may be longer.
    pub longest_delay: Duration,
    /// How long failures in a row may last before the error is handed up, so that its reason is seen in time.
    pub patience: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            failures: 6,
            first_delay: Duration::from_millis(500),
            longest_delay: Duration::from_secs(10),
            patience: Duration::from_secs(25),
        }
    }
}

impl RetryPolicy {
    /// The wait before the next request, or nothing where the error is handed up.
    ///
    /// `failures` counts those in a row, at least 1; `elapsed` is the time since the first of them; `asked` is the
    /// wait that the Hub asked for; `dice` is random in 0 to 1 and spreads many clients apart: a wait of the
    /// client's own lies between half and all of the doubled delay, a wait that the Hub asked for is stretched by up
    /// to a quarter, never shortened.
    #[must_use]
    pub fn delay(
        &self,
        failures: u32,
        elapsed: Duration,
        asked: Option<Duration>,
        dice: f64,
    ) -> Option<Duration> {
        if failures >= self.failures {
            return None;
        }
        let dice = dice.clamp(0.0, 1.0);
        let doublings = failures.saturating_sub(1).min(16);
        let own =
            self.first_delay.saturating_mul(1 << doublings).min(self.longest_delay).mul_f64(0.5 + 0.5 * dice);
        let delay = match asked {
            Some(asked) => own.max(asked.mul_f64(1.0 + 0.25 * dice)),
            None => own,
        };
        (elapsed + delay <= self.patience).then_some(delay)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn delays_double_and_end() {
        let policy = RetryPolicy::default();
        let delays: Vec<_> =
            (1..=6).map(|failures| policy.delay(failures, Duration::ZERO, None, 1.0)).collect();
        let milliseconds = |milliseconds| Some(Duration::from_millis(milliseconds));
        assert_eq!(
            delays,
            [
                milliseconds(500),
                milliseconds(1000),
                milliseconds(2000),
                milliseconds(4000),
                milliseconds(8000),
                None
            ]
        );
    }

    #[test]
    fn a_wait_that_the_hub_asks_for_is_honoured_or_handed_up() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.delay(1, Duration::ZERO, Some(10 * SECOND), 0.0), Some(10 * SECOND));
        assert_eq!(policy.delay(1, Duration::ZERO, Some(60 * SECOND), 0.0), None);
        assert_eq!(policy.delay(1, 20 * SECOND, Some(10 * SECOND), 0.0), None);
    }

    proptest! {
        #[test]
        fn waits_are_bounded(failures in 1_u32..100, elapsed in 0_u64..60_000, asked in proptest::option::of(0_u64..100_000), dice in 0.0..1.0_f64) {
            let policy = RetryPolicy::default();
            let (elapsed, asked) = (Duration::from_millis(elapsed), asked.map(Duration::from_millis));
            match policy.delay(failures, elapsed, asked, dice) {
                None => {}
                Some(delay) => {
                    prop_assert!(failures < policy.failures);
                    prop_assert!(elapsed + delay <= policy.patience);
                    prop_assert!(asked.is_none_or(|asked| delay >= asked));
                    prop_assert!(delay >= policy.first_delay / 2);
                }
            }
        }
    }
}
