//! How often one version was used of late, and at which hours of the day.

use std::time::Duration;

use super::reason::{Reason, share};
use super::time::{SOON, WallTime, day_and_hour, fade, fade_days, faded_days, hour, minute};

/// The half-life of the minutes in which a version was used.
const LATELY: Duration = Duration::from_secs(1800);

/// The uses of one version.
#[derive(Debug, Clone, Default)]
pub(super) struct Habits {
    last_used: WallTime,
    /// The minutes in which it was used, as they weighed at its last use.
    minutes: f64,
    /// For each hour of the day the days on which it was used then.
    days: [Days; 24],
    /// The hour in which it was loaded ahead and left unused, until it is used again.
    vain_hour: Option<u64>,
}

/// Days on which a version was used at a certain hour, as they weighed on the last of them.
#[derive(Debug, Clone, Copy, Default)]
struct Days {
    count: f64,
    last: u64,
}

impl Habits {
    pub(super) fn last_used(&self) -> WallTime {
        self.last_used
    }

    /// It is used. Any number of uses in a minute count as one, and so do those in an hour of a day, so that a burst of
    /// requests is no habit.
    pub(super) fn used(&mut self, now: WallTime) {
        let is_first = self.minutes == 0.0;
        if is_first || minute(now) > minute(self.last_used) {
            let age = now.saturating_sub(self.last_used);
            self.minutes = self.minutes * fade(age, LATELY) + 1.0;
        }
        let (day, of_day) = day_and_hour(hour(now));
        if let Some(days) = self.days.get_mut(of_day)
            && (days.count == 0.0 || day > days.last)
        {
            days.count = days.count * fade_days(day.saturating_sub(days.last)) + 1.0;
            days.last = day;
        }
        self.last_used = self.last_used.max(now);
        self.vain_hour = None;
    }

    /// It was loaded ahead in vain.
    pub(super) fn in_vain(&mut self, now: WallTime) {
        self.vain_hour = Some(hour(now));
    }

    /// Whether it was loaded ahead in vain in this hour, and nobody has used it since.
    pub(super) fn is_in_vain(&self, now: WallTime) -> bool {
        self.vain_hour == Some(hour(now))
    }

    /// How probable it is that it is used soon, because it was used lately. A version that its model's spec unloads by
    /// now is not loaded again for that.
    pub(super) fn lately(&self, now: WallTime, idle_time: Option<Duration>) -> Option<(f64, Reason)> {
        let age = now.saturating_sub(self.last_used);
        if idle_time.is_some_and(|time| time <= age) {
            return None;
        }
        let minutes = self.minutes * fade(age, LATELY);
        // The mean rate of a count that fades is its value over the mean life; that a minute with a use comes at such
        // a rate, within so long, is Poisson's.
        let expected = minutes * std::f64::consts::LN_2 * SOON.as_secs_f64() / LATELY.as_secs_f64();
        Some((1.0 - (-expected).exp(), Reason::Recency { minutes }))
    }

    /// How probable it is that it is used in the hour that it is soon, because it was at that hour of earlier days. The
    /// days are counted from `since` on. Once it was used in that hour today, nothing more follows from it.
    pub(super) fn at_this_hour(&self, now: WallTime, since: WallTime) -> Option<(f64, Reason)> {
        let (today, of_day) = day_and_hour(hour(now + SOON));
        let days = self.days.get(of_day).filter(|days| days.count > 0.0 && days.last < today)?;
        let (first_day, first_hour) = day_and_hour(hour(since));
        let first_day = first_day + u64::from(of_day < first_hour);
        let seen = faded_days(today.saturating_sub(first_day));
        let used = (days.count * fade_days(today - days.last)).min(seen);
        Some((share(used, seen), Reason::HourOfDay { hour: of_day, used, seen }))
    }
}
