//! The sidecar's container.

use ostler_crds::serving_plan::PLAN_KEY;
use serde_json::{Map, Value, json};

use super::merge::merge;
use super::prepare::json_of;
use super::volumes::{CACHE_FOLDER, HUB_TOKEN_FOLDER, PLAN_FOLDER};
use crate::names;
use crate::settings::Settings;
use crate::validated::{Cache, ValidatedDeployment};

/// The user and group that the sidecar runs as: any but 0 will do, a number so that the kubelet can tell.
pub(super) const USER: i64 = 65532;
/// A pod that is being deleted still gets requests until every proxy has heard of it; it waits for them this long
/// before it is told to drain.
const SECONDS_BEFORE_DRAIN: i64 = 5;

/// The container, with the template's entry merged over it. Nothing of the plan is in it: models and weights change
/// without a restart.
pub(super) fn container(
    deployment: &ValidatedDeployment,
    mounts: Vec<Value>,
    settings: &Settings,
) -> Map<String, Value> {
    let mut container = Map::from_iter(
        [
            ("name", json!(names::SIDECAR_CONTAINER)),
            ("image", json!(deployment.image)),
            ("args", json!(arguments(deployment, settings))),
            ("env", json!(environment(deployment))),
            ("ports", ports()),
            ("resources", json_of(&deployment.resources)),
            ("volumeMounts", json!(mounts)),
            // Loading models is no part of starting up: these two ask whether the process is alive.
            ("startupProbe", probe("/healthz", 1, 60)),
            ("livenessProbe", probe("/healthz", 10, 6)),
            ("readinessProbe", probe("/readyz", 2, 3)),
            ("lifecycle", json!({"preStop": {"sleep": {"seconds": SECONDS_BEFORE_DRAIN}}})),
            ("securityContext", security_context()),
            ("terminationMessagePolicy", json!("FallbackToLogsOnError")),
        ]
        .map(|(key, value)| (key.to_owned(), value)),
    );
    if let Some(entry) = deployment.template.sidecar.clone() {
        merge(&mut container, entry);
    }
    container
}

fn probe(path: &str, period_seconds: i32, failure_threshold: i32) -> Value {
    json!({
        "httpGet": {"path": path, "port": "status"},
        "periodSeconds": period_seconds,
        "timeoutSeconds": 5,
        "failureThreshold": failure_threshold,
    })
}

fn ports() -> Value {
    json!([
        {"name": "http", "containerPort": names::SERVING_PORT, "protocol": "TCP"},
        {"name": "status", "containerPort": names::STATUS_PORT, "protocol": "TCP"},
    ])
}

/// What the restricted pod security standard asks for, and a read-only root.
fn security_context() -> Value {
    json!({
        "runAsNonRoot": true,
        "runAsUser": USER,
        "runAsGroup": USER,
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    })
}

fn arguments(deployment: &ValidatedDeployment, settings: &Settings) -> Vec<String> {
    let name = &deployment.identity.name;
    let memory = deployment.memory;
    let mut arguments = vec!["run".to_owned()];
    let mut option = |name: &str, value: String| arguments.push(format!("--{name}={value}"));
    option("plan", format!("{PLAN_FOLDER}/{PLAN_KEY}"));
    option("memory-host", memory.host_bytes.to_string());
    option("evict-above", memory.evict_above.to_string());
    option("evict-to", memory.evict_to.to_string());
    option("cache-dir", CACHE_FOLDER.to_owned());
    option("cache-keep-free", deployment.cache_keep_free.to_string());
    if let Cache::EmptyDir { limit_bytes: Some(limit_bytes), .. } = &deployment.cache {
        option("cache-limit", limit_bytes.to_string());
    }
    option("hub-endpoint", settings.hub_endpoint.to_string());
    for host in &settings.hub_redirect_hosts {
        option("hub-redirect-host", host.clone());
    }
    if deployment.hub_token.is_some() {
        option("hub-token-file", format!("{HUB_TOKEN_FOLDER}/token"));
    }
    option("listen", format!("0.0.0.0:{}", names::SERVING_PORT));
    option("status-listen", format!("0.0.0.0:{}", names::STATUS_PORT));
    option("deployment", name.clone());
    option("plan-config-map", names::plan_name(name));
    if settings.allow_pickle {
        option("allow-pickle", "true".to_owned());
    }
    arguments
}

fn environment(deployment: &ValidatedDeployment) -> Vec<Value> {
    let own =
        [("POD_NAME", "metadata.name"), ("POD_NAMESPACE", "metadata.namespace"), ("POD_UID", "metadata.uid")];
    let is_own = |name: &str| own.iter().any(|(own, _)| *own == name);
    let source = |path: &str| json!({"fieldRef": {"apiVersion": "v1", "fieldPath": path}});
    let mut environment: Vec<Value> =
        own.iter().map(|(name, path)| json!({"name": name, "valueFrom": source(path)})).collect();
    // Who the pod is cannot be set by hand: the report would name another one.
    environment.extend(deployment.environment.iter().filter(|variable| !is_own(&variable.name)).map(json_of));
    environment
}
