//! A pod that does not run, and the token that its sidecar would hold.

use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::Client;
use kube::api::{Api, PostParams};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::control_plane::ControlPlane;

/// The account of the pods that [`pod`] makes.
pub const ACCOUNT: &str = "video-sidecar";

/// Makes, in a namespace, the account of sidecars and binds it to the chart's role, as the operator does.
///
/// # Panics
/// When the API server refuses an object.
pub async fn account(control_plane: &ControlPlane, namespace: &str) {
    let client = control_plane.client().await;
    create::<ServiceAccount>(&client, namespace, json!({ "metadata": { "name": ACCOUNT } })).await;
    let binding = json!({
        "metadata": { "name": ACCOUNT },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "ostler-sidecar" },
        "subjects": [{ "kind": "ServiceAccount", "name": ACCOUNT, "namespace": namespace }],
    });
    create::<RoleBinding>(&client, namespace, binding).await;
}

/// Makes a pod of that account, and a client with the token that its sidecar would find mounted.
///
/// # Panics
/// When the API server refuses the pod or gives no token.
pub async fn pod(control_plane: &ControlPlane, namespace: &str, name: &str) -> (Pod, Client) {
    let client = control_plane.client().await;
    let pod = json!({
        "metadata": { "name": name },
        "spec": {
            "serviceAccountName": ACCOUNT,
            "automountServiceAccountToken": false,
            "containers": [{ "name": "ostler-sidecar", "image": "sidecar" }],
        },
    });
    let pod = create::<Pod>(&client, namespace, pod).await;
    let token = control_plane.token(namespace, ACCOUNT, Some(&pod)).await;
    let config = control_plane.config_with_token(token).await;
    (pod, Client::try_from(config).expect("a client can be made"))
}

async fn create<K>(client: &Client, namespace: &str, object: Value) -> K
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    K: Clone + std::fmt::Debug + serde::Serialize + DeserializeOwned,
{
    let object: K = serde_json::from_value(object).expect("the object is of its kind");
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    api.create(&PostParams::default(), &object).await.expect("the API server accepts the object")
}
