//! How far transfers and preloading are: numbers that only grow.

use std::collections::VecDeque;
use std::time::Duration;

use ostler_crds::status::{Stage, VersionState};

use crate::loader::Transferred;
use crate::residency::Moment;
use crate::snapshot::TransferSnapshot;

/// The speed is the mean of so long a time.
const WINDOW: Duration = Duration::from_secs(5);

/// The part of a version's way that fetching is; the rest is loading.
const FETCH_SHARE: f64 = 0.9;

/// Follows one transfer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meter {
    samples: VecDeque<(Moment, u64)>,
    total_bytes: Option<u64>,
    completed_bytes: u64,
}

impl Meter {
    /// Notes how far the transfer is at a moment.
    pub(crate) fn record(&mut self, now: Moment, transferred: Transferred) {
        self.total_bytes = Some(transferred.total_bytes.max(self.total_bytes.unwrap_or(0)));
        self.completed_bytes = self.completed_bytes.max(transferred.completed_bytes);
        self.samples.push_back((now, self.completed_bytes));
        // The sample just outside the window stays: the speed is measured from it.
        while self.samples.get(1).is_some_and(|(moment, _)| *moment + WINDOW < now) {
            self.samples.pop_front();
        }
    }

    /// The numbers for reports.
    pub(crate) fn snapshot(&self) -> TransferSnapshot {
        let total = self.total_bytes.map_or(-1, |total| i64::try_from(total).unwrap_or(i64::MAX));
        let completed = i64::try_from(self.completed_bytes).unwrap_or(i64::MAX);
        let speed = self.speed();
        let remaining = match (total, speed) {
            (-1, _) => -1,
            (total, _) if total <= completed => 0,
            (_, speed) if speed <= 0 => -1,
            (total, speed) => (total - completed + speed - 1) / speed,
        };
        TransferSnapshot {
            total_bytes: total,
            completed_bytes: completed,
            speed_bytes_per_second: speed,
            remaining_seconds: remaining,
        }
    }

    /// Whether everything is here; `None` while nobody knows how much there is.
    pub(crate) fn is_complete(&self) -> Option<bool> {
        self.total_bytes.map(|total| self.completed_bytes >= total)
    }

    /// How much of it is done, from 0 to 1.
    pub(crate) fn fraction(&self) -> f64 {
        match self.total_bytes {
            Some(total) if total > 0 => (self.completed_bytes as f64 / total as f64).min(1.0),
            Some(_) => 1.0,
            None => 0.0,
        }
    }

    fn speed(&self) -> i64 {
        let (Some((first, before)), Some((last, after))) = (self.samples.front(), self.samples.back()) else {
            return -1;
        };
        let seconds = last.saturating_sub(*first).as_secs_f64();
        if seconds <= 0.0 { -1 } else { ((after - before) as f64 / seconds) as i64 }
    }
}

/// What is being done for a version in a state; `is_loaded` says that its weights are in memory already.
pub(crate) fn stage(state: VersionState, transfer: Option<&Meter>, is_loaded: bool) -> Option<Stage> {
    match state {
        VersionState::Downloading => Some(match transfer.and_then(Meter::is_complete) {
            None => Stage::Resolve,
            Some(false) => Stage::Download,
            Some(true) => Stage::Verify,
        }),
        VersionState::Loading => Some(if is_loaded { Stage::WarmUp } else { Stage::Load }),
        VersionState::Remote | VersionState::Cached | VersionState::Loaded | VersionState::FailedToLoad => {
            None
        }
    }
}

/// How far one version is on its way into memory, in whole percent: 100 only once it is there. Fetching is the most of
/// it; how long reading weights takes yet is not known. `least` is what was reported before.
pub(crate) fn version_percent(
    state: VersionState,
    stage: Option<Stage>,
    transfer: Option<&Meter>,
    least: u8,
) -> u8 {
    let percent = match (state, stage) {
        (VersionState::Loaded, _) => 100,
        (_, Some(Stage::Resolve)) => 0,
        (_, Some(Stage::Download)) => (FETCH_SHARE * 100.0 * transfer.map_or(0.0, Meter::fraction)) as u8,
        (_, Some(Stage::Verify)) | (VersionState::Cached, None) => 90,
        (_, Some(Stage::Load)) => 92,
        (_, Some(Stage::WarmUp)) => 97,
        (_, None) => 0,
    };
    percent.max(least)
}

/// How far one version is on its way to being loaded, from 0 to 1.
pub(crate) fn fraction(state: VersionState, was_proven: bool, transfer: Option<&Meter>) -> f64 {
    if was_proven {
        return 1.0;
    }
    match state {
        VersionState::Remote | VersionState::FailedToLoad => 0.0,
        VersionState::Downloading => FETCH_SHARE * transfer.map_or(0.0, Meter::fraction),
        VersionState::Cached | VersionState::Loading => FETCH_SHARE,
        VersionState::Loaded => 1.0,
    }
}

/// How far all preloading is in whole percent: 100 only when everything is done, and where there is nothing to do.
/// `least` is what was reported before under the same plan.
pub(crate) fn percent(fractions: &[f64], least: u8) -> u8 {
    if fractions.is_empty() {
        return 100;
    }
    let mean = fractions.iter().sum::<f64>() / fractions.len() as f64;
    let is_done = fractions.iter().all(|fraction| *fraction >= 1.0);
    let percent = if is_done { 100 } else { ((mean * 100.0).floor() as u8).min(99) };
    percent.max(least)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64, completed_bytes: u64) -> (Moment, Transferred) {
        (Duration::from_secs(seconds), Transferred { total_bytes: 1000, completed_bytes })
    }

    #[test]
    fn speed_and_rest_follow_the_last_seconds() {
        let mut meter = Meter::default();
        assert_eq!(meter.snapshot().total_bytes, -1);
        for (moment, transferred) in [at(0, 0), at(1, 10), at(10, 100), at(12, 300), at(14, 500)] {
            meter.record(moment, transferred);
        }
        let snapshot = meter.snapshot();
        assert_eq!((snapshot.completed_bytes, snapshot.speed_bytes_per_second), (500, 37));
        assert_eq!(snapshot.remaining_seconds, 14);
    }

    #[test]
    fn a_restarted_transfer_does_not_fall_back() {
        let mut meter = Meter::default();
        for (moment, transferred) in [at(0, 400), at(1, 0), at(2, 300)] {
            meter.record(moment, transferred);
        }
        assert_eq!(meter.snapshot().completed_bytes, 400);
    }

    #[test]
    fn a_version_passes_its_stages_in_order_and_its_percent_never_falls() {
        use VersionState::{Cached, Downloading, FailedToLoad, Loaded, Loading, Remote};
        let mut meter = Meter::default();
        let mut least = 0;
        let mut look = |state, meter: &Meter, is_loaded| {
            let stage = stage(state, Some(meter), is_loaded);
            least = version_percent(state, stage, Some(meter), least);
            (stage, least)
        };
        assert_eq!(look(Remote, &meter, false), (None, 0));
        assert_eq!(look(Downloading, &meter, false), (Some(Stage::Resolve), 0));
        for (completed, stage, percent) in [(100, Stage::Download, 9), (500, Stage::Download, 45)] {
            let (moment, transferred) = at(completed, completed);
            meter.record(moment, transferred);
            assert_eq!(look(Downloading, &meter, false), (Some(stage), percent));
        }
        // A failure, and the next try, which goes on where the last one ended.
        assert_eq!(look(FailedToLoad, &meter, false), (None, 45));
        assert_eq!(look(Downloading, &Meter::default(), false), (Some(Stage::Resolve), 45));
        let (moment, transferred) = at(1000, 1000);
        meter.record(moment, transferred);
        assert_eq!(look(Downloading, &meter, false), (Some(Stage::Verify), 90));
        assert_eq!(look(Cached, &meter, false), (None, 90));
        assert_eq!(look(Loading, &meter, false), (Some(Stage::Load), 92));
        assert_eq!(look(Loading, &meter, true), (Some(Stage::WarmUp), 97));
        assert_eq!(look(Loaded, &meter, false), (None, 100));
    }

    #[test]
    fn preloading_is_at_100_only_when_everything_is_up() {
        assert_eq!(percent(&[], 0), 100);
        assert_eq!(percent(&[1.0, 0.999], 0), 99);
        assert_eq!(percent(&[0.2, 0.4], 50), 50);
        assert_eq!(percent(&[1.0, 1.0], 99), 100);
    }
}
