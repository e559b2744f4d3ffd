//! Pins the sources of a manifest at start, as the operator does for a cluster: each revision becomes a commit once.

use std::collections::BTreeMap;
use std::path::Path;

use ostler_crds::names::{Commit, RepositoryId, Revision, StorageUri};
use ostler_crds::serving_plan::ServingPlan;
use ostler_hub::{HubClient, HubError};

/// Resolves every revision of a plan. Where the Hub cannot be asked, the commit that the cache has seen the revision
/// at is taken; where there is none either, the artifact stays unpinned and says why.
pub async fn resolve(plan: &mut ServingPlan, hub: &HubClient, cache_root: &Path) {
    let mut known: BTreeMap<(RepositoryId, Revision), Result<Commit, String>> = BTreeMap::new();
    let versions = plan.models.iter_mut().flat_map(|model| &mut model.versions);
    for artifact in versions.flat_map(|version| &mut version.artifacts) {
        let StorageUri::Hub { repository, revision } = &artifact.source else { continue };
        let key = (repository.clone(), revision.clone());
        let resolved = match known.get(&key) {
            Some(resolved) => resolved.clone(),
            None => {
                let resolved = pin(repository, revision, hub, cache_root).await;
                known.insert(key, resolved.clone());
                resolved
            }
        };
        match resolved {
            Ok(commit) => artifact.commit = Some(commit),
            Err(why) => artifact.unpinned = Some(why),
        }
    }
}

async fn pin(
    repository: &RepositoryId,
    revision: &Revision,
    hub: &HubClient,
    cache_root: &Path,
) -> Result<Commit, String> {
    if let Some(commit) = revision.as_commit() {
        return Ok(commit);
    }
    match hub.revision(repository, revision).await {
        Ok(resolved) => Ok(resolved.commit),
        Err(error) => match seen_before(repository, revision, cache_root, &error) {
            Some(commit) => {
                tracing::warn!(%repository, %revision, %commit, %error, "the Hub does not answer; the cache's commit is taken");
                Ok(commit)
            }
            None => Err(format!("{repository} at {revision} could not be resolved to a commit: {error}")),
        },
    }
}

/// The commit that `refs/REVISION` of the Hub's cache layout holds. What the Hub says is gone is not served from
/// memory of it.
fn seen_before(
    repository: &RepositoryId,
    revision: &Revision,
    cache_root: &Path,
    error: &HubError,
) -> Option<Commit> {
    if !error.is_retryable() {
        return None;
    }
    let folder = format!("models--{}--{}", repository.owner(), repository.name());
    // A revision is a checked relative path without `..`.
    let reference = cache_root.join(folder).join("refs").join(revision.as_str());
    let text = std::fs::read_to_string(reference).ok()?;
    text.trim().parse().ok()
}
