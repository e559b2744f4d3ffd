//! A namespace, a hub and an operator for one test.

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, Resource};
use ostler_crds::model_deployment::ModelDeployment;
use ostler_crds::serving_plan::{PLAN_KEY, ServingPlan};
use ostler_test_hub::TestHub;
use serde_json::Value;

use crate::control_plane::ControlPlane;
use crate::operator::{Operator, OperatorBuilder};
use crate::wait::eventually;

/// Where one test plays.
pub struct Stage {
    /// The control plane.
    pub control_plane: &'static ControlPlane,
    /// The test's namespace.
    pub namespace: String,
    /// The test's hub, with the repository `tiny/model`.
    pub hub: TestHub,
    client: Client,
}

impl Stage {
    /// A namespace and a hub; no operator yet.
    ///
    /// # Panics
    /// When one of them cannot be made.
    pub async fn new(purpose: &str) -> Self {
        let control_plane = ControlPlane::shared().await;
        let namespace = control_plane.namespace(purpose).await;
        let hub = TestHub::start().await.expect("the hub starts on a free port");
        let stage = Self { control_plane, namespace, hub, client: control_plane.client().await };
        stage.push("the first version");
        stage
    }

    /// Moves the branch `main` of `tiny/model` to a new commit and returns that.
    ///
    /// # Panics
    /// When the hub refuses it.
    pub fn push(&self, content: &str) -> String {
        let files = [("config.json", content.to_owned())];
        self.hub.push("tiny/model", "main", files).expect("the hub takes a commit")
    }

    /// What an operator for this namespace is started with.
    #[must_use]
    pub fn operator_builder(&self) -> OperatorBuilder {
        OperatorBuilder::new(&self.namespace, self.hub.endpoint())
    }

    /// Starts an operator for this namespace.
    pub async fn operator(&self) -> Operator {
        self.operator_builder().start(self.control_plane).await
    }

    /// The objects of one kind in this namespace, as the administrator sees them.
    #[must_use]
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Creates an object.
    ///
    /// # Panics
    /// When the API server refuses it.
    pub async fn create<K>(&self, object: &K) -> K
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        K: Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
    {
        self.api().create(&PostParams::default(), object).await.expect("the API server accepts the object")
    }

    /// Changes a `ModelDeployment` by a merge patch.
    ///
    /// # Panics
    /// When the API server refuses it.
    pub async fn change(&self, name: &str, patch: Value) -> ModelDeployment {
        let patched = self.api().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await;
        patched.expect("the API server accepts the change")
    }

    /// Waits until a `ModelDeployment`'s status speaks of its present generation and satisfies a condition.
    ///
    /// # Panics
    /// When it does not come to that, with what the status says.
    pub async fn settled(
        &self,
        name: &str,
        what: &str,
        satisfies: impl Fn(&ModelDeployment) -> bool,
    ) -> ModelDeployment {
        let api: Api<ModelDeployment> = self.api();
        let found = eventually_or(what, async || {
            let found = api.get(name).await.expect("the ModelDeployment is there");
            let observed = found.status.as_ref().map(|status| status.observed_generation);
            if observed == found.metadata.generation && satisfies(&found) {
                Ok(found)
            } else {
                Err(format!("{:#?}", found.status))
            }
        });
        found.await
    }

    /// The plan of a `ModelDeployment`, once there is one that satisfies a condition.
    ///
    /// # Panics
    /// When it does not come to that.
    pub async fn plan(&self, name: &str, satisfies: impl Fn(&ServingPlan) -> bool) -> ServingPlan {
        let api: Api<ConfigMap> = self.api();
        eventually("a plan as it should be", async || {
            let config_map = api.get_opt(&format!("{name}-plan")).await.expect("the API server answers")?;
            let text = config_map.data?.remove(PLAN_KEY)?;
            let plan = ServingPlan::from_json(&text).expect("the plan can be read");
            satisfies(&plan).then_some(plan)
        })
        .await
    }
}

async fn eventually_or<T>(what: &str, mut ask: impl AsyncFnMut() -> Result<T, String>) -> T {
    let mut last = String::new();
    let found = tokio::time::timeout(crate::wait::PATIENCE, async {
        loop {
            match ask().await {
                Ok(found) => return found,
                Err(words) => last = words,
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    })
    .await;
    found.unwrap_or_else(|_| panic!("waited in vain for {what}: {last}"))
}

/// The condition of a type in a `ModelDeployment`'s status.
#[must_use]
pub fn condition<'a>(deployment: &'a ModelDeployment, kind: &str) -> Option<&'a Condition> {
    deployment.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == kind)
}

/// Whether a condition has a status, such as `True`.
#[must_use]
pub fn has_condition(deployment: &ModelDeployment, kind: &str, status: &str) -> bool {
    condition(deployment, kind).is_some_and(|condition| condition.status == status)
}

/// The commits that a plan pins, in its order.
#[must_use]
pub fn commits(plan: &ServingPlan) -> Vec<String> {
    let versions = plan.models.iter().flat_map(|model| &model.versions);
    let artifacts = versions.flat_map(|version| &version.artifacts);
    artifacts.map(|artifact| artifact.commit.as_ref().map(ToString::to_string).unwrap_or_default()).collect()
}
