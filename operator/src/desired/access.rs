//! The account that the sidecar's token stands for, and what it may do.

use serde_json::{Map, json};

use super::prepare::{Draft, prepare};
use crate::names;
use crate::resources::{Kind, Prepared};
use crate::validated::{Identity, ValidatedDeployment};

/// The sidecar's own account. Its token is mounted by hand into the sidecar's container alone.
pub(super) fn account(identity: &Identity) -> Prepared {
    let body = Map::from_iter([("automountServiceAccountToken".to_owned(), json!(false))]);
    let name = names::account_name(&identity.name);
    let (kind, api_version) = (Kind::ServiceAccount, "v1");
    prepare(identity, Draft { kind, api_version, name, annotations: Map::new(), body })
}

/// The account's rights: the chart's one ClusterRole, in this namespace.
pub(super) fn role_binding(deployment: &ValidatedDeployment, cluster_role: &str) -> Prepared {
    let identity = &deployment.identity;
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": cluster_role});
    let subject = json!({
        "kind": "ServiceAccount",
        "name": service_account(deployment),
        "namespace": identity.namespace,
    });
    let body = Map::from_iter([("roleRef".to_owned(), role), ("subjects".to_owned(), json!([subject]))]);
    let name = names::account_name(&identity.name);
    let (kind, api_version) = (Kind::RoleBinding, "rbac.authorization.k8s.io/v1");
    prepare(identity, Draft { kind, api_version, name, annotations: Map::new(), body })
}

/// The account that the pods run under: the template's own, else the operator's.
pub(super) fn service_account(deployment: &ValidatedDeployment) -> String {
    let own = || names::account_name(&deployment.identity.name);
    deployment.template.service_account.clone().unwrap_or_else(own)
}
