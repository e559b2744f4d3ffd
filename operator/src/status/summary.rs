//! The models over all pods: as large as the spec, however many pods there are.

use std::collections::{BTreeMap, BTreeSet};

use ostler_crds::model_deployment::{ModelStatus, VersionStatus};
use ostler_crds::model_replica::ReportedVersion;
use ostler_crds::serving_plan::{PlannedModel, PlannedVersion, ServingPlan};
use ostler_crds::status::VersionState;

use crate::observed::ObservedPod;
use crate::reported;

/// Most language pairs named as unhealthy for one version.
const MAX_UNHEALTHY_PAIRS: usize = 16;
/// The longest `versions` text, in characters: it is a column of `kubectl get`.
const MAX_VERSIONS_TEXT: usize = 512;

/// `whisper=v1:90,v2:10 translation=v1:100`.
pub(super) fn versions(plan: &ServingPlan) -> String {
    let version = |version: &PlannedVersion| format!("{}:{}", version.name, version.weight.percent());
    let model = |model: &PlannedModel| {
        let versions: Vec<String> = model.versions.iter().map(version).collect();
        format!("{}={}", model.name, versions.join(","))
    };
    let text = plan.models.iter().map(model).collect::<Vec<_>>().join(" ");
    text.chars().take(MAX_VERSIONS_TEXT).collect()
}

/// Every model's versions with what the pods say of them.
pub(super) fn models(plan: &ServingPlan, pods: &[ObservedPod]) -> Vec<ModelStatus> {
    let pods: Vec<&ObservedPod> = pods.iter().filter(|pod| !pod.terminating).collect();
    let model = |model: &PlannedModel| ModelStatus {
        name: model.name.to_string(),
        versions: model.versions.iter().map(|version| self::version(model, version, &pods)).collect(),
    };
    plan.models.iter().map(model).collect()
}

fn version(model: &PlannedModel, version: &PlannedVersion, pods: &[&ObservedPod]) -> VersionStatus {
    let mut replicas: BTreeMap<String, i32> = BTreeMap::new();
    let mut unhealthy = BTreeSet::new();
    let mut failures = Vec::new();
    let mut under_way = Vec::new();
    for pod in pods {
        *replicas.entry(state(model, version, pod)).or_default() += 1;
        for entry in entries(model, version, pod).flatten() {
            if entry.state == VersionState::FailedToLoad && !entry.language_pair.is_empty() {
                unhealthy.insert(entry.language_pair.clone());
            }
            failures.extend(entry.last_failure.clone());
            under_way.extend(entry.stage.map(|stage| (entry.percent.clamp(0, 100), stage)));
        }
    }
    let behind = under_way.into_iter().min_by_key(|(percent, _)| *percent);
    let single = match version.artifacts.as_slice() {
        [only] if only.language_pair.is_none() => only.commit.as_ref().map(ToString::to_string),
        _ => None,
    };
    VersionStatus {
        name: version.name.to_string(),
        revision: single.unwrap_or_default(),
        weight: i32::from(version.weight.percent()),
        replicas,
        stage: behind.map(|(_, stage)| stage),
        percent: behind.map(|(percent, _)| percent),
        unhealthy_language_pairs: unhealthy.into_iter().take(MAX_UNHEALTHY_PAIRS).collect(),
        last_failure: failures.into_iter().max_by(|one, other| {
            (one.time.0, &one.reason, &one.message).cmp(&(other.time.0, &other.reason, &other.message))
        }),
    }
}

fn entries<'a>(
    model: &'a PlannedModel,
    version: &'a PlannedVersion,
    pod: &'a ObservedPod,
) -> impl Iterator<Item = Option<&'a ReportedVersion>> {
    let report = pod.report.as_ref();
    version.artifacts.iter().map(move |artifact| reported::entry(report?, model, version, artifact))
}

/// The worst state of any of the version's artifacts in this pod; `Unknown` where the pod says nothing.
fn state(model: &PlannedModel, version: &PlannedVersion, pod: &ObservedPod) -> String {
    let badness = |entry: &Option<&ReportedVersion>| match entry.map(|entry| entry.state) {
        Some(VersionState::FailedToLoad) => 6,
        None => 5,
        Some(VersionState::Remote) => 4,
        Some(VersionState::Downloading) => 3,
        Some(VersionState::Cached) => 2,
        Some(VersionState::Loading) => 1,
        Some(VersionState::Loaded) => 0,
    };
    let worst = entries(model, version, pod).max_by_key(badness).flatten();
    worst.map_or_else(|| "Unknown".to_owned(), |entry| format!("{:?}", entry.state))
}
