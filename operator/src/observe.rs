//! Reads what there is: from the watches, and from the API server where they cannot know. IN.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ObjectMeta;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Resource, ResourceExt};
use ostler_crds::model_deployment::ModelDeployment;
use ostler_crds::serving_plan::{PLAN_KEY, ServingPlan};

use crate::context::Context;
use crate::names::{DEPLOYMENT_LABEL, OBSERVED_REPIN_ANNOTATION, REPIN_PENDING_KEY};
use crate::objects;
use crate::observed::{ExistingPlan, Live, Observed, ObservedPod, Rollout};
use crate::resources::Kind;

/// Why the cluster could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// An object could not be read.
    #[error("{kind} {name} could not be read")]
    Object {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: String,
        /// What failed.
        #[source]
        source: kube::Error,
    },
}

/// Reads everything that concerns a `ModelDeployment`.
///
/// # Errors
/// [`ObserveError`] when the API server does not answer.
pub async fn observe(deployment: &ModelDeployment, context: &Context) -> Result<Observed, ObserveError> {
    let namespace = deployment.namespace().unwrap_or_default();
    let name = deployment.name_any();
    let mut live = BTreeMap::new();
    for kind in Kind::ALL {
        let object = kind.object_name(&name);
        let seen = match stored(context, kind, &namespace, &object) {
            Some(metadata) => Some(Live::from(&metadata)),
            None if kind == Kind::ServiceAccount && names_its_own_account(deployment) => None,
            // The watches see what bears the operator's label: an object of this name without it is somebody else's.
            None => unlabelled(context, kind, &namespace, &object).await?,
        };
        live.extend(seen.map(|seen| ((kind, object), seen)));
    }
    let rollout =
        stored_in(&context.stores.deployments, &namespace, &name).map(|found| Rollout::from(found.as_ref()));
    Ok(Observed {
        plan: plan(deployment, context, &namespace, &live).await?,
        live,
        rollout,
        pods: pods(context, &namespace, &name),
    })
}

fn names_its_own_account(deployment: &ModelDeployment) -> bool {
    let spec = deployment.spec.template.as_ref().and_then(|template| template.get("spec"));
    spec.is_some_and(|spec| {
        ["serviceAccountName", "serviceAccount"].iter().any(|key| spec.get(*key).is_some())
    })
}

fn stored_in<K>(store: &Store<K>, namespace: &str, name: &str) -> Option<std::sync::Arc<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    store.get(&ObjectRef::new(name).within(namespace))
}

fn stored(context: &Context, kind: Kind, namespace: &str, name: &str) -> Option<ObjectMeta> {
    fn metadata<K>(store: &Store<K>, namespace: &str, name: &str) -> Option<ObjectMeta>
    where
        K: Resource<DynamicType = ()> + Clone + 'static,
    {
        stored_in(store, namespace, name).map(|found| found.meta().clone())
    }
    let stores = &context.stores;
    match kind {
        Kind::ConfigMap => metadata(&stores.config_maps, namespace, name),
        Kind::ServiceAccount => metadata(&stores.accounts, namespace, name),
        Kind::RoleBinding => metadata(&stores.role_bindings, namespace, name),
        Kind::Service => metadata(&stores.services, namespace, name),
        Kind::PodDisruptionBudget => metadata(&stores.disruption_budgets, namespace, name),
        Kind::Deployment => metadata(&stores.deployments, namespace, name),
    }
}

async fn unlabelled(
    context: &Context,
    kind: Kind,
    namespace: &str,
    name: &str,
) -> Result<Option<Live>, ObserveError> {
    let found = objects::api(&context.client, namespace, kind).get_metadata_opt(name).await;
    let found = found.map_err(|source| ObserveError::Object { kind, name: name.to_owned(), source })?;
    Ok(found.map(|found| Live::from(&found.metadata)))
}

/// The plan in force. Pins are made once, so a watch that lags behind this process's own write must not be believed:
/// unless it shows exactly what was written last, the API server is asked.
async fn plan(
    deployment: &ModelDeployment,
    context: &Context,
    namespace: &str,
    live: &BTreeMap<(Kind, String), Live>,
) -> Result<Option<ExistingPlan>, ObserveError> {
    let kind = Kind::ConfigMap;
    let name = kind.object_name(&deployment.name_any());
    let Some(seen) = live.get(&(kind, name.clone())) else { return Ok(None) };
    if seen.controller.as_ref().map(|(_, _, uid)| uid) != deployment.metadata.uid.as_ref() {
        return Ok(None);
    }
    let written = context.memory.written(&deployment.uid().unwrap_or_default(), kind);
    if written.is_some_and(|written| written.version == seen.resource_version)
        && let Some(stored) = stored_in(&context.stores.config_maps, namespace, &name)
    {
        return Ok(Some(read_plan(&stored)));
    }
    let api: Api<ConfigMap> = Api::namespaced(context.client.clone(), namespace);
    let found = api.get_opt(&name).await.map_err(|source| ObserveError::Object { kind, name, source })?;
    Ok(found.as_ref().map(read_plan))
}

fn read_plan(config_map: &ConfigMap) -> ExistingPlan {
    let data = |key: &str| config_map.data.as_ref()?.get(key);
    ExistingPlan {
        plan: data(PLAN_KEY).and_then(|text| ServingPlan::from_json(text).ok()),
        repin: config_map.annotations().get(OBSERVED_REPIN_ANNOTATION).cloned(),
        repin_pending: data(REPIN_PENDING_KEY)
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default(),
    }
}

fn pods(context: &Context, namespace: &str, name: &str) -> Vec<ObservedPod> {
    let ours = context.stores.pods.state_filter(|pod| {
        pod.namespace().as_deref() == Some(namespace)
            && pod.labels().get(DEPLOYMENT_LABEL).is_some_and(|it| it == name)
    });
    let mut pods: Vec<ObservedPod> = ours
        .iter()
        .map(|pod| {
            let report = stored_in(&context.stores.replicas, namespace, &pod.name_any());
            ObservedPod::new(pod, report.as_deref())
        })
        .collect();
    pods.sort_by(|one, other| one.name.cmp(&other.name));
    pods
}
