//! What the operator makes goes with its owner; what it did not make it leaves alone.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{Api, DeleteParams, ListParams};
use kube::{Resource, ResourceExt};
use ostler_crds::model_deployment::ModelDeployment;
use ostler_crds::names::Task;
use ostler_crds::status::condition::{READY, RECONCILING, STALLED, VERSIONS_PINNED};
use ostler_tests::fixtures::{deployment, model};
use ostler_tests::stage::{Stage, condition, has_condition};
use ostler_tests::wait::eventually;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn video() -> ModelDeployment {
    let whisper =
        model("whisper", Task::AutomaticSpeechRecognition).version("v1", "hf://tiny/model").preloaded();
    deployment("video").model(whisper).build()
}

async fn names<K>(stage: &Stage) -> Vec<String>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    K: Clone + std::fmt::Debug + DeserializeOwned,
{
    let api: Api<K> = stage.api();
    let found = api.list(&ListParams::default()).await.unwrap();
    let kind = K::kind(&());
    found.items.iter().map(|object| format!("{kind} {}", object.name_any())).collect()
}

/// Every object in the namespace that is not there by itself.
async fn objects(stage: &Stage) -> Vec<String> {
    let mut all = names::<ConfigMap>(stage).await;
    all.extend(names::<Deployment>(stage).await);
    all.extend(names::<Pod>(stage).await);
    all.extend(names::<PodDisruptionBudget>(stage).await);
    all.extend(names::<RoleBinding>(stage).await);
    all.extend(names::<Service>(stage).await);
    all.extend(names::<ServiceAccount>(stage).await);
    all.retain(|name| name != "ServiceAccount default" && name != "ConfigMap kube-root-ca.crt");
    all
}

#[tokio::test]
async fn everything_goes_with_its_model_deployment() {
    let stage = Stage::new("cleanup").await;
    let _operator = stage.operator().await;
    stage.create(&video()).await;
    stage.settled("video", "pins", |it| has_condition(it, VERSIONS_PINNED, "True")).await;
    let made = eventually("a pod to be made", async || {
        let made = objects(&stage).await;
        made.iter().any(|name| name.starts_with("Pod video-")).then_some(made)
    })
    .await;
    for name in [
        "ConfigMap video-plan",
        "Deployment video",
        "PodDisruptionBudget video",
        "RoleBinding video-sidecar",
        "Service video",
        "ServiceAccount video-sidecar",
    ] {
        assert!(made.iter().any(|one| one == name), "{name} is missing in {made:?}");
    }
    let api: Api<ModelDeployment> = stage.api();
    api.delete("video", &DeleteParams::default()).await.unwrap();
    eventually("everything to be gone", async || objects(&stage).await.is_empty().then_some(())).await;
    assert_eq!(api.get_opt("video").await.unwrap(), None);
}

#[tokio::test]
async fn what_a_template_needs_is_removed_and_made_again_as_it_changes() {
    let stage = Stage::new("prune").await;
    let _operator = stage.operator().await;
    stage.create(&video()).await;
    stage.settled("video", "pins", |it| has_condition(it, VERSIONS_PINNED, "True")).await;
    let accounts: Api<ServiceAccount> = stage.api();
    assert!(accounts.get_opt("video-sidecar").await.unwrap().is_some());
    let own = json!({ "spec": { "template": { "spec": { "serviceAccountName": "default" } } } });
    stage.change("video", own).await;
    eventually("the account that nothing uses any more to go", async || {
        accounts.get_opt("video-sidecar").await.unwrap().is_none().then_some(())
    })
    .await;
    let bindings: Api<RoleBinding> = stage.api();
    eventually("the template's own account to be bound", async || {
        let subjects = bindings.get_opt("video-sidecar").await.unwrap()?.subjects?;
        (subjects.len() == 1 && subjects[0].name == "default").then_some(())
    })
    .await;
}

/// Puts a foreign object of the operator's name into the way, and returns what the status says.
async fn conflict<K>(purpose: &str, kind: &str, foreign: Value)
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    K: Clone + std::fmt::Debug + serde::Serialize + DeserializeOwned,
{
    let stage = Stage::new(purpose).await;
    let foreign: K = stage.create(&serde_json::from_value(foreign).unwrap()).await;
    let before = objects(&stage).await;
    let _operator = stage.operator().await;
    stage.create(&video()).await;
    let stalled = stage.settled("video", "the conflict", |it| has_condition(it, STALLED, "True")).await;
    let said = condition(&stalled, STALLED).unwrap();
    assert_eq!(said.reason, "NameConflict");
    let name = foreign.name_any();
    assert!(said.message.contains(&format!("{kind} {name} exists")), "{}", said.message);
    assert!(said.message.contains("delete or rename it, or rename the ModelDeployment"), "{}", said.message);
    assert!(has_condition(&stalled, READY, "False") && has_condition(&stalled, RECONCILING, "False"));

    let api: Api<K> = stage.api();
    let after = api.get(&name).await.unwrap();
    assert_eq!(after.uid(), foreign.uid());
    assert!(after.owner_references().is_empty(), "a foreign object is never adopted");
    assert!(after.labels().get("app.kubernetes.io/managed-by").is_none());
    let others: Vec<String> =
        objects(&stage).await.into_iter().filter(|name| !name.starts_with("Pod ")).collect();
    let expected: Vec<String> = before.into_iter().filter(|name| !name.starts_with("Pod ")).collect();
    assert_eq!(others, expected, "nothing is made beside a conflict");

    // Once the way is free the operator goes it; it looks again by itself, a change only makes it sooner.
    api.delete(&name, &DeleteParams::default()).await.unwrap();
    eventually("the foreign object to go", async || {
        api.get_opt(&name).await.unwrap().is_none().then_some(())
    })
    .await;
    stage.change("video", json!({ "spec": { "replicas": 2 } })).await;
    stage.settled("video", "the conflict's end", |it| has_condition(it, STALLED, "False")).await;
    let ours = api.get(&name).await.unwrap();
    assert_eq!(ours.owner_references().len(), 1);
}

#[tokio::test]
async fn a_foreign_deployment_of_our_name_is_never_adopted() {
    let deployment = json!({
        "metadata": { "name": "video" },
        "spec": {
            "replicas": 1,
            "selector": { "matchLabels": { "app": "theirs" } },
            "template": {
                "metadata": { "labels": { "app": "theirs" } },
                "spec": { "containers": [{ "name": "theirs", "image": "theirs" }] },
            },
        },
    });
    conflict::<Deployment>("conflict-deployment", "Deployment", deployment).await;
}

#[tokio::test]
async fn a_foreign_service_of_our_name_is_never_adopted() {
    let service = json!({ "metadata": { "name": "video" }, "spec": { "ports": [{ "port": 80 }] } });
    conflict::<Service>("conflict-service", "Service", service).await;
}

#[tokio::test]
async fn a_foreign_config_map_of_our_name_is_never_adopted() {
    let config_map = json!({ "metadata": { "name": "video-plan" }, "data": { "plan.json": "theirs" } });
    conflict::<ConfigMap>("conflict-plan", "ConfigMap", config_map).await;
}
