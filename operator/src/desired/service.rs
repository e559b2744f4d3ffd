//! The address of the sidecars.

use serde_json::{Map, json};

use super::prepare::{Draft, prepare};
use crate::names;
use crate::resources::{Kind, Prepared};
use crate::validated::Identity;

/// A Service for inference alone: health, metrics and progress are asked of the pods.
pub(super) fn service(identity: &Identity) -> Prepared {
    let spec = json!({
        "type": "ClusterIP",
        "selector": names::selector(&identity.name),
        "ports": [{
            "name": "http",
            "port": names::SERVING_PORT,
            "targetPort": "http",
            "protocol": "TCP",
            "appProtocol": "http",
        }],
    });
    let body = Map::from_iter([("spec".to_owned(), spec)]);
    let name = identity.name.clone();
    prepare(identity, Draft { kind: Kind::Service, api_version: "v1", name, annotations: Map::new(), body })
}
