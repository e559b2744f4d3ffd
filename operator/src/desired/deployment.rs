//! The Deployment.

use serde_json::{Map, json};

use super::pod;
use super::prepare::{Draft, prepare};
use crate::names;
use crate::resources::{Kind, Prepared};
use crate::settings::Settings;
use crate::validated::ValidatedDeployment;

/// How long a rolling change may go without a new ready pod. A pod becomes ready when its preloaded models are, and
/// the largest of them take tens of minutes to fetch over a slow line.
const PROGRESS_DEADLINE_SECONDS: i64 = 3600;

/// The pods.
pub(super) fn deployment(deployment: &ValidatedDeployment, settings: &Settings) -> Prepared {
    let identity = &deployment.identity;
    // A new pod starts before an old one goes, so that no request is lost; with accelerators there is none to spare.
    let strategy = if deployment.gpu.is_some() {
        json!({"maxSurge": 0, "maxUnavailable": 1})
    } else {
        json!({"maxSurge": "25%", "maxUnavailable": 0})
    };
    let spec = json!({
        "replicas": deployment.replicas,
        "selector": {"matchLabels": names::selector(&identity.name)},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": strategy},
        "progressDeadlineSeconds": PROGRESS_DEADLINE_SECONDS,
        "revisionHistoryLimit": 3,
        "template": pod::template(deployment, settings),
    });
    let body = Map::from_iter([("spec".to_owned(), spec)]);
    let (kind, api_version) = (Kind::Deployment, "apps/v1");
    prepare(identity, Draft { kind, api_version, name: identity.name.clone(), annotations: Map::new(), body })
}
