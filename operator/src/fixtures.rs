//! Chainable builders of what the tests need.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use ostler_crds::model_deployment::{ModelDeployment, REPIN_ANNOTATION};
use ostler_crds::model_replica::{
    ModelReplica, ModelReplicaSpec, ModelReplicaStatus, ReportedVersion, ReportingContainer,
};
use ostler_crds::serving_plan::ServingPlan;
use ostler_crds::status::{Failure, FailureLocation, VersionState};
use serde_json::{Value, json};

use crate::desired;
use crate::names::SIDECAR_CONTAINER;
use crate::observed::{ExistingPlan, ObservedPod};
use crate::pins::{self, Pins};
use crate::resolution::{Resolutions, ResolveFailure};
use crate::settings::Settings;
use crate::validate;
use crate::validated::ValidatedDeployment;

/// A moment.
pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

/// A commit of one repeated digit.
pub(crate) fn commit(digit: char) -> String {
    digit.to_string().repeat(40)
}

/// What an administrator sets.
pub(crate) fn settings() -> Settings {
    Settings {
        sidecar_image: "registry.example/ostler-sidecar:1".to_owned(),
        hub_endpoint: "https://hub.example".parse().unwrap(),
        hub_redirect_hosts: vec!["*.cdn.example".to_owned()],
        host_path_prefix: Some("/var/lib/ostler".to_owned()),
        allow_pickle: false,
        sidecar_cluster_role: "ostler-sidecar".to_owned(),
    }
}

/// A `ModelDeployment` in the making, as its manifest.
#[derive(Debug, Clone)]
pub(crate) struct DeploymentBuilder(Value);

/// Begins a `ModelDeployment` named `vt` of two pods and no models.
pub(crate) fn deployment() -> DeploymentBuilder {
    DeploymentBuilder(json!({
        "apiVersion": "ostler.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "vt", "namespace": "team", "uid": "uid-of-vt", "generation": 3},
        "spec": {"replicas": 2, "models": [], "memory": {"host": "1Gi"}},
    }))
}

impl DeploymentBuilder {
    pub(crate) fn model(mut self, model: ModelBuilder) -> Self {
        self.0["spec"]["models"].as_array_mut().unwrap().push(model.0);
        self
    }

    pub(crate) fn spec(mut self, field: &str, value: Value) -> Self {
        self.0["spec"][field] = value;
        self
    }

    pub(crate) fn named(mut self, name: &str) -> Self {
        self.0["metadata"]["name"] = json!(name);
        self
    }

    pub(crate) fn repin(mut self, value: &str) -> Self {
        self.0["metadata"]["annotations"] = json!({REPIN_ANNOTATION: value});
        self
    }

    pub(crate) fn build(self) -> ModelDeployment {
        serde_json::from_value(self.0).unwrap()
    }

    pub(crate) fn validated(self) -> ValidatedDeployment {
        validate::validate(&self.build(), &settings()).unwrap()
    }
}

/// A model in the making.
#[derive(Debug, Clone)]
pub(crate) struct ModelBuilder(Value);

/// Begins a lazily loaded model of speech recognition without versions.
pub(crate) fn model(name: &str) -> ModelBuilder {
    ModelBuilder(json!({"name": name, "task": "automatic-speech-recognition", "versions": []}))
}

impl ModelBuilder {
    pub(crate) fn version(self, name: &str, uri: &str) -> Self {
        self.weighted(name, uri, 0)
    }

    /// The first version is the default.
    pub(crate) fn weighted(mut self, name: &str, uri: &str, weight: i32) -> Self {
        if self.0.get("defaultVersion").is_none() {
            self.0["defaultVersion"] = json!(name);
        }
        let versions = self.0["versions"].as_array_mut().unwrap();
        versions.push(json!({"name": name, "storageUri": uri, "weight": weight}));
        self
    }

    pub(crate) fn set(mut self, field: &str, value: Value) -> Self {
        self.0[field] = value;
        self
    }

    pub(crate) fn preloaded(self) -> Self {
        self.set("load", json!("Preload"))
    }
}

/// A Hub that answers every question about one of these revisions with its commit and all others with `NotFound`.
pub(crate) fn answers(deployment: &ValidatedDeployment, known: &[(&str, char)]) -> Resolutions {
    let questions = pins::decide(deployment, None).questions();
    questions
        .into_iter()
        .map(|question| {
            let revision = format!("{}:{}", question.0, question.1);
            let found = known.iter().find(|(name, _)| *name == revision);
            let answer = found.map(|(_, digit)| commit(*digit).parse().unwrap());
            (question, answer.ok_or_else(not_found))
        })
        .collect()
}

/// A failure of the Hub.
pub(crate) fn not_found() -> ResolveFailure {
    ResolveFailure {
        reason: "NotFound".to_owned(),
        message: "it is not there".to_owned(),
        retryable: false,
        retry_after_seconds: None,
    }
}

/// The pins that a Hub with these commits leads to.
pub(crate) fn pinned(
    deployment: &ValidatedDeployment,
    existing: Option<&ExistingPlan>,
    known: &[(&str, char)],
) -> Pins {
    let decisions = pins::decide(deployment, existing);
    pins::settle(decisions, deployment, &answers(deployment, known))
}

/// The plan with the weights that the spec asks for.
pub(crate) fn plan(deployment: &ValidatedDeployment, known: &[(&str, char)]) -> ServingPlan {
    desired::asked_for(deployment, &pinned(deployment, None, known))
}

/// A pod as the operator sees it.
pub(crate) fn pod(name: &str) -> ObservedPod {
    ObservedPod { name: name.to_owned(), ready: true, ..ObservedPod::default() }
}

impl ObservedPod {
    pub(crate) fn not_ready(mut self) -> Self {
        self.ready = false;
        self
    }

    pub(crate) fn trouble(mut self, problem: &str) -> Self {
        self.problem = Some(problem.to_owned());
        self.ready = false;
        self
    }

    /// With a report that obeys generation 3.
    pub(crate) fn reporting(mut self, versions: Vec<ReportedVersion>) -> Self {
        self.report = Some(ModelReplicaStatus {
            plan_generation: 3,
            progress_percent: 50,
            versions,
            ..Default::default()
        });
        self
    }
}

/// An entry of a report: `model@version` or `model@version/pair`.
pub(crate) fn reported(name: &str, state: VersionState, digit: char) -> ReportedVersion {
    let (model, rest) = name.split_once('@').unwrap();
    let (version, pair) = rest.split_once('/').unwrap_or((rest, ""));
    let failure = Failure {
        location: FailureLocation::Load,
        reason: "Incompatible".to_owned(),
        message: "int8 does not run here".to_owned(),
        revision: commit(digit),
        time: Time(at(0)),
        retryable: false,
    };
    ReportedVersion {
        model: model.to_owned(),
        version: version.to_owned(),
        language_pair: pair.to_owned(),
        revision: commit(digit),
        state,
        stage: None,
        percent: 0,
        proven: state == VersionState::Loaded,
        resident_bytes: 0,
        progress: None,
        last_failure: (state == VersionState::FailedToLoad).then_some(failure),
    }
}

/// A pod as the API server has it, with these states of its sidecar's container.
pub(crate) fn api_pod(status: Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "vt-1", "namespace": "team", "uid": "uid-of-pod"},
        "status": status,
    }))
    .unwrap()
}

/// A report of a process that started then.
pub(crate) fn api_report(pod_uid: &str, started: Timestamp) -> ModelReplica {
    let container = ReportingContainer { name: SIDECAR_CONTAINER.to_owned(), started_at: Time(started) };
    let spec = ModelReplicaSpec { deployment: "vt".to_owned(), pod_uid: pod_uid.to_owned(), container };
    let mut replica = ModelReplica::new("vt-1", spec);
    replica.status = Some(ModelReplicaStatus::default());
    replica
}
