//! What is watched: one stream and one store for each kind. IN.
//!
//! Children are selected by label and stripped of what nobody reads, so that hundreds of `ModelDeployment`s cost little
//! memory. A watch that fails begins again by itself, soon and without holding up the others.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;

use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt, future};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::PartialObjectMeta;
use kube::core::NamespaceResourceScope;
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{PredicateConfig, WatchStreamExt};
use kube::{Api, Client, Resource, ResourceExt};
use ostler_crds::model_deployment::{ModelDeployment, REPIN_ANNOTATION};
use ostler_crds::model_replica::ModelReplica;
use serde::de::DeserializeOwned;

use self::events::Failures;
use crate::metrics::Metrics;
use crate::names::{DEPLOYMENT_LABEL, MANAGED_SELECTOR};

mod events;

/// What the API server said last, kind by kind.
#[derive(Clone)]
pub struct Stores {
    /// The `ModelDeployment`s.
    pub model_deployments: Store<ModelDeployment>,
    /// Their Deployments, without pod templates.
    pub deployments: Store<Deployment>,
    /// Their plans.
    pub config_maps: Store<ConfigMap>,
    /// Their pods, without specs.
    pub pods: Store<Pod>,
    /// The sidecars' reports.
    pub replicas: Store<ModelReplica>,
    /// Metadata of their Services.
    pub services: Store<PartialObjectMeta<Service>>,
    /// Metadata of their accounts.
    pub accounts: Store<PartialObjectMeta<ServiceAccount>>,
    /// Metadata of their role bindings.
    pub role_bindings: Store<PartialObjectMeta<RoleBinding>>,
    /// Metadata of their disruption budgets.
    pub disruption_budgets: Store<PartialObjectMeta<PodDisruptionBudget>>,
}

impl Stores {
    /// Waits until every watch of children has delivered everything once. Returns whether they have; a watch that has
    /// ended never will.
    ///
    /// A store wakes only who asked it last: nobody else may wait for these, and this must be called once. The
    /// controller itself waits for the store of `ModelDeployment`s.
    pub async fn delivered(&self) -> bool {
        self.deployments.wait_until_ready().await.is_ok()
            && self.config_maps.wait_until_ready().await.is_ok()
            && self.pods.wait_until_ready().await.is_ok()
            && self.replicas.wait_until_ready().await.is_ok()
            && self.services.wait_until_ready().await.is_ok()
            && self.accounts.wait_until_ready().await.is_ok()
            && self.role_bindings.wait_until_ready().await.is_ok()
            && self.disruption_budgets.wait_until_ready().await.is_ok()
    }
}

impl Stores {
    /// The UIDs of all `ModelDeployment`s.
    #[must_use]
    pub fn uids(&self) -> HashSet<String> {
        self.model_deployments.state().iter().filter_map(|object| object.uid()).collect()
    }
}

/// All watches.
pub struct Watches {
    /// What they have seen.
    pub stores: Stores,
    /// `ModelDeployment`s that changed in a way that matters.
    pub changed: BoxStream<'static, ModelDeployment>,
    /// `ModelDeployment`s whose children changed.
    pub touched: BoxStream<'static, ObjectRef<ModelDeployment>>,
}

/// Starts watching once the streams are polled. `namespace` restricts everything to one.
#[must_use]
pub fn start(client: &Client, namespace: Option<&str>, metrics: &Metrics) -> Watches {
    let start = Start { client, namespace, metrics };
    let (model_deployments, changed) = start.model_deployments();
    let all = &model_deployments;
    let (deployments, one) = start.children(all, strip_deployment);
    let (config_maps, two) = start.children(all, |_| ());
    let (pods, three) = start.children(all, strip_pod);
    let (replicas, four) = start.replicas(all);
    let (services, five) = start.children(all, |_| ());
    let (accounts, six) = start.children(all, |_| ());
    let (role_bindings, seven) = start.children(all, |_| ());
    let (disruption_budgets, eight) = start.children(all, |_| ());
    let touched = stream::select_all([one, two, three, four, five, six, seven, eight]).boxed();
    let stores = Stores {
        model_deployments,
        deployments,
        config_maps,
        pods,
        replicas,
        services,
        accounts,
        role_bindings,
        disruption_budgets,
    };
    Watches { stores, changed, touched }
}

struct Start<'a> {
    client: &'a Client,
    namespace: Option<&'a str>,
    metrics: &'a Metrics,
}

impl Start<'_> {
    fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        match self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    fn failures<K: Resource<DynamicType = ()>>(&self) -> Failures {
        let kind = K::kind(&()).into_owned();
        Failures { count: self.metrics.watch_failures.with_label_values(&[kind.as_str()]), kind }
    }

    fn model_deployments(&self) -> (Store<ModelDeployment>, BoxStream<'static, ModelDeployment>) {
        let (reader, writer) = store::<ModelDeployment>();
        let objects = events::readable(self.api(), watcher::Config::default(), reader.clone());
        let events = events::reflected(objects, writer, |_| (), self.failures::<ModelDeployment>());
        let changed = events
            .map(Ok)
            .touched_objects()
            .predicate_filter(MATTERS, PredicateConfig::default())
            .filter_map(|object| future::ready(object.ok()));
        (reader, changed.boxed())
    }

    /// The reports. One that this operator cannot read, as a newer sidecar might write it, counts as none.
    fn replicas(
        &self,
        owners: &Store<ModelDeployment>,
    ) -> (Store<ModelReplica>, BoxStream<'static, ObjectRef<ModelDeployment>>) {
        let (reader, writer) = store::<ModelReplica>();
        let objects = events::readable(self.api(), watcher::Config::default(), reader.clone());
        let events = events::reflected(objects, writer, |_| (), self.failures::<ModelReplica>());
        (reader, touched(events, owners.clone(), |replica| Some(replica.spec.deployment.clone())))
    }

    /// One kind of children.
    fn children<K>(
        &self,
        owners: &Store<ModelDeployment>,
        strip: fn(&mut K),
    ) -> (Store<K>, BoxStream<'static, ObjectRef<ModelDeployment>>)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        K: Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let (reader, writer) = store::<K>();
        let config = watcher::Config::default().labels(MANAGED_SELECTOR);
        let objects = events::all(self.api(), config);
        let events = events::reflected(objects, writer, strip, self.failures::<K>());
        (reader, touched(events, owners.clone(), |child| child.labels().get(DEPLOYMENT_LABEL).cloned()))
    }
}

/// Each change of a child touches its owner; after a new beginning of the watch, which may have skipped changes, every
/// owner is touched.
fn touched<K>(
    events: impl Stream<Item = Event<K>> + Send + 'static,
    owners: Store<ModelDeployment>,
    owner: fn(&K) -> Option<String>,
) -> BoxStream<'static, ObjectRef<ModelDeployment>>
where
    K: ResourceExt + Send + 'static,
{
    let touched = events.flat_map(move |event| {
        let touched: Vec<ObjectRef<ModelDeployment>> = match event {
            Event::Apply(object) | Event::Delete(object) => {
                let namespace = object.namespace().unwrap_or_default();
                owner(&object).iter().map(|name| ObjectRef::new(name).within(&namespace)).collect()
            }
            Event::InitDone => {
                owners.state().iter().map(|object| ObjectRef::from_obj(object.as_ref())).collect()
            }
            Event::Init | Event::InitApply(_) => Vec::new(),
        };
        // An owner that is not there (any more) has nothing to reconcile.
        let known: Vec<_> = touched.into_iter().filter(|name| owners.get(name).is_some()).collect();
        stream::iter(known)
    });
    touched.boxed()
}

/// What of a `ModelDeployment` matters: not its status, which the operator writes itself.
const MATTERS: fn(&ModelDeployment) -> Option<u64> = |object| {
    use std::hash::{DefaultHasher, Hasher};
    let mut hasher = DefaultHasher::new();
    object.metadata.generation.hash(&mut hasher);
    object.metadata.deletion_timestamp.as_ref().map(|time| time.0.as_second()).hash(&mut hasher);
    object.metadata.finalizers.hash(&mut hasher);
    object.annotations().get(REPIN_ANNOTATION).hash(&mut hasher);
    Some(hasher.finish())
};

/// Status and metadata of a Deployment are enough.
fn strip_deployment(deployment: &mut Deployment) {
    deployment.spec = None;
}

/// Where a pod stands is enough.
fn strip_pod(pod: &mut Pod) {
    pod.spec = None;
    pod.metadata.annotations = None;
    pod.metadata.owner_references = None;
    if let Some(status) = &mut pod.status {
        status.pod_ips = None;
        status.host_ips = None;
    }
}
