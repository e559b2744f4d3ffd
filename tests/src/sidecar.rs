//! A pod that does not run, and the token that its sidecar would hold.

use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use ostler_crds::model_replica::ModelReplica;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::control_plane::ControlPlane;
use crate::fixtures::report;

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

/// Plays the kubelet: the pod runs and is ready, and its sidecar's container started at that time.
///
/// # Panics
/// When the API server refuses the status.
pub async fn runs(pods: &Api<Pod>, name: &str, started_at: &str) {
    let status = json!({ "status": {
        "phase": "Running",
        "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": started_at }],
        "containerStatuses": [{
            "name": "ostler-sidecar", "image": "sidecar", "imageID": "sidecar", "ready": true, "restartCount": 0,
            "started": true, "state": { "running": { "startedAt": started_at } },
        }],
    }});
    let patched = pods.patch_status(name, &PatchParams::default(), &Patch::Strategic(status)).await;
    patched.expect("the API server accepts the pod's status");
}

/// Plays a sidecar: writes the report of a pod with the token that the pod would find mounted.
///
/// # Panics
/// When the API server refuses the report.
pub async fn reports(control_plane: &ControlPlane, pod: &Pod, status: Value) {
    let metadata = &pod.metadata;
    let (Some(namespace), Some(name), Some(uid)) = (&metadata.namespace, &metadata.name, &metadata.uid)
    else {
        panic!("a pod from the API server has a namespace, a name and a UID")
    };
    let token = control_plane.token(namespace, ACCOUNT, Some(pod)).await;
    let config = control_plane.config_with_token(token).await;
    let client = Client::try_from(config).expect("a client can be made");
    let api: Api<ModelReplica> = Api::namespaced(client, namespace);
    let parameters = PatchParams::apply("ostler-sidecar").force();
    let report = report(name, uid);
    api.patch(name, &parameters, &Patch::Apply(&report)).await.expect("the API server accepts the report");
    let status = json!({
        "apiVersion": "ostler.dev/v1alpha1", "kind": "ModelReplica", "metadata": { "name": name }, "status": status,
    });
    let patched = api.patch_status(name, &parameters, &Patch::Apply(status)).await;
    patched.expect("the API server accepts the report's status");
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
