//! What the status says, with the test in the part of the kubelets and the sidecars.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::ResourceExt;
use kube::api::{Api, ListParams, Patch, PatchParams};
use ostler_crds::model_deployment::{ModelDeployment, VersionStatus};
use ostler_crds::names::Task;
use ostler_crds::status::condition::{
    AVAILABLE, DEGRADED, MODELS_LOADED, READY, RECONCILING, STALLED, VERSIONS_PINNED,
};
use ostler_tests::fixtures::{deployment, model};
use ostler_tests::sidecar;
use ostler_tests::stage::{Stage, condition, has_condition};
use ostler_tests::wait::eventually;
use serde_json::{Value, json};

const STARTED: &str = "1970-01-01T00:00:00Z";

fn preloaded() -> ModelDeployment {
    let whisper =
        model("whisper", Task::AutomaticSpeechRecognition).version("v1", "hf://tiny/model").preloaded();
    deployment("video").model(whisper).build()
}

/// The report of a version of `whisper` in a state.
fn entry(version: &str, revision: &str, state: &str) -> Value {
    json!({ "model": "whisper", "version": version, "languagePair": "", "revision": revision, "state": state })
}

fn versions(deployment: &ModelDeployment) -> &[VersionStatus] {
    deployment.status.as_ref().map_or(&[], |status| &status.models[0].versions)
}

async fn only_pod(stage: &Stage) -> Pod {
    let pods: Api<Pod> = stage.api();
    eventually("the pod to be made", async || pods.list(&ListParams::default()).await.unwrap().items.pop())
        .await
}

#[tokio::test]
async fn it_is_ready_once_the_pod_is_ready_and_has_loaded_what_is_to_be_preloaded() {
    let stage = Stage::new("ready").await;
    let _operator = stage.operator().await;
    let commit = stage.push("weights");
    stage.create(&preloaded()).await;
    let pod = only_pod(&stage).await;
    let waiting = stage.settled("video", "pins", |it| has_condition(it, VERSIONS_PINNED, "True")).await;
    for (kind, status) in [(READY, "False"), (RECONCILING, "True"), (STALLED, "False"), (AVAILABLE, "False")]
    {
        assert!(has_condition(&waiting, kind, status), "{kind} is {:?}", condition(&waiting, kind));
    }

    let loading =
        json!({ "planGeneration": 1, "progressPercent": 40, "versions": [entry("v1", &commit, "Loading")] });
    sidecar::runs(&stage.api(), &pod.name_any(), STARTED).await;
    sidecar::reports(stage.control_plane, &pod, loading).await;
    let at_work = stage
        .settled("video", "progress", |it| {
            it.status.as_ref().is_some_and(|status| status.progress_percent == 40)
        })
        .await;
    assert!(has_condition(&at_work, MODELS_LOADED, "False") && has_condition(&at_work, READY, "False"));

    let loaded = json!({
        "planGeneration": 1, "ready": true, "progressPercent": 100, "versions": [entry("v1", &commit, "Loaded")],
    });
    sidecar::reports(stage.control_plane, &pod, loaded).await;
    let ready = stage.settled("video", "readiness", |it| has_condition(it, READY, "True")).await;
    for (kind, status) in
        [(RECONCILING, "False"), (AVAILABLE, "True"), (MODELS_LOADED, "True"), (DEGRADED, "False")]
    {
        assert!(has_condition(&ready, kind, status), "{kind} is {:?}", condition(&ready, kind));
    }
    let status = ready.status.as_ref().unwrap();
    assert_eq!((status.replicas, status.ready_replicas), (1, 1));
    assert_eq!((status.loaded.as_str(), status.progress_percent), ("1/1", 100));
    assert_eq!(status.versions, "whisper=v1:100");
    assert_eq!(versions(&ready)[0].replicas, [("Loaded".to_owned(), 1)].into());

    // The container runs anew: what the dead process said counts no more.
    sidecar::runs(&stage.api(), &pod.name_any(), "2026-01-01T00:00:00Z").await;
    let restarted = stage
        .settled("video", "the old report to be passed over", |it| {
            versions(it)[0].replicas.contains_key("Unknown")
        })
        .await;
    assert!(has_condition(&restarted, MODELS_LOADED, "False"));
}

#[tokio::test]
async fn a_version_that_fails_is_named_with_its_reason() {
    let stage = Stage::new("failed").await;
    let _operator = stage.operator().await;
    let commit = stage.push("weights");
    stage.create(&preloaded()).await;
    let pod = only_pod(&stage).await;
    stage.settled("video", "pins", |it| has_condition(it, VERSIONS_PINNED, "True")).await;
    sidecar::runs(&stage.api(), &pod.name_any(), STARTED).await;
    let mut failed = entry("v1", &commit, "FailedToLoad");
    failed["lastFailure"] = json!({
        "location": "Load", "reason": "Incompatible", "message": "int8 cannot run on this CPU", "revision": commit,
        "time": STARTED, "retryable": false,
    });
    sidecar::reports(stage.control_plane, &pod, json!({ "planGeneration": 1, "versions": [failed] })).await;
    let degraded = stage.settled("video", "the failure", |it| has_condition(it, DEGRADED, "True")).await;
    let said = &condition(&degraded, DEGRADED).unwrap().message;
    assert!(said.contains("whisper@v1: Incompatible: int8 cannot run on this CPU"), "{said}");
    assert_eq!(versions(&degraded)[0].last_failure.as_ref().unwrap().reason, "Incompatible");
    assert_eq!(versions(&degraded)[0].replicas, [("FailedToLoad".to_owned(), 1)].into());
}

#[tokio::test]
async fn a_preloaded_version_gets_its_weight_only_once_it_is_loaded() {
    let stage = Stage::new("weights").await;
    let _operator = stage.operator().await;
    let commit = stage.push("weights");
    stage.create(&preloaded()).await;
    let pod = only_pod(&stage).await;
    stage.settled("video", "pins", |it| has_condition(it, VERSIONS_PINNED, "True")).await;
    sidecar::runs(&stage.api(), &pod.name_any(), STARTED).await;
    let first = entry("v1", &commit, "Loaded");
    let report = json!({ "planGeneration": 1, "ready": true, "progressPercent": 100, "versions": [first] });
    sidecar::reports(stage.control_plane, &pod, report).await;
    stage.settled("video", "readiness", |it| has_condition(it, READY, "True")).await;

    let mut models = serde_json::to_value(preloaded().spec.models).unwrap();
    models[0]["versions"] = json!([
        { "name": "v1", "storageUri": "hf://tiny/model" },
        { "name": "v2", "storageUri": "hf://tiny/model:main", "weight": 100 },
    ]);
    stage.change("video", json!({ "spec": { "models": models } })).await;
    let waiting = stage
        .settled("video", "the weight to wait", |it| {
            condition(it, READY)
                .is_some_and(|ready| ready.status == "False" && ready.message.contains("whisper@v2"))
        })
        .await;
    assert_eq!(waiting.status.unwrap().versions, "whisper=v1:100,v2:0", "v1 serves until v2 is loaded");

    let plan = stage.plan("video", |plan| plan.models[0].versions.len() == 2).await;
    let both = [entry("v1", &commit, "Loaded"), entry("v2", &commit, "Loaded")];
    let report =
        json!({ "planGeneration": plan.generation, "ready": true, "progressPercent": 100, "versions": both });
    sidecar::reports(stage.control_plane, &pod, report).await;
    stage
        .settled("video", "the weight to take effect", |it| {
            it.status.as_ref().is_some_and(|status| status.versions == "whisper=v1:0,v2:100")
        })
        .await;
}

#[tokio::test]
async fn a_template_that_the_api_server_refuses_is_shown_with_its_own_words() {
    let stage = Stage::new("template").await;
    let _operator = stage.operator().await;
    let mut broken = preloaded();
    broken.spec.template =
        Some(json!({ "spec": { "containers": [{ "name": "Not A Name", "image": "app" }] } }));
    stage.create(&broken).await;
    let stalled = stage.settled("video", "the refusal", |it| has_condition(it, STALLED, "True")).await;
    let said = &condition(&stalled, STALLED).unwrap().message;
    assert!(said.contains("Deployment video") && said.contains("RFC 1123 label"), "{said}");

    stage.change("video", json!({ "spec": { "template": null } })).await;
    stage.settled("video", "the way on", |it| has_condition(it, STALLED, "False")).await;
    let deployments: Api<Deployment> = stage.api();
    assert!(deployments.get_opt("video").await.unwrap().is_some());
}

#[tokio::test]
async fn why_a_pod_is_pending_is_in_the_status() {
    let stage = Stage::new("pending").await;
    let _operator = stage.operator().await;
    stage.create(&preloaded()).await;
    let pod = only_pod(&stage).await;
    let pods: Api<Pod> = stage.api();
    let words = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.";
    let unscheduled = json!({ "status": { "conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words,
        "lastTransitionTime": STARTED,
    }]}});
    pods.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Strategic(unscheduled))
        .await
        .unwrap();
    let pending = stage
        .settled("video", "the scheduler's words", |it| {
            condition(it, READY).is_some_and(|ready| ready.message.contains(words))
        })
        .await;
    assert!(condition(&pending, AVAILABLE).unwrap().message.contains(words));
}

#[tokio::test]
async fn kubectl_scale_changes_the_number_of_pods_and_the_selector_finds_them() {
    let stage = Stage::new("scale").await;
    let _operator = stage.operator().await;
    stage.create(&preloaded()).await;
    stage.settled("video", "pins", |it| has_condition(it, VERSIONS_PINNED, "True")).await;
    let arguments = ["-n", &stage.namespace, "scale", "mdep/video", "--replicas=3"];
    let scaled = stage.control_plane.run("kubectl", &arguments).await;
    assert!(scaled.status.success(), "{}", String::from_utf8_lossy(&scaled.stderr));
    let three = stage
        .settled("video", "three pods", |it| it.status.as_ref().is_some_and(|status| status.replicas == 3))
        .await;
    let pods: Api<Pod> = stage.api();
    let selector = three.status.unwrap().selector;
    assert_eq!(pods.list(&ListParams::default().labels(&selector)).await.unwrap().items.len(), 3);
}

#[tokio::test]
async fn what_happens_is_told_in_events() {
    let stage = Stage::new("events").await;
    let _operator = stage.operator().await;
    stage.hub.remove("tiny/model");
    stage.create(&preloaded()).await;
    stage.settled("video", "the failure", |it| has_condition(it, VERSIONS_PINNED, "False")).await;
    let events: Api<Event> = stage.api();
    let told = eventually("an event", async || {
        let found = events.list(&ListParams::default().fields("involvedObject.name=video")).await.unwrap();
        found.items.into_iter().find(|event| event.type_.as_deref() == Some("Warning"))
    })
    .await;
    assert!(told.message.unwrap_or_default().contains("tiny/model"));
    assert_eq!(told.reporting_component.as_deref(), Some("ostler-operator"));
}
