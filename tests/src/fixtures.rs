//! Objects for tests, built step by step.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use k8s_openapi::jiff::Timestamp;
use ostler_crds::model_deployment::{
    MemorySpec, ModelDeployment, ModelDeploymentSpec, ModelSpec, REPIN_ANNOTATION, VersionSpec,
};
use ostler_crds::model_replica::{ModelReplica, ModelReplicaSpec, ReportingContainer};
use ostler_crds::names::{Dtype, LoadPolicy, Task};

/// A `ModelDeployment` in the making.
#[derive(Debug, Clone)]
pub struct DeploymentBuilder(ModelDeployment);

/// Begins a `ModelDeployment` of one replica and no models.
#[must_use]
pub fn deployment(name: &str) -> DeploymentBuilder {
    let host = Quantity("1Gi".to_owned());
    let memory = MemorySpec { host, evict_above: 80, evict_to: 70, limits: BTreeMap::new() };
    DeploymentBuilder(ModelDeployment::new(
        name,
        ModelDeploymentSpec {
            replicas: 1,
            models: Vec::new(),
            memory,
            preload_by_usage: None,
            gpu: None,
            cache: None,
            hub: None,
            sidecar: None,
            template: None,
        },
    ))
}

impl DeploymentBuilder {
    /// With this model too.
    #[must_use]
    pub fn model(mut self, model: ModelBuilder) -> Self {
        self.0.spec.models.push(model.0);
        self
    }

    /// With so many pods.
    #[must_use]
    pub fn replicas(mut self, replicas: i32) -> Self {
        self.0.spec.replicas = replicas;
        self
    }

    /// With this value of the annotation that asks for new pins.
    #[must_use]
    pub fn repin(mut self, value: &str) -> Self {
        let annotations = self.0.metadata.annotations.get_or_insert_default();
        annotations.insert(REPIN_ANNOTATION.to_owned(), value.to_owned());
        self
    }

    /// With a pod template beside the sidecar.
    #[must_use]
    pub fn template(mut self, template: serde_json::Value) -> Self {
        self.0.spec.template = Some(template);
        self
    }

    /// The finished object.
    #[must_use]
    pub fn build(self) -> ModelDeployment {
        self.0
    }
}

/// A model in the making.
#[derive(Debug, Clone)]
pub struct ModelBuilder(ModelSpec);

/// Begins a lazily loaded model without versions.
#[must_use]
pub fn model(name: &str, task: Task) -> ModelBuilder {
    ModelBuilder(ModelSpec {
        name: name.to_owned(),
        task,
        load: LoadPolicy::Lazy,
        keep: false,
        instances: 1,
        max_batch: None,
        max_delay_milliseconds: None,
        long_form: None,
        memory_limit: None,
        idle_seconds: None,
        history: 0,
        result_cache: None,
        language_pairs: Vec::new(),
        default_version: None,
        versions: Vec::new(),
        fallback: Vec::new(),
    })
}

impl ModelBuilder {
    /// With this version too; the first one is the default.
    #[must_use]
    pub fn version(self, name: &str, storage_uri: &str) -> Self {
        self.weighted_version(name, storage_uri, 0)
    }

    /// With this version and its share of traffic in percent; the first one is the default.
    #[must_use]
    pub fn weighted_version(mut self, name: &str, storage_uri: &str, weight: i32) -> Self {
        self.0.default_version.get_or_insert_with(|| name.to_owned());
        self.0.versions.push(VersionSpec {
            name: name.to_owned(),
            storage_uri: storage_uri.to_owned(),
            dtype: Dtype::Auto,
            weight,
        });
        self
    }

    /// Loaded before the pod is ready.
    #[must_use]
    pub fn preloaded(mut self) -> Self {
        self.0.load = LoadPolicy::Preload;
        self
    }

    /// With so many earlier commits of each version still there for whoever asks for them.
    #[must_use]
    pub fn history(mut self, pins: i32) -> Self {
        self.0.history = pins;
        self
    }

    /// For these language pairs.
    #[must_use]
    pub fn language_pairs(mut self, pairs: &[&str]) -> Self {
        self.0.language_pairs = pairs.iter().map(|pair| (*pair).to_owned()).collect();
        self
    }
}

/// A report as the sidecar of a pod writes it: named as the pod, and owned by it.
#[must_use]
pub fn report(pod: &str, uid: &str) -> ModelReplica {
    let spec = ModelReplicaSpec {
        deployment: "video".to_owned(),
        pod_uid: uid.to_owned(),
        container: ReportingContainer {
            name: "ostler-sidecar".to_owned(),
            started_at: Time(Timestamp::UNIX_EPOCH),
        },
    };
    let mut report = ModelReplica::new(pod, spec);
    report.metadata.owner_references = Some(vec![owner(pod, uid)]);
    report
}

/// A reference to a pod as the owner of its report.
#[must_use]
pub fn owner(pod: &str, uid: &str) -> OwnerReference {
    OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Pod".to_owned(),
        name: pod.to_owned(),
        uid: uid.to_owned(),
        ..OwnerReference::default()
    }
}
