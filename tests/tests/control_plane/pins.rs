//! A revision is resolved once; what it was resolved to is kept.

use ostler_crds::names::Task;
use ostler_crds::serving_plan::ServingPlan;
use ostler_crds::status::condition::VERSIONS_PINNED;
use ostler_tests::fixtures::{deployment, model};
use ostler_tests::operator::Interruption;
use ostler_tests::stage::{Stage, commits, has_condition};
use serde_json::json;

fn translation() -> ostler_crds::model_deployment::ModelDeployment {
    deployment("video")
        .model(model("translation", Task::Translation).version("v1", "hf://tiny/model"))
        .build()
}

fn revision(deployment: &ostler_crds::model_deployment::ModelDeployment) -> String {
    deployment.status.as_ref().unwrap().models[0].versions[0].revision.clone()
}

#[tokio::test]
async fn pins_are_kept_when_a_branch_moves_and_renewed_when_the_annotation_changes() {
    let stage = Stage::new("repin").await;
    let operator = stage.operator().await;
    let first = stage.push("what main names at first");
    stage.create(&translation()).await;
    let pinned = |it: &_| has_condition(it, VERSIONS_PINNED, "True");
    let settled = stage.settled("video", "the first pin", pinned).await;
    assert_eq!(revision(&settled), first);
    assert_eq!(commits(&stage.plan("video", |_| true).await), std::slice::from_ref(&first));

    let second = stage.push("what main names later");
    assert_ne!(first, second);
    stage.change("video", json!({ "spec": { "replicas": 2 } })).await;
    let settled =
        stage.settled("video", "the second generation", |it| it.metadata.generation == Some(2)).await;
    assert_eq!(revision(&settled), first, "a moved branch moves no pin");

    // The same goes for an operator that knows nothing but what it finds in the cluster.
    operator.kill();
    let _operator = stage.operator().await;
    stage.change("video", json!({ "spec": { "replicas": 3 } })).await;
    stage.settled("video", "the third generation", |it| it.metadata.generation == Some(3)).await;
    assert_eq!(commits(&stage.plan("video", |_| true).await), [first]);

    stage.change("video", json!({ "metadata": { "annotations": { "ostler.dev/repin": "now" } } })).await;
    let repinned = |it: &ostler_crds::model_deployment::ModelDeployment| {
        it.status.as_ref().is_some_and(|status| status.observed_repin.as_deref() == Some("now"))
    };
    let settled = stage.settled("video", "the new pin", repinned).await;
    assert_eq!(revision(&settled), second);
    assert_eq!(commits(&stage.plan("video", |_| true).await), [second]);
}

#[tokio::test]
async fn pins_are_kept_when_the_operator_dies_between_plan_and_status() {
    let stage = Stage::new("died").await;
    let first = stage.push("what main names at first");
    let plan = format!("/api/v1/namespaces/{}/configmaps/video-plan", stage.namespace);
    let interruption = Interruption::after_patch_of(plan);
    let operator =
        stage.operator_builder().interrupted_by(interruption.clone()).start(stage.control_plane).await;
    let created = stage.create(&translation()).await;
    interruption.happened().await;
    operator.kill();
    let api: kube::Api<ostler_crds::model_deployment::ModelDeployment> = stage.api();
    let interrupted = api.get("video").await.unwrap();
    assert_eq!(
        interrupted.metadata.resource_version, created.metadata.resource_version,
        "no status was written"
    );

    stage.push("what main names after the death");
    let _operator = stage.operator().await;
    let settled = stage.settled("video", "a pin", |it| has_condition(it, VERSIONS_PINNED, "True")).await;
    assert_eq!(revision(&settled), first);
    assert_eq!(commits(&stage.plan("video", |_| true).await), [first]);
}

#[tokio::test]
async fn a_hub_that_is_away_leaves_the_old_pin_serving_and_says_so() {
    let stage = Stage::new("away").await;
    let _operator = stage.operator().await;
    let first = stage.push("what main names at first");
    stage.create(&translation()).await;
    stage.settled("video", "the first pin", |it| has_condition(it, VERSIONS_PINNED, "True")).await;

    stage.hub.remove("tiny/model");
    stage.change("video", json!({ "metadata": { "annotations": { "ostler.dev/repin": "now" } } })).await;
    let settled =
        stage.settled("video", "the failure", |it| has_condition(it, VERSIONS_PINNED, "False")).await;
    assert_eq!(revision(&settled), first, "the old pin serves on");
    let message = &ostler_tests::stage::condition(&settled, VERSIONS_PINNED).unwrap().message;
    assert!(message.contains("translation") && message.contains("the pin before it serves"), "{message}");
}

#[tokio::test]
async fn a_pin_that_moves_leaves_its_commit_in_the_history_of_the_plan() {
    let stage = Stage::new("history").await;
    let _operator = stage.operator().await;
    let commits = [stage.push("the first"), stage.push("the second"), stage.push("the third")];
    let at = |commit: &str| format!("hf://tiny/model:{commit}");
    let model = |commit: &str, pins: i32| {
        let model = model("translation", Task::Translation).version("v1", &at(commit));
        deployment("video").model(model.history(pins)).build()
    };
    stage.create(&model(&commits[0], 1)).await;
    let history = |plan: &ServingPlan| -> Vec<(String, String)> {
        let artifact = &plan.models[0].versions[0].artifacts[0];
        artifact.history.iter().map(|pin| (pin.commit.to_string(), pin.source.to_string())).collect()
    };
    let is_at = |commit: String| {
        move |plan: &ServingPlan| {
            plan.models[0].versions[0].artifacts[0].commit.as_ref().is_some_and(|pin| pin.as_str() == commit)
        }
    };
    assert!(history(&stage.plan("video", is_at(commits[0].clone())).await).is_empty());
    for (before, after) in [(0, 1), (1, 2)] {
        let models = serde_json::to_value(&model(&commits[after], 1).spec.models).unwrap();
        stage.change("video", json!({ "spec": { "models": models } })).await;
        let plan = stage.plan("video", is_at(commits[after].clone())).await;
        assert_eq!(history(&plan), [(commits[before].clone(), at(&commits[before]))]);
    }
    let models = serde_json::to_value(&model(&commits[2], 0).spec.models).unwrap();
    stage.change("video", json!({ "spec": { "models": models } })).await;
    let is_empty = |plan: &ServingPlan| plan.models[0].versions[0].artifacts[0].history.is_empty();
    stage.plan("video", is_empty).await;
}
