//! From a snapshot to the status of a ModelReplica. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use ostler_crds::model_replica::{ModelReplicaStatus, ReportedVersion};
use ostler_crds::status::{Failure, Progress, VersionState};

use crate::snapshot::{FailureSnapshot, Snapshot, TransferSnapshot, VersionSnapshot};

/// The longest message, as the definition of the kind has it.
const MAX_MESSAGE_CHARACTERS: usize = 1024;

/// What the report says.
pub(super) fn status(snapshot: &Snapshot) -> ModelReplicaStatus {
    let loaded = snapshot.versions.iter().filter(|version| version.state == VersionState::Loaded).count();
    ModelReplicaStatus {
        plan_generation: snapshot.plan_generation,
        ready: snapshot.ready,
        progress_percent: i32::from(snapshot.progress_percent),
        loaded: format!("{loaded}/{}", snapshot.versions.len()),
        budget_bytes: signed(snapshot.budget_bytes),
        reserved_bytes: signed(snapshot.reserved_bytes),
        versions: snapshot.versions.iter().map(version).collect(),
    }
}

/// The same without what only moves: two statuses that are equal under this differ in progress alone.
pub(super) fn without_progress(status: &ModelReplicaStatus) -> ModelReplicaStatus {
    let mut status = status.clone();
    status.progress_percent = 0;
    for version in &mut status.versions {
        version.progress = None;
        version.stage = None;
        version.percent = 0;
    }
    status
}

fn version(version: &VersionSnapshot) -> ReportedVersion {
    ReportedVersion {
        model: version.key.model.to_string(),
        version: version.key.version.to_string(),
        language_pair: version.key.language_pair.as_ref().map(ToString::to_string).unwrap_or_default(),
        revision: version.revision.clone(),
        state: version.state,
        stage: version.stage,
        percent: i32::from(version.percent),
        proven: version.proven,
        resident_bytes: signed(version.resident_bytes),
        progress: version.progress.as_ref().map(progress),
        last_failure: version.last_failure.as_ref().map(|failure| self::failure(failure, &version.revision)),
    }
}

fn progress(transfer: &TransferSnapshot) -> Progress {
    Progress {
        total_bytes: transfer.total_bytes,
        completed_bytes: transfer.completed_bytes,
        speed_bytes_per_second: transfer.speed_bytes_per_second,
        remaining_seconds: transfer.remaining_seconds,
    }
}

fn failure(failure: &FailureSnapshot, revision: &str) -> Failure {
    Failure {
        location: failure.location,
        reason: failure.reason.clone(),
        message: bounded(&failure.message),
        revision: revision.chars().take(64).collect(),
        time: Time(failure.time),
        retryable: failure.retry_at.is_some(),
    }
}

/// Text from files and servers, safe to show in a terminal and short enough for the report.
fn bounded(text: &str) -> String {
    let escaped = text.chars().flat_map(|character| {
        let is_plain = !character.is_control();
        let plain = is_plain.then_some(character);
        let escaped = (!is_plain).then(|| character.escape_default());
        plain.into_iter().chain(escaped.into_iter().flatten())
    });
    escaped.take(MAX_MESSAGE_CHARACTERS).collect()
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_bounded_and_cannot_steer_a_terminal() {
        assert_eq!(bounded("a\u{1b}[31m\nb"), "a\\u{1b}[31m\\nb");
        assert_eq!(bounded(&"\n".repeat(2000)).chars().count(), 1024);
    }
}
