//! Pins the sources of a manifest at start, as the operator does for a cluster: each revision becomes a commit once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt;
use ostler_crds::names::{Commit, RepositoryId, Revision, StorageUri};
use ostler_crds::serving_plan::{PlannedArtifact, ServingPlan};
use ostler_hub::{HubClient, HubError};

use crate::causes::with_causes;
use crate::manager::Manager;

/// How many revisions are asked for at once.
const PARALLEL: usize = 16;

/// How long to wait before unresolved revisions are asked for again.
const RETRY_INTERVAL: Duration = Duration::from_secs(20);

/// Resolves every revision of a plan that has no commit yet. Where the Hub cannot be asked, the commit that the cache
/// has seen the revision at is taken; where there is none either, the artifact stays unpinned and says why.
pub async fn resolve(plan: &mut ServingPlan, hub: &HubClient, cache_root: &Path) {
    let open: BTreeSet<(RepositoryId, Revision)> =
        artifacts(plan).filter_map(|artifact| unresolved(artifact)).collect();
    let pins: BTreeMap<(RepositoryId, Revision), Result<Commit, String>> = futures::stream::iter(open)
        .map(|(repository, revision)| async move {
            let pin = pin(&repository, &revision, hub, cache_root).await;
            ((repository, revision), pin)
        })
        .buffer_unordered(PARALLEL)
        .collect()
        .await;
    for artifact in artifacts(plan) {
        match unresolved(artifact).and_then(|key| pins.get(&key)) {
            Some(Ok(commit)) => {
                artifact.commit = Some(commit.clone());
                artifact.unpinned = None;
            }
            Some(Err(why)) => artifact.unpinned = Some(why.clone()),
            None => {}
        }
    }
}

/// Asks again for what could not be resolved at start, until everything is.
pub async fn keep_resolving(manager: Manager, hub: HubClient, cache_root: PathBuf) {
    loop {
        let mut plan = ServingPlan::clone(&manager.plan());
        if artifacts(&mut plan).all(|artifact| unresolved(artifact).is_none()) {
            return;
        }
        tokio::time::sleep(RETRY_INTERVAL).await;
        resolve(&mut plan, &hub, &cache_root).await;
        manager.apply(plan);
    }
}

fn artifacts(plan: &mut ServingPlan) -> impl Iterator<Item = &mut PlannedArtifact> {
    let versions = plan.models.iter_mut().flat_map(|model| &mut model.versions);
    versions.flat_map(|version| &mut version.artifacts)
}

/// What to ask the Hub for, where there is no commit yet.
fn unresolved(artifact: &PlannedArtifact) -> Option<(RepositoryId, Revision)> {
    match &artifact.source {
        StorageUri::Hub { repository, revision } if artifact.commit.is_none() => {
            Some((repository.clone(), revision.clone()))
        }
        StorageUri::Hub { .. } | StorageUri::File { .. } => None,
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
    let error = match hub.revision(repository, revision).await {
        Ok(resolved) => {
            remember(repository, revision, cache_root, &resolved.commit);
            return Ok(resolved.commit);
        }
        Err(error) => error,
    };
    match seen_before(repository, revision, cache_root, &error) {
        Some(commit) => {
            tracing::warn!(%repository, %revision, %commit, %error, "the Hub does not answer: what the cache holds is served");
            Ok(commit)
        }
        None => Err(format!(
            "{repository} at {revision} could not be resolved to a commit: {}",
            with_causes(&error)
        )),
    }
}

/// The commit that `refs/REVISION` of the Hub's cache layout holds. What the Hub itself says is gone is not served
/// from memory of it.
fn seen_before(
    repository: &RepositoryId,
    revision: &Revision,
    cache_root: &Path,
    error: &HubError,
) -> Option<Commit> {
    if !error.is_retryable() {
        return None;
    }
    let text = std::fs::read_to_string(reference(repository, revision, cache_root)).ok()?;
    text.trim().parse().ok()
}

/// Notes in the cache what a revision stands for, as `huggingface_hub` does, so that a start without the Hub finds
/// it. Serving does not depend on it.
fn remember(repository: &RepositoryId, revision: &Revision, cache_root: &Path, commit: &Commit) {
    let reference = reference(repository, revision, cache_root);
    if std::fs::read_to_string(&reference).is_ok_and(|text| text.trim() == commit.as_str()) {
        return;
    }
    if let Err(error) = replace(&reference, commit.as_str()) {
        tracing::warn!(%repository, %revision, %error, "the cache does not remember the commit");
    }
}

/// Writes a file whole or not at all.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().ok_or(std::io::ErrorKind::InvalidInput)?;
    std::fs::create_dir_all(folder)?;
    let partial = path.with_extension(format!("incomplete-{}", std::process::id()));
    std::fs::write(&partial, text)?;
    std::fs::rename(&partial, path).inspect_err(|_| drop(std::fs::remove_file(&partial)))
}

/// Where the Hub's cache layout keeps what a revision stands for. A revision is a checked relative path without `..`.
fn reference(repository: &RepositoryId, revision: &Revision, cache_root: &Path) -> PathBuf {
    let folder = format!("models--{}--{}", repository.owner(), repository.name());
    cache_root.join(folder).join("refs").join(revision.as_str())
}

#[cfg(test)]
mod tests {
    use ostler_hub::HubSettings;
    use serde_json::json;

    use super::*;

    fn plan(source: &str) -> ServingPlan {
        let plan = json!({"format": 1, "generation": 0, "salt": "s", "models": [
            {"name": "m", "task": "translation", "load": "Lazy", "keep": false, "instances": 1,
             "defaultVersion": "v1", "fallback": [], "versions": [
                {"name": "v1", "dtype": "auto", "weight": 100, "artifacts": [{"source": source}]}]}]});
        serde_json::from_value(plan).unwrap()
    }

    /// A client of a Hub that nobody serves.
    fn nobody() -> HubClient {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        drop(socket);
        HubClient::new(HubSettings::new(format!("http://{address}").parse().unwrap())).unwrap()
    }

    async fn resolved(source: &str, cache_root: &Path) -> PlannedArtifact {
        let mut plan = plan(source);
        resolve(&mut plan, &nobody(), cache_root).await;
        plan.models[0].versions[0].artifacts[0].clone()
    }

    #[tokio::test]
    async fn offline_a_commit_needs_no_hub_and_the_caches_reference_serves() {
        let cache = tempfile::tempdir().unwrap();
        let refs = cache.path().join("models--o--r").join("refs");
        std::fs::create_dir_all(&refs).unwrap();
        std::fs::write(refs.join("main"), format!("{}\n", "a".repeat(40))).unwrap();
        let commit = |artifact: &PlannedArtifact| artifact.commit.as_ref().map(ToString::to_string);
        let written = resolved(&format!("hf://o/x:{}", "b".repeat(40)), cache.path()).await;
        assert_eq!(commit(&written), Some("b".repeat(40)));
        let seen = resolved("hf://o/r", cache.path()).await;
        assert_eq!(commit(&seen), Some("a".repeat(40)));
        let unknown = resolved("hf://o/r:v2", cache.path()).await;
        assert_eq!(commit(&unknown), None);
        assert!(unknown.unpinned.unwrap().contains("o/r at v2 could not be resolved"));
    }
}
