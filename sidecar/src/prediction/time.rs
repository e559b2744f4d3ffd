//! Moments, and how much of a count is left after some time.

use std::time::Duration;

/// Time since 1970 in UTC. Whoever counts the days and hours of uses reads no clock: the moment is given.
pub type WallTime = Duration;

/// What is predicted is expected within this time, and what nobody has used for so long is idle.
pub const SOON: Duration = Duration::from_secs(600);

const SECONDS_OF_HOUR: u64 = 3600;

/// The half-life of what was counted by days.
pub(super) const WEEK: Duration = Duration::from_secs(7 * 24 * SECONDS_OF_HOUR);

/// The minute, counted from 1970.
pub(super) fn minute(moment: WallTime) -> u64 {
    moment.as_secs() / 60
}

/// The hour, counted from 1970.
pub(super) fn hour(moment: WallTime) -> u64 {
    moment.as_secs() / SECONDS_OF_HOUR
}

/// The day, and the hour of it, of an hour that is counted from 1970.
pub(super) fn day_and_hour(hour: u64) -> (u64, usize) {
    (hour / 24, (hour % 24) as usize)
}

/// What is left of a count of 1 after some time.
pub(super) fn fade(age: Duration, half_life: Duration) -> f64 {
    (-age.as_secs_f64() / half_life.as_secs_f64()).exp2()
}

/// What is left of a count of 1 after so many days.
pub(super) fn fade_days(days: u64) -> f64 {
    (-(days as f64) / 7.0).exp2()
}

/// A count of 1 for each of the `days` days before today, the older the less.
pub(super) fn faded_days(days: u64) -> f64 {
    // A geometric series from yesterday on.
    let daily = fade_days(1);
    daily * (1.0 - fade_days(days)) / (1.0 - daily)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_half_after_its_half_life_and_days_add_up() {
        assert_eq!(fade(SOON, SOON), 0.5);
        assert_eq!((fade_days(0), fade_days(7)), (1.0, 0.5));
        for days in [0, 1, 2, 10, 10_000] {
            let sum: f64 = (1..=days).map(fade_days).sum();
            assert!((faded_days(days) - sum).abs() < 1e-9, "{days}");
        }
        assert_eq!(day_and_hour(hour(Duration::from_secs(25 * 3600 + 59))), (1, 1));
    }
}
