//! Keeps the cache in order while the process serves: marks the commits that the plan names, so that every process on
//! the cache knows of them; and while nothing is fetched or loaded, keeps room free and verifies what has lain long.

use std::collections::BTreeSet;
use std::time::Duration;

use ostler_artifacts::{Cache, Scrub, ScrubPolicy};
use ostler_crds::names::{Commit, RepositoryId, StorageUri};
use ostler_crds::serving_plan::ServingPlan;
use ostler_crds::status::VersionState;
use tokio::time::{Instant, MissedTickBehavior};

use crate::manager::Manager;
use crate::snapshot::Snapshot;
use crate::target::targets;

/// How often there is a look at the plan and at the disk.
const INTERVAL: Duration = Duration::from_secs(30);

/// How often the commits of a plan that stays are marked anew, well before their marks are worth nothing.
const MARK_INTERVAL: Duration = Duration::from_secs(600);

/// Works until the process ends. Whatever fails is tried again the next time; serving does not depend on it.
pub(crate) async fn keep_house(cache: Cache, manager: Manager) {
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut marked: Option<(Instant, BTreeSet<(RepositoryId, Commit)>)> = None;
    loop {
        interval.tick().await;
        let commits = commits(&manager.plan());
        let is_marked =
            |(at, marked): &(Instant, BTreeSet<_>)| *marked == commits && at.elapsed() < MARK_INTERVAL;
        let to_mark = if marked.as_ref().is_some_and(is_marked) {
            BTreeSet::new()
        } else {
            marked = Some((Instant::now(), commits.clone()));
            commits
        };
        let must_collect = is_quiet(&manager.snapshot());
        let cache = cache.clone();
        let work = move || {
            for (repository, commit) in &to_mark {
                if let Err(error) = cache.mark_named(repository, commit) {
                    tracing::debug!(%error, "the commit is not marked as named by the plan");
                }
            }
            if must_collect && let Err(error) = cache.collect() {
                tracing::debug!(%error, "no room was made in the cache");
            }
        };
        // Where it broke down there is nothing to do but to try again.
        let _ = tokio::task::spawn_blocking(work).await;
    }
}

/// Verifies the cache in the background, as long as the answer lives.
pub(crate) fn start_scrub(cache: Cache, manager: Manager) -> Option<Scrub> {
    let scrub = Scrub::start(cache, ScrubPolicy::default(), move || is_quiet(&manager.snapshot()));
    scrub.inspect_err(|error| tracing::warn!(%error, "the cache is not verified in the background")).ok()
}

/// Every commit that a plan names, those of its history too.
fn commits(plan: &ServingPlan) -> BTreeSet<(RepositoryId, Commit)> {
    let commits = targets(plan).into_iter().filter_map(|target| match (target.source, target.commit) {
        (StorageUri::Hub { repository, .. }, Some(commit)) => Some((repository, commit)),
        _ => None,
    });
    commits.collect()
}

/// Whether nothing is fetched or loaded.
fn is_quiet(snapshot: &Snapshot) -> bool {
    let is_busy = |state| matches!(state, VersionState::Downloading | VersionState::Loading);
    !snapshot.versions.iter().chain(&snapshot.retired).any(|version| is_busy(version.state))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_commits_of_a_plan_are_those_of_its_repositories() {
        let commit = "a".repeat(40);
        let plan = json!({"format": 1, "generation": 0, "salt": "s", "models": [
            {"name": "m", "task": "translation", "load": "Lazy", "keep": false, "instances": 1,
             "defaultVersion": "v1", "fallback": [], "versions": [
                {"name": "v1", "dtype": "auto", "weight": 100, "artifacts": [
                    {"source": "hf://o/r", "commit": commit}, {"source": "hf://o/unpinned"},
                    {"source": "file:///models/a"}]}]}]});
        let plan: ServingPlan = serde_json::from_value(plan).unwrap();
        let expected = ("o/r".parse().unwrap(), commit.parse().unwrap());
        assert_eq!(commits(&plan), BTreeSet::from([expected]));
    }
}
