//! When a report is sent: transitions at once, mere progress every few seconds, nothing when nothing changes. Pure.

use std::time::Duration;

use ostler_crds::model_replica::ModelReplicaStatus;

use super::status::without_progress;
use crate::residency::Moment;

/// How often mere progress is reported.
pub(super) const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// What to do with a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// It says nothing new.
    Skip,
    /// Send it.
    Send,
    /// Look again at this moment.
    Wait(Moment),
}

/// Decides over a status, given the last one that the API server took, and when.
pub(super) fn decide(
    sent: Option<(&ModelReplicaStatus, Moment)>,
    status: &ModelReplicaStatus,
    now: Moment,
) -> Decision {
    let Some((last, at)) = sent else { return Decision::Send };
    if last == status {
        return Decision::Skip;
    }
    let is_transition = without_progress(last) != without_progress(status);
    let due = at + PROGRESS_INTERVAL;
    if is_transition || now >= due { Decision::Send } else { Decision::Wait(due) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transitions_go_at_once_progress_waits_and_sameness_is_silent() {
        let at = Duration::from_secs;
        let quiet = ModelReplicaStatus::default();
        let moved = ModelReplicaStatus { progress_percent: 40, ..quiet.clone() };
        let ready = ModelReplicaStatus { ready: true, ..quiet.clone() };
        assert_eq!(decide(None, &quiet, at(0)), Decision::Send);
        assert_eq!(decide(Some((&quiet, at(0))), &quiet, at(100)), Decision::Skip);
        assert_eq!(decide(Some((&quiet, at(0))), &moved, at(1)), Decision::Wait(at(5)));
        assert_eq!(decide(Some((&quiet, at(0))), &moved, at(5)), Decision::Send);
        assert_eq!(decide(Some((&quiet, at(0))), &ready, at(1)), Decision::Send);
    }
}
