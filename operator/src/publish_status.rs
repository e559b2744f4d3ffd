//! Writes the status where it has changed, and the events that the change is worth. OUT.

use std::sync::Arc;
use std::time::Duration;

use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType};
use kube::{Api, Resource, ResourceExt};
use ostler_crds::model_deployment::{ModelDeployment, ModelDeploymentStatus};
use serde_json::json;
use tokio::time::Instant;

use crate::context::{Context, Published};
use crate::events::{self, Note};
use crate::leadership::NotLeading;
use crate::names::FIELD_MANAGER;
use crate::outcome::Outcome;

/// How often a status is written of which nothing but the progress has changed.
const PROGRESS_PERIOD: Duration = Duration::from_secs(3);

/// Why the status could not be written.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Another replica may lead now.
    #[error(transparent)]
    NotLeading(#[from] NotLeading),
    /// The request failed.
    #[error("the status could not be written")]
    Request(#[source] kube::Error),
}

/// The status that is in force: the watch's, or this process's own where the watch does not show it yet.
#[must_use]
pub fn in_force(deployment: &ModelDeployment, context: &Context) -> Option<ModelDeploymentStatus> {
    let published = context.memory.published(&deployment.uid().unwrap_or_default());
    match published {
        Some(published) if deployment.resource_version().as_ref() == Some(&published.based_on) => {
            Some(published.status.as_ref().clone())
        }
        _ => deployment.status.clone(),
    }
}

/// Writes the status, unless it is what is in force. Returns how long to wait where it is too early to write mere
/// progress.
///
/// # Errors
/// [`PublishError`] when the API server does not take it.
pub async fn publish(
    deployment: &ModelDeployment,
    in_force: Option<&ModelDeploymentStatus>,
    status: ModelDeploymentStatus,
    outcome: &Outcome,
    context: &Context,
) -> Result<Option<Duration>, PublishError> {
    let owner = deployment.uid().unwrap_or_default();
    let notes = events::notes(in_force, &status, outcome);
    if in_force == Some(&status) {
        record(deployment, notes, context).await;
        return Ok(None);
    }
    let now = Instant::now();
    let last = context.memory.published(&owner).map(|published| published.at);
    if let Some(pause) = pause(in_force, &status, last.map(|last| now.saturating_duration_since(last))) {
        return Ok(Some(pause));
    }
    context.fence.check()?;
    context.metrics.writes.with_label_values(&["ModelDeployment"]).inc();
    let name = deployment.name_any();
    let api: Api<ModelDeployment> =
        Api::namespaced(context.client.clone(), &deployment.namespace().unwrap_or_default());
    let patch = json!({
        "apiVersion": ModelDeployment::api_version(&()),
        "kind": ModelDeployment::kind(&()),
        // With the UID, an object that was made anew under the same name is not given the old one's status.
        "metadata": {"name": name, "uid": owner},
        "status": status,
    });
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    api.patch_status(&name, &parameters, &Patch::Apply(&patch)).await.map_err(PublishError::Request)?;
    record(deployment, notes, context).await;
    let based_on = deployment.resource_version().unwrap_or_default();
    context.memory.publish(&owner, Published { based_on, status: Arc::new(status), at: now });
    Ok(None)
}

/// Mere progress waits until the period is over; everything else is written at once.
fn pause(
    before: Option<&ModelDeploymentStatus>,
    after: &ModelDeploymentStatus,
    since_last: Option<Duration>,
) -> Option<Duration> {
    let only_progress =
        without_percents(before?.clone()) == without_percents(after.clone()) && after.progress_percent < 100;
    let rest = PROGRESS_PERIOD.checked_sub(since_last?)?;
    only_progress.then_some(rest)
}

fn without_percents(mut status: ModelDeploymentStatus) -> ModelDeploymentStatus {
    status.progress_percent = 0;
    status.models.iter_mut().flat_map(|model| &mut model.versions).for_each(|version| version.percent = None);
    status
}

/// An event that is lost is no reason to fail: the status says the same.
async fn record(deployment: &ModelDeployment, notes: Vec<Note>, context: &Context) {
    for note in notes {
        let event = Event {
            type_: if note.warning { EventType::Warning } else { EventType::Normal },
            reason: note.reason,
            note: Some(note.text),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        if let Err(error) = context.recorder.publish(&event, &deployment.object_ref(&())).await {
            tracing::warn!(%error, "an event could not be written");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_waits_and_everything_else_does_not() {
        let status = |progress_percent, ready_replicas| ModelDeploymentStatus {
            progress_percent,
            ready_replicas,
            ..ModelDeploymentStatus::default()
        };
        let version = |stage, percent| {
            let version = serde_json::json!({"name": "v1", "stage": stage, "percent": percent});
            let models = serde_json::json!([{"name": "whisper", "versions": [version]}]);
            ModelDeploymentStatus { models: serde_json::from_value(models).unwrap(), ..status(1, 0) }
        };
        let second = Some(Duration::from_secs(1));
        let cases = [
            ("nothing before", None, status(1, 0), None, None),
            ("mere progress, early", Some(status(1, 0)), status(2, 0), second, Some(Duration::from_secs(2))),
            ("mere progress, late", Some(status(1, 0)), status(2, 0), Some(Duration::from_secs(4)), None),
            (
                "a version goes on",
                Some(version("Download", 10)),
                version("Download", 20),
                second,
                Some(Duration::from_secs(2)),
            ),
            (
                "a version is at another stage",
                Some(version("Download", 89)),
                version("Load", 92),
                second,
                None,
            ),
            ("the end of progress", Some(status(1, 0)), status(100, 0), second, None),
            ("a pod more", Some(status(1, 0)), status(2, 1), second, None),
            ("another process wrote before", Some(status(1, 0)), status(2, 0), None, None),
        ];
        for (case, before, after, since, expected) in cases {
            assert_eq!(pause(before.as_ref(), &after, since), expected, "{case}");
        }
    }
}
