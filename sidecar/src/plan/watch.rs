//! Follows the plan's ConfigMap, so that a changed plan is obeyed within a second. While the API server is away the
//! mounted file is looked at instead, which the kubelet keeps.

use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watch_object};
use kube::{Api, Client};
use ostler_crds::serving_plan::{PLAN_KEY, ServingPlan};

use tokio::time::Instant;

use super::read_plan;
use crate::manager::Manager;

/// How often the mounted file is looked at while the watch is down.
const FILE_INTERVAL: Duration = Duration::from_secs(10);

/// How long the watch must be down first. By then the kubelet has written whatever the watch had told of, so that
/// the file cannot bring back an older plan.
const FILE_PATIENCE: Duration = Duration::from_secs(120);

/// Follows the plan until the future is dropped. `client` is absent where the pod has no way to the API server.
pub async fn follow(
    client: Option<Client>,
    namespace: String,
    config_map: String,
    file: PathBuf,
    manager: Manager,
) {
    let Some(client) = client else { return follow_file(&file, &manager).await };
    let api: Api<ConfigMap> = Api::namespaced(client, &namespace);
    let mut events = pin!(watch_object(api, &config_map).default_backoff());
    let mut down_since = Some(Instant::now());
    let mut interval = tokio::time::interval(FILE_INTERVAL);
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(object)) => {
                    down_since = None;
                    obey(object, &manager);
                }
                Some(Err(error)) => {
                    log_failure(&error, down_since.is_none());
                    down_since.get_or_insert_with(Instant::now);
                }
                None => return follow_file(&file, &manager).await,
            },
            _ = interval.tick() => if down_since.is_some_and(|since| since.elapsed() > FILE_PATIENCE) {
                look_at(&file, &manager).await;
            },
        }
    }
}

/// A ConfigMap that is gone or unreadable changes nothing: the last plan is obeyed on.
fn obey(object: Option<ConfigMap>, manager: &Manager) {
    let text = object.and_then(|object| object.data).and_then(|mut data| data.remove(PLAN_KEY));
    match text.as_deref().map(ServingPlan::from_json) {
        Some(Ok(plan)) => apply(plan, manager),
        Some(Err(error)) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the new plan is not obeyed")
        }
        None => tracing::warn!("the plan's ConfigMap is gone or empty; the last plan is obeyed on"),
    }
}

async fn follow_file(file: &std::path::Path, manager: &Manager) {
    let mut interval = tokio::time::interval(FILE_INTERVAL);
    loop {
        interval.tick().await;
        look_at(file, manager).await;
    }
}

/// Reads the mounted file. An older generation than the one obeyed is what the kubelet has not caught up with.
async fn look_at(file: &std::path::Path, manager: &Manager) {
    let file = file.to_owned();
    let plan = match tokio::task::spawn_blocking(move || read_plan(&file)).await {
        Ok(Ok(plan)) => plan,
        Ok(Err(error)) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "the mounted plan cannot be read");
            return;
        }
        Err(_) => return,
    };
    if plan.generation >= manager.plan().generation {
        apply(plan, manager);
    }
}

fn apply(plan: ServingPlan, manager: &Manager) {
    let generation = plan.generation;
    if *manager.plan() != plan {
        tracing::info!(generation, "another plan");
        manager.apply(plan);
    }
}

fn log_failure(error: &watcher::Error, was_watching: bool) {
    let error = error as &dyn std::error::Error;
    if was_watching {
        tracing::warn!(error, "the plan is not watched for now");
    } else {
        tracing::debug!(error, "the plan is still not watched");
    }
}

#[cfg(test)]
mod tests;
