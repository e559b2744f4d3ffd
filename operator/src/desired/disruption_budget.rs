//! How many pods may be disturbed at once.

use serde_json::{Map, json};

use super::prepare::{Draft, prepare};
use crate::names;
use crate::resources::{Kind, Prepared};
use crate::validated::Identity;

/// One pod at a time; a pod that is not healthy may always go, so that it never blocks the drain of a node.
pub(super) fn disruption_budget(identity: &Identity) -> Prepared {
    let spec = json!({
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": {"matchLabels": names::selector(&identity.name)},
    });
    let body = Map::from_iter([("spec".to_owned(), spec)]);
    let (kind, api_version) = (Kind::PodDisruptionBudget, "policy/v1");
    prepare(identity, Draft { kind, api_version, name: identity.name.clone(), annotations: Map::new(), body })
}
