//! The sidecar's volumes and where they are mounted.

use ostler_crds::serving_plan::PLAN_KEY;
use serde_json::{Value, json};

use super::prepare::json_of;
use crate::names;
use crate::validated::{Cache, ValidatedDeployment};

/// Where the plan lies.
pub(super) const PLAN_FOLDER: &str = "/etc/ostler/plan";
/// Where model files are kept.
pub(super) const CACHE_FOLDER: &str = "/var/cache/ostler";
/// Where the Hub's token lies, in the file `token`.
pub(super) const HUB_TOKEN_FOLDER: &str = "/etc/ostler/hub-token";
/// Where clients of Kubernetes look for their token, certificate and namespace.
const API_TOKEN_FOLDER: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// The life of the API token in seconds; the kubelet renews it in time. The figure that Kubernetes itself asks for.
const API_TOKEN_SECONDS: i64 = 3607;

/// The volumes, each with the mount that the sidecar's container alone gets.
pub(super) fn volumes(deployment: &ValidatedDeployment) -> Vec<(Value, Value)> {
    let name = &deployment.identity.name;
    let plan_items = json!([{"key": PLAN_KEY, "path": PLAN_KEY}]);
    let plan = json!({
        "name": "ostler-plan",
        "configMap": {"name": names::plan_name(name), "items": plan_items},
    });
    let mut cache = json!({"name": "ostler-cache"});
    match &deployment.cache {
        Cache::EmptyDir { source, .. } => cache["emptyDir"] = json_of(source),
        Cache::Claim(source) => cache["persistentVolumeClaim"] = json_of(source),
        Cache::HostPath(path) => cache["hostPath"] = json!({"path": path, "type": "DirectoryOrCreate"}),
    }
    let mut volumes = vec![
        read_only(plan, PLAN_FOLDER),
        writable(cache, CACHE_FOLDER),
        writable(json!({"name": "ostler-tmp", "emptyDir": {}}), "/tmp"),
        read_only(api_token(), API_TOKEN_FOLDER),
    ];
    if let Some(secret) = &deployment.hub_token {
        let items = json!([{"key": secret.key, "path": "token"}]);
        let source = json!({"secretName": secret.name, "items": items});
        volumes.push(read_only(json!({"name": "ostler-hub-token", "secret": source}), HUB_TOKEN_FOLDER));
    }
    volumes
}

fn writable(volume: Value, folder: &str) -> (Value, Value) {
    let mount = json!({"name": volume["name"], "mountPath": folder});
    (volume, mount)
}

fn read_only(volume: Value, folder: &str) -> (Value, Value) {
    let mount = json!({"name": volume["name"], "mountPath": folder, "readOnly": true});
    (volume, mount)
}

/// What `automountServiceAccountToken` would mount into every container, here for the sidecar alone.
fn api_token() -> Value {
    let field = json!({"apiVersion": "v1", "fieldPath": "metadata.namespace"});
    let sources = json!([
        {"serviceAccountToken": {"path": "token", "expirationSeconds": API_TOKEN_SECONDS}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": field}]}},
    ]);
    json!({"name": "ostler-api-token", "projected": {"sources": sources}})
}
