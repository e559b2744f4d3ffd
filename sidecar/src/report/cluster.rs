//! Keeps the pod's ModelReplica true. It never holds up serving: while the API server is away, the newest status
//! waits until it is back.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Resource};
use ostler_crds::model_replica::{ModelReplica, ModelReplicaSpec, ModelReplicaStatus, ReportingContainer};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use super::status::status;
use super::throttle::{Decision, decide};
use crate::config::PodIdentity;
use crate::residency::Moment;
use crate::snapshot::Snapshot;

/// The name under which fields are owned.
const FIELD_MANAGER: &str = "ostler-sidecar";

/// The longest that one write may take.
const WRITE_TIME: Duration = Duration::from_secs(15);

/// The longest rest after a failed write.
const MAX_REST: Duration = Duration::from_secs(30);

/// Why a report was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The ModelReplica could not be made.
    #[error("the ModelReplica {name} could not be applied")]
    Apply {
        /// Its name.
        name: String,
        /// What the API server, or the way to it, said.
        #[source]
        source: Box<kube::Error>,
    },
    /// Its status could not be written.
    #[error("the status of the ModelReplica {name} could not be applied")]
    ApplyStatus {
        /// Its name.
        name: String,
        /// What the API server, or the way to it, said.
        #[source]
        source: Box<kube::Error>,
    },
    /// The API server did not answer.
    #[error("the API server did not answer within {} s", WRITE_TIME.as_secs())]
    Silent,
}

/// Writes one pod's report.
pub struct ClusterReporter {
    api: Api<ModelReplica>,
    identity: PodIdentity,
    process_started_at: Timestamp,
    started: Instant,
    /// The ModelReplica exists, as far as known.
    exists: bool,
}

impl ClusterReporter {
    /// A reporter for the pod.
    #[must_use]
    pub fn new(client: Client, identity: PodIdentity, process_started_at: Timestamp) -> Self {
        let api = Api::namespaced(client, &identity.namespace);
        Self { api, identity, process_started_at, started: Instant::now(), exists: false }
    }

    /// Reports until the future is dropped or the snapshots end.
    pub async fn run(mut self, mut snapshots: watch::Receiver<Arc<Snapshot>>) {
        let mut sent: Option<(ModelReplicaStatus, Moment)> = None;
        let mut failures: u32 = 0;
        loop {
            let status = status(&snapshots.borrow_and_update().clone());
            let last = sent.as_ref().map(|(status, at)| (status, *at));
            let until = match decide(last, &status, self.started.elapsed()) {
                Decision::Skip => None,
                Decision::Wait(due) => Some(self.started + due),
                Decision::Send => match self.send(&status).await {
                    Ok(()) => {
                        failures = 0;
                        sent = Some((status, self.started.elapsed()));
                        None
                    }
                    Err(error) => {
                        if failures == 0 {
                            tracing::warn!(error = &error as &dyn std::error::Error, "the report waits");
                        }
                        failures = failures.saturating_add(1);
                        // A rest that changes do not shorten, so that a struggling API server is left in peace.
                        let rest = Duration::from_secs(1 << failures.min(6)).min(MAX_REST);
                        tokio::time::sleep(rest.mul_f64(0.5 + 0.5 * rand::random::<f64>())).await;
                        continue;
                    }
                },
            };
            let changed = snapshots.changed();
            let is_over = match until {
                Some(until) => {
                    tokio::time::timeout_at(until, changed).await.is_ok_and(|changed| changed.is_err())
                }
                None => changed.await.is_err(),
            };
            if is_over {
                return;
            }
        }
    }

    async fn send(&mut self, status: &ModelReplicaStatus) -> Result<(), ReportError> {
        let write = async {
            if !self.exists {
                self.apply().await?;
                self.exists = true;
            }
            match self.apply_status(status).await {
                // Somebody deleted it; it is made anew.
                Err(error) if is_not_found(&error) => {
                    self.exists = false;
                    self.apply().await?;
                    self.exists = true;
                    self.apply_status(status).await
                }
                outcome => outcome,
            }
            .map_err(|source| ReportError::ApplyStatus {
                name: self.identity.name.clone(),
                source: Box::new(source),
            })
        };
        tokio::time::timeout(WRITE_TIME, write).await.unwrap_or(Err(ReportError::Silent))
    }

    async fn apply(&self) -> Result<(), ReportError> {
        let identity = &self.identity;
        let mut replica = ModelReplica::new(
            &identity.name,
            ModelReplicaSpec {
                deployment: identity.deployment.clone(),
                pod_uid: identity.uid.clone(),
                container: ReportingContainer {
                    name: identity.container.clone(),
                    started_at: Time(self.process_started_at),
                },
            },
        );
        replica.metadata.namespace = Some(identity.namespace.clone());
        replica.metadata.labels = Some(labels(&identity.deployment).into());
        replica.metadata.owner_references = Some(vec![OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            name: identity.name.clone(),
            uid: identity.uid.clone(),
            ..OwnerReference::default()
        }]);
        let patched = self.api.patch(&identity.name, &parameters(), &Patch::Apply(&replica)).await;
        let of_apply = |source| ReportError::Apply { name: identity.name.clone(), source: Box::new(source) };
        patched.map(drop).map_err(of_apply)
    }

    async fn apply_status(&self, status: &ModelReplicaStatus) -> Result<(), kube::Error> {
        let object = json!({
            "apiVersion": ModelReplica::api_version(&()),
            "kind": ModelReplica::kind(&()),
            "metadata": {"name": self.identity.name},
            "status": status,
        });
        self.api.patch_status(&self.identity.name, &parameters(), &Patch::Apply(&object)).await.map(drop)
    }
}

fn parameters() -> PatchParams {
    PatchParams::apply(FIELD_MANAGER).force()
}

fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

fn labels(deployment: &str) -> [(String, String); 4] {
    [
        ("app.kubernetes.io/name", "ostler"),
        ("app.kubernetes.io/instance", deployment),
        ("app.kubernetes.io/managed-by", "ostler-operator"),
        ("ostler.dev/deployment", deployment),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests;
