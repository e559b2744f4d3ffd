//! Of two operators one works, and the other takes over.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use ostler_crds::model_deployment::ModelDeployment;
use ostler_crds::names::Task;
use ostler_crds::status::condition::VERSIONS_PINNED;
use ostler_operator::leadership::LeaseSettings;
use ostler_tests::control_plane::OPERATOR_NAMESPACE;
use ostler_tests::fixtures::{deployment, model};
use ostler_tests::operator::Operator;
use ostler_tests::stage::{Stage, has_condition};
use ostler_tests::wait::eventually;
use serde_json::json;

/// Long enough in seconds for a take-over that waited for the end of a lease to stand out.
const LONG: u64 = 40;

/// A lease that holds for so many seconds.
fn lease(stage: &Stage, identity: &str, seconds: u64) -> LeaseSettings {
    LeaseSettings {
        name: stage.namespace.clone(),
        duration: Duration::from_secs(seconds),
        period: Duration::from_millis(500),
        ..LeaseSettings::new(OPERATOR_NAMESPACE.to_owned(), identity.to_owned())
    }
}

async fn replica(stage: &Stage, identity: &str, seconds: u64) -> Operator {
    stage.operator_builder().lease(lease(stage, identity, seconds)).start(stage.control_plane).await
}

/// Waits until the Lease names a holder.
async fn held_by(stage: &Stage, identity: &str) {
    let leases: Api<Lease> = Api::namespaced(stage.control_plane.client().await, OPERATOR_NAMESPACE);
    eventually(&format!("{identity} to hold the lease"), async || {
        let holder = leases.get_opt(&stage.namespace).await.unwrap()?.spec?.holder_identity;
        (holder.as_deref() == Some(identity)).then_some(())
    })
    .await;
}

fn video() -> ModelDeployment {
    deployment("video")
        .model(model("translation", Task::Translation).version("v1", "hf://tiny/model"))
        .build()
}

#[tokio::test]
async fn another_replica_takes_over_at_once_when_the_leader_stops() {
    let stage = Stage::new("handover").await;
    let first = replica(&stage, "first", LONG).await;
    held_by(&stage, "first").await;
    let second = replica(&stage, "second", LONG).await;
    stage.create(&video()).await;
    stage.settled("video", "the first leader's work", |it| has_condition(it, VERSIONS_PINNED, "True")).await;
    // The status is written before the reconcile is counted.
    eventually("the first leader's count", async || {
        (first.metric("ostler_operator_reconciles_total").await > 0.0).then_some(())
    })
    .await;
    assert!(second.metric("ostler_operator_reconciles_total").await < 1.0, "the other waits");
    assert!(second.metric("ostler_operator_leader").await < 1.0);

    first.stop().await;
    let given_back = std::time::Instant::now();
    held_by(&stage, "second").await;
    assert!(
        given_back.elapsed() < Duration::from_secs(LONG) / 2,
        "a lease that was given back need not run out"
    );
    stage.change("video", json!({ "spec": { "replicas": 2 } })).await;
    stage.settled("video", "the second leader's work", |it| it.metadata.generation == Some(2)).await;
    second.stop().await;
}

#[tokio::test]
async fn another_replica_takes_over_when_the_leader_dies() {
    let stage = Stage::new("death").await;
    let first = replica(&stage, "first", 4).await;
    held_by(&stage, "first").await;
    let second = replica(&stage, "second", 4).await;
    first.kill();
    held_by(&stage, "second").await;
    stage.create(&video()).await;
    stage.settled("video", "the second leader's work", |it| has_condition(it, VERSIONS_PINNED, "True")).await;
    second.stop().await;
}
