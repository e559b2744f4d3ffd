//! What a pod's report says of one planned version. Pure.

use ostler_crds::model_replica::{ModelReplicaStatus, ReportedVersion};
use ostler_crds::serving_plan::{PlannedArtifact, PlannedModel, PlannedVersion};
use ostler_crds::status::VersionState;

/// The entry of a report that speaks of an artifact at its pin. An entry of another commit speaks of an older plan
/// and so does not count.
#[must_use]
pub fn entry<'a>(
    report: &'a ModelReplicaStatus,
    model: &PlannedModel,
    version: &PlannedVersion,
    artifact: &PlannedArtifact,
) -> Option<&'a ReportedVersion> {
    let pair = artifact.language_pair.as_ref().map_or("", |pair| pair.as_str());
    report.versions.iter().find(|entry| {
        let same_commit = artifact.commit.as_ref().is_none_or(|commit| {
            entry.revision == commit.as_str()
                || (entry.revision.is_empty() && entry.state != VersionState::Loaded)
        });
        entry.model == model.name.as_str()
            && entry.version == version.name.as_str()
            && entry.language_pair == pair
            && same_commit
    })
}

/// Whether every artifact of the version answers requests in this pod, at its pin. One that was loaded and has left
/// memory for others, or because nobody used it, does: the next request brings it back.
#[must_use]
pub fn is_loaded(report: &ModelReplicaStatus, model: &PlannedModel, version: &PlannedVersion) -> bool {
    let is_up = |entry: &ReportedVersion| match entry.state {
        VersionState::Loaded => true,
        VersionState::Cached | VersionState::Loading => entry.proven,
        VersionState::Remote | VersionState::Downloading | VersionState::FailedToLoad => false,
    };
    version.artifacts.iter().all(|artifact| entry(report, model, version, artifact).is_some_and(is_up))
}
