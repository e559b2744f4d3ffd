//! The operator writes when something has changed, and what has changed, and nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{Resource, ResourceExt};
use ostler_crds::model_deployment::ModelDeployment;
use ostler_crds::names::Task;
use ostler_crds::status::condition::VERSIONS_PINNED;
use ostler_tests::control_plane::OPERATOR_USER;
use ostler_tests::fixtures::{deployment, model};
use ostler_tests::stage::{Stage, has_condition};
use ostler_tests::wait::eventually;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// How long an operator must be silent to be called idle.
const SILENCE: Duration = Duration::from_secs(4);

fn two_versions() -> ModelDeployment {
    let translation = model("translation", Task::Translation)
        .version("v1", "hf://tiny/model:main")
        .weighted_version("v2", "hf://tiny/model", 10);
    deployment("video").model(translation).replicas(2).build()
}

/// The operator's writes in the stage's namespace.
fn writes(stage: &Stage) -> Vec<String> {
    let requests = stage.control_plane.requests().into_iter();
    let ours = requests.filter(|request| request.is_write() && request.is(OPERATOR_USER, &stage.namespace));
    ours.map(|request| format!("{} {}", request.verb, request.uri)).collect()
}

/// Waits until the operator has written nothing for a while.
async fn quiet(stage: &Stage) -> Vec<String> {
    let mut before = writes(stage);
    eventually("the operator to have nothing more to write", async || {
        tokio::time::sleep(SILENCE).await;
        let now = writes(stage);
        let quiet = now == before;
        before = now;
        quiet.then(|| before.clone())
    })
    .await
}

/// The resource version of every object that the operator makes, and of the `ModelDeployment`, by kind and name.
async fn versions(stage: &Stage) -> BTreeMap<String, String> {
    async fn of<K>(stage: &Stage) -> Vec<(String, String)>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
        K: Clone + std::fmt::Debug + DeserializeOwned,
    {
        let api: Api<K> = stage.api();
        let found = api.list(&ListParams::default()).await.unwrap();
        let version = |object: K| {
            (format!("{} {}", K::kind(&()), object.name_any()), object.resource_version().unwrap())
        };
        found.items.into_iter().map(version).collect()
    }
    let mut all = of::<ConfigMap>(stage).await;
    all.extend(of::<ServiceAccount>(stage).await);
    all.extend(of::<RoleBinding>(stage).await);
    all.extend(of::<Service>(stage).await);
    all.extend(of::<PodDisruptionBudget>(stage).await);
    all.extend(of::<Deployment>(stage).await);
    all.extend(of::<ModelDeployment>(stage).await);
    all.into_iter().collect()
}

#[tokio::test]
async fn nothing_is_written_on_a_second_reconcile() {
    let stage = Stage::new("idle").await;
    let operator = stage.operator().await;
    stage.create(&two_versions()).await;
    stage.settled("video", "pins", |it| has_condition(it, VERSIONS_PINNED, "True")).await;
    let pods: Api<Pod> = stage.api();
    let pod = eventually("both pods to be made", async || {
        let mut found = pods.list(&ListParams::default()).await.unwrap().items;
        (found.len() == 2).then(|| found.remove(0))
    })
    .await;
    let before = quiet(&stage).await;
    assert!(!before.is_empty(), "the audit log shows the operator's writes");
    let versions_before = versions(&stage).await;

    // Whatever touches a pod makes the operator look again.
    let reconciles = operator.metric("ostler_operator_reconciles_total").await;
    for touch in 1..=3 {
        let label = json!({ "metadata": { "labels": { "touched": touch.to_string() } } });
        pods.patch(&pod.name_any(), &PatchParams::default(), &Patch::Merge(label)).await.unwrap();
        eventually("another reconcile", async || {
            let now = operator.metric("ostler_operator_reconciles_total").await;
            (now >= reconciles + f64::from(touch)).then_some(())
        })
        .await;
    }
    tokio::time::sleep(SILENCE).await;
    assert_eq!(writes(&stage), before);
    assert_eq!(versions(&stage).await, versions_before);
}

#[tokio::test]
async fn an_operator_that_starts_anew_changes_nothing() {
    let stage = Stage::new("anew").await;
    let operator = stage.operator().await;
    stage.create(&two_versions()).await;
    stage.settled("video", "pins", |it| has_condition(it, VERSIONS_PINNED, "True")).await;
    quiet(&stage).await;
    let before = versions(&stage).await;
    assert_eq!(before.keys().filter(|name| !name.ends_with(" default")).count(), 7, "{before:?}");
    operator.stop().await;

    let operator = stage.operator().await;
    eventually("a reconcile", async || {
        (operator.metric("ostler_operator_reconciles_total").await > 0.0).then_some(())
    })
    .await;
    quiet(&stage).await;
    assert_eq!(versions(&stage).await, before);
}

#[tokio::test]
async fn a_change_of_weights_changes_the_plan_alone_and_restarts_no_pod() {
    let stage = Stage::new("hot").await;
    let _operator = stage.operator().await;
    stage.create(&two_versions()).await;
    stage.settled("video", "pins", |it| has_condition(it, VERSIONS_PINNED, "True")).await;
    quiet(&stage).await;
    let before = versions(&stage).await;
    let deployments: Api<Deployment> = stage.api();
    let template = |deployment: Deployment| -> Value {
        serde_json::to_value(deployment.spec.unwrap().template).unwrap()
    };
    let template_before = template(deployments.get("video").await.unwrap());

    let mut changed = serde_json::to_value(two_versions().spec.models).unwrap();
    changed[0]["versions"][1]["weight"] = json!(100);
    stage.change("video", json!({ "spec": { "models": changed } })).await;
    let weights = |plan: &ostler_crds::serving_plan::ServingPlan| -> Vec<u8> {
        plan.models[0].versions.iter().map(|version| version.weight.percent()).collect()
    };
    stage.plan("video", |plan| weights(plan) == [0, 100]).await;
    let settled = stage
        .settled("video", "the new weights in the status", |it| {
            it.status.as_ref().is_some_and(|status| status.versions == "translation=v1:0,v2:100")
        })
        .await;
    assert_eq!(settled.status.unwrap().models[0].versions[1].weight, 100);
    quiet(&stage).await;

    let after = versions(&stage).await;
    let changed: Vec<&String> = before.keys().filter(|name| before[*name] != after[*name]).collect();
    assert_eq!(changed, ["ConfigMap video-plan", "ModelDeployment video"]);
    assert_eq!(template(deployments.get("video").await.unwrap()), template_before);
}
