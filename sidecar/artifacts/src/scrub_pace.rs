//! Decides what is scrubbed next, when, and how fast. Pure.

use std::time::{Duration, SystemTime};

/// How a scrub behaves. The defaults suit production; tests shorten them.
#[derive(Debug, Clone)]
pub struct ScrubPolicy {
    /// How long a full verification is good for.
    pub interval: Duration,
    /// The most that is read in a second.
    pub bytes_per_second: u64,
    /// How long nothing is read at the start of the process.
    pub first_wait: Duration,
    /// The longest time between two looks at what there is.
    pub longest_wait: Duration,
}

impl Default for ScrubPolicy {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(7 * 24 * 3600),
            bytes_per_second: 32 << 20,
            first_wait: Duration::from_secs(60),
            longest_wait: Duration::from_secs(3600),
        }
    }
}

/// What a scrub does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Look at this one.
    Due(usize),
    /// Nothing for so long.
    Wait(Duration),
}

/// The one whose verification is longest ago, if it is due.
pub(crate) fn next(verified_at: &[SystemTime], now: SystemTime, policy: &ScrubPolicy) -> Next {
    let oldest = verified_at.iter().enumerate().min_by_key(|(_, at)| **at);
    let Some((place, at)) = oldest else { return Next::Wait(policy.longest_wait) };
    // A time that is yet to come is that of a clock that was set back.
    let age = now.duration_since(*at).unwrap_or_default();
    match policy.interval.checked_sub(age) {
        Some(wait) if !wait.is_zero() => Next::Wait(wait.min(policy.longest_wait)),
        _ => Next::Due(place),
    }
}

/// How long to rest after so many bytes that took so long.
pub(crate) fn rest(bytes: u64, took: Duration, bytes_per_second: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / bytes_per_second.max(1) as f64).saturating_sub(took)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn what_was_verified_longest_ago_is_next_when_it_is_due() {
        let policy = ScrubPolicy { interval: 10 * HOUR, ..ScrubPolicy::default() };
        let now = SystemTime::UNIX_EPOCH + 100 * HOUR;
        let at = |hours: &[u32]| hours.iter().map(|hours| now - *hours * HOUR).collect::<Vec<_>>();
        let table = [
            (at(&[]), Next::Wait(HOUR)),
            (at(&[1, 2]), Next::Wait(HOUR)),
            (at(&[10, 2]), Next::Due(0)),
            (at(&[11, 40, 12]), Next::Due(1)),
            (vec![now + HOUR], Next::Wait(HOUR)),
            (vec![now - 10 * HOUR + HOUR / 2], Next::Wait(HOUR / 2)),
        ];
        for (verified_at, expected) in table {
            assert_eq!(next(&verified_at, now, &policy), expected, "{verified_at:?}");
        }
    }

    #[test]
    fn the_rest_makes_up_for_what_was_read_too_fast() {
        let second = Duration::from_secs(1);
        assert_eq!(rest(100, second / 4, 100), second * 3 / 4);
        assert_eq!(rest(100, 2 * second, 100), Duration::ZERO);
        assert_eq!(rest(1, Duration::ZERO, 0), second);
    }
}
