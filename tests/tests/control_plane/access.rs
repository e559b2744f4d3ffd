//! The chart gives the operator what it needs, and nothing that would make it an administrator.

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use ostler_crds::model_deployment::ModelDeployment;
use ostler_crds::names::Task;
use ostler_crds::status::condition::VERSIONS_PINNED;
use ostler_operator::leadership::LeaseSettings;
use ostler_tests::control_plane::{ControlPlane, OPERATOR_NAMESPACE, OPERATOR_USER};
use ostler_tests::fixtures::{deployment, model};
use ostler_tests::stage::{Stage, has_condition};
use ostler_tests::wait::eventually;
use serde_json::json;

#[tokio::test]
async fn nothing_that_the_operator_asks_for_is_forbidden() {
    let stage = Stage::new("allowed").await;
    let lease = LeaseSettings {
        name: stage.namespace.clone(),
        ..LeaseSettings::new(OPERATOR_NAMESPACE.to_owned(), "only".to_owned())
    };
    let operator = stage.operator_builder().lease(lease).start(stage.control_plane).await;
    // A whole life: made, changed in each way that writes something else, deleted.
    let whisper =
        model("whisper", Task::AutomaticSpeechRecognition).version("v1", "hf://tiny/model").preloaded();
    stage.create(&deployment("video").model(whisper).build()).await;
    stage.settled("video", "pins", |it| has_condition(it, VERSIONS_PINNED, "True")).await;
    let own = json!({ "spec": { "template": { "spec": { "serviceAccountName": "default" } } } });
    for change in [own, json!({ "spec": { "template": null } }), json!({ "spec": { "replicas": 0 } })] {
        let generation = stage.change("video", change).await.metadata.generation;
        stage.settled("video", "the change", |it| it.metadata.generation == generation).await;
    }
    let api: Api<ModelDeployment> = stage.api();
    api.delete("video", &DeleteParams::default()).await.unwrap();
    eventually("it to be gone", async || api.get_opt("video").await.unwrap().is_none().then_some(())).await;
    operator.stop().await;

    let requests = stage.control_plane.requests();
    let ours: Vec<_> = requests
        .iter()
        .filter(|one| one.is(OPERATOR_USER, &stage.namespace) || one.uri.contains(&stage.namespace))
        .filter(|one| one.user.username == OPERATOR_USER)
        .collect();
    let verbs = |verb: &str| ours.iter().filter(|one| one.verb == verb).count();
    assert!(
        verbs("watch") >= 8 && verbs("patch") >= 7 && verbs("delete") >= 1,
        "the log shows the operator's life"
    );
    let forbidden: Vec<String> = ours
        .iter()
        .filter(|one| one.was_forbidden())
        .map(|one| format!("{} {}", one.verb, one.uri))
        .collect();
    assert!(forbidden.is_empty(), "{forbidden:?}");
}

#[tokio::test]
async fn the_operator_may_not_read_secrets_or_widen_its_own_rights() {
    let client = ControlPlane::shared().await.client().await;
    let reviews: Api<SubjectAccessReview> = Api::all(client);
    let may = async |verb: &str, group: &str, resource: &str, name: Option<&str>| {
        let attributes = ResourceAttributes {
            verb: Some(verb.to_owned()),
            group: Some(group.to_owned()),
            resource: Some(resource.to_owned()),
            name: name.map(str::to_owned),
            namespace: Some("default".to_owned()),
            ..ResourceAttributes::default()
        };
        let spec = SubjectAccessReviewSpec {
            user: Some(OPERATOR_USER.to_owned()),
            groups: Some(vec!["system:serviceaccounts".to_owned(), "system:authenticated".to_owned()]),
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        };
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        reviews.create(&PostParams::default(), &review).await.unwrap().status.unwrap().allowed
    };
    let rbac = "rbac.authorization.k8s.io";
    assert!(may("patch", "apps", "deployments", None).await, "the review knows the operator");
    assert!(may("bind", rbac, "clusterroles", Some("ostler-sidecar")).await);
    for (verb, group, resource, name) in [
        ("get", "", "secrets", None),
        ("list", "", "secrets", None),
        ("create", "", "pods", None),
        ("create", "", "serviceaccounts/token", None),
        ("patch", "ostler.dev", "modeldeployments", None),
        ("patch", "ostler.dev", "modelreplicas", None),
        ("bind", rbac, "clusterroles", Some("cluster-admin")),
        ("escalate", rbac, "clusterroles", Some("ostler-sidecar")),
        ("patch", rbac, "clusterroles", Some("ostler-sidecar")),
        ("patch", "admissionregistration.k8s.io", "validatingadmissionpolicies", None),
    ] {
        assert!(!may(verb, group, resource, name).await, "the operator may {verb} {resource} {name:?}");
    }
}
