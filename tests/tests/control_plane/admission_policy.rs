//! The chart's admission policy: a report is written with the token of the pod that it speaks for, and by nobody else.

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, PropagationPolicy};
use kube::{Client, ResourceExt};
use ostler_crds::model_replica::ModelReplica;
use ostler_tests::control_plane::ControlPlane;
use ostler_tests::fixtures::{owner, report};
use ostler_tests::sidecar::{self, ACCOUNT};
use ostler_tests::wait::eventually;
use serde_json::json;

/// A namespace with two pods that never run, each with its own token.
struct Stage {
    control_plane: &'static ControlPlane,
    namespace: String,
    pod: Pod,
    client: Client,
    other_pod: Pod,
    other_client: Client,
}

impl Stage {
    async fn new(purpose: &str) -> Self {
        let control_plane = ControlPlane::shared().await;
        let namespace = control_plane.namespace(purpose).await;
        sidecar::account(control_plane, &namespace).await;
        let (pod, client) = sidecar::pod(control_plane, &namespace, "video-a").await;
        let (other_pod, other_client) = sidecar::pod(control_plane, &namespace, "video-b").await;
        Self { control_plane, namespace, pod, client, other_pod, other_client }
    }

    fn reports(&self, client: &Client) -> Api<ModelReplica> {
        Api::namespaced(client.clone(), &self.namespace)
    }

    async fn as_admin(&self) -> Api<ModelReplica> {
        self.reports(&self.control_plane.client().await)
    }

    /// The report that the first pod's sidecar has written.
    async fn written(&self) -> ModelReplica {
        let report = honest(&self.pod);
        self.reports(&self.client).create(&PostParams::default(), &report).await.unwrap()
    }
}

fn honest(pod: &Pod) -> ModelReplica {
    report(&pod.name_any(), &pod.uid().unwrap())
}

/// Asserts that the API server forbids something, with these words.
fn assert_denied<T: std::fmt::Debug>(result: kube::Result<T>, expected: &str) {
    match result {
        Err(kube::Error::Api(status)) => {
            assert_eq!(status.code, 403, "{}", status.message);
            assert!(status.message.contains(expected), "{} lacks {expected:?}", status.message);
        }
        other => panic!("not denied: {other:?}"),
    }
}

#[tokio::test]
async fn a_sidecar_writes_its_own_report() {
    let stage = Stage::new("honest").await;
    let reports = stage.reports(&stage.client);
    let apply = PatchParams::apply("ostler-sidecar").force();
    let name = stage.pod.name_any();
    let applied = reports.patch(&name, &apply, &Patch::Apply(honest(&stage.pod))).await.unwrap();
    let status = json!({
        "apiVersion": "ostler.dev/v1alpha1", "kind": "ModelReplica", "metadata": { "name": name },
        "status": { "ready": true, "loaded": "1/1" },
    });
    let applied_status = reports.patch_status(&name, &apply, &Patch::Apply(status)).await.unwrap();
    assert!(applied_status.status.unwrap().ready);
    assert_eq!(applied.spec.pod_uid, stage.pod.uid().unwrap());
}

#[tokio::test]
async fn a_report_forged_with_another_pods_token_is_denied() {
    let stage = Stage::new("forged").await;
    let forger = stage.reports(&stage.other_client);
    let words = "may write only the ModelReplica of its own name";
    assert_denied(forger.create(&PostParams::default(), &honest(&stage.pod)).await, words);

    stage.written().await;
    let status = json!({ "status": { "ready": true } });
    let name = stage.pod.name_any();
    assert_denied(forger.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status)).await, words);
    let spec = json!({ "spec": { "podUid": stage.other_pod.uid() } });
    assert_denied(forger.patch(&name, &PatchParams::default(), &Patch::Merge(&spec)).await, words);
}

#[tokio::test]
async fn a_report_with_a_wrong_owner_is_denied() {
    let stage = Stage::new("owner").await;
    let reports = stage.reports(&stage.client);
    let (name, other) = (stage.pod.name_any(), stage.other_pod.uid().unwrap());
    let own = owner(&name, &stage.pod.uid().unwrap());
    let owners =
        [None, Some(Vec::new()), Some(vec![owner(&name, &other)]), Some(vec![own, owner("video-b", &other)])];
    for owners in owners {
        let mut forged = honest(&stage.pod);
        forged.metadata.owner_references = owners;
        let created = reports.create(&PostParams::default(), &forged).await;
        assert_denied(created, "must have that pod as its only owner");
    }
    let mut forged = honest(&stage.pod);
    forged.spec.pod_uid = other;
    assert_denied(
        reports.create(&PostParams::default(), &forged).await,
        "must have that pod as its only owner",
    );
}

#[tokio::test]
async fn whoever_is_no_pod_writes_no_report() {
    let stage = Stage::new("podless").await;
    let admin = stage.as_admin().await;
    assert_denied(admin.create(&PostParams::default(), &honest(&stage.pod)).await, "is bound to no pod");
    let token = stage.control_plane.token(&stage.namespace, ACCOUNT, None).await;
    let config = stage.control_plane.config_with_token(token).await;
    let podless = stage.reports(&Client::try_from(config).unwrap());
    assert_denied(podless.create(&PostParams::default(), &honest(&stage.pod)).await, "is bound to no pod");
}

#[tokio::test]
async fn a_sidecar_writes_no_report_in_another_namespace() {
    let stage = Stage::new("home").await;
    let elsewhere = Stage::new("elsewhere").await;
    // Even with the right to write there, as a cluster's administrator might grant it by mistake.
    let binding = json!({
        "metadata": { "name": "mistake" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "ostler-sidecar" },
        "subjects": [{ "kind": "ServiceAccount", "name": ACCOUNT, "namespace": stage.namespace }],
    });
    let bindings: Api<k8s_openapi::api::rbac::v1::RoleBinding> =
        Api::namespaced(stage.control_plane.client().await, &elsewhere.namespace);
    bindings.create(&PostParams::default(), &serde_json::from_value(binding).unwrap()).await.unwrap();
    let foreign: Api<ModelReplica> = Api::namespaced(stage.client.clone(), &elsewhere.namespace);
    let forged = honest(&stage.pod);
    let words = "may write only the ModelReplica of its own name in its own namespace";
    // The authorizer takes a moment to see the binding, and says otherwise until then.
    eventually("the binding to be seen", async || {
        let error = foreign.create(&PostParams::default(), &forged).await.unwrap_err();
        error.to_string().contains(words).then_some(())
    })
    .await;
}

#[tokio::test]
async fn every_kind_of_deletion_goes_through() {
    let stage = Stage::new("deletion").await;
    let admin = stage.as_admin().await;
    let pods: Api<Pod> = Api::namespaced(stage.control_plane.client().await, &stage.namespace);
    let name = stage.pod.name_any();

    stage.written().await;
    admin.delete(&name, &DeleteParams::default()).await.unwrap();
    eventually("the report to be deleted by hand", async || {
        admin.get_opt(&name).await.unwrap().is_none().then_some(())
    })
    .await;

    // The garbage collector takes the report of a pod that is gone.
    stage.written().await;
    pods.delete(&name, &DeleteParams::default()).await.unwrap();
    eventually("the report to go with its pod", async || {
        admin.get_opt(&name).await.unwrap().is_none().then_some(())
    })
    .await;

    // Where a pod leaves its report behind on purpose, the collector rewrites the report's owners first.
    let other = stage.other_pod.name_any();
    let report = honest(&stage.other_pod);
    stage.reports(&stage.other_client).create(&PostParams::default(), &report).await.unwrap();
    let orphan =
        DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..DeleteParams::default() };
    pods.delete(&other, &orphan).await.unwrap();
    eventually("the pod to let go of its report", async || {
        pods.get_opt(&other).await.unwrap().is_none().then_some(())
    })
    .await;
    assert!(admin.get(&other).await.unwrap().owner_references().is_empty());

    let namespaces: Api<Namespace> = Api::all(stage.control_plane.client().await);
    namespaces.delete(&stage.namespace, &DeleteParams::default()).await.unwrap();
    eventually("the namespace to go with what is in it", async || {
        namespaces.get_opt(&stage.namespace).await.unwrap().is_none().then_some(())
    })
    .await;
}
