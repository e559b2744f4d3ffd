//! The names, labels and paths that the operator writes.

use std::collections::BTreeMap;

/// The field manager of everything that the operator applies.
pub const FIELD_MANAGER: &str = "ostler-operator";
/// The sidecar's container.
pub const SIDECAR_CONTAINER: &str = "ostler-sidecar";
/// The hash of what was applied last.
pub const HASH_ANNOTATION: &str = "ostler.dev/applied-hash";
/// On the plan: the value of the repin annotation that its pins were made under.
pub const OBSERVED_REPIN_ANNOTATION: &str = "ostler.dev/observed-repin";
/// The plan's key with the artifacts that still wait for a repin, as a JSON list; absent when there are none.
pub const REPIN_PENDING_KEY: &str = "repin-pending.json";
/// The label that holds the `ModelDeployment`'s name.
pub const DEPLOYMENT_LABEL: &str = "ostler.dev/deployment";
/// The label selector of everything that the operator makes.
pub const MANAGED_SELECTOR: &str = "app.kubernetes.io/managed-by=ostler-operator";
/// The port that serves inference.
pub const SERVING_PORT: i32 = 8470;
/// The port with health, metrics and progress.
pub const STATUS_PORT: i32 = 8471;

/// The labels that select a deployment's pods. A Deployment's selector can never change, so neither can these.
#[must_use]
pub fn selector(name: &str) -> BTreeMap<String, String> {
    [("app.kubernetes.io/name", "ostler"), ("app.kubernetes.io/instance", name), (DEPLOYMENT_LABEL, name)]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// The labels of every object made for a deployment.
#[must_use]
pub fn labels(name: &str) -> BTreeMap<String, String> {
    let mut labels = selector(name);
    labels.insert("app.kubernetes.io/managed-by".to_owned(), "ostler-operator".to_owned());
    labels
}

/// The selector as `/scale` and `kubectl --selector` write it.
#[must_use]
pub fn selector_text(name: &str) -> String {
    let pairs: Vec<String> = selector(name).iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join(",")
}

/// The plan ConfigMap's name.
#[must_use]
pub fn plan_name(name: &str) -> String {
    format!("{name}-plan")
}

/// The name of the account and the binding made for the sidecar.
#[must_use]
pub fn account_name(name: &str) -> String {
    format!("{name}-sidecar")
}
