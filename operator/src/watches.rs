//! What is watched: one stream and one store for each kind. IN.
//!
//! Children are selected by label and stripped of what nobody reads, so that hundreds of `ModelDeployment`s cost little
//! memory. A watch that fails begins again by itself, soon and without holding up the others.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::time::Duration;

use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt, future};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::PartialObjectMeta;
use kube::core::NamespaceResourceScope;
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{PredicateConfig, WatchStreamExt};
use kube::{Api, Client, Resource, ResourceExt};
use ostler_crds::model_deployment::{ModelDeployment, REPIN_ANNOTATION};
use ostler_crds::model_replica::ModelReplica;
use serde::de::DeserializeOwned;

use crate::metrics::Metrics;
use crate::names::{DEPLOYMENT_LABEL, MANAGED_SELECTOR};

/// Objects in one answer to a list: with all their fields they are many times as large as what is kept of them, and
/// all kinds are listed at once.
const PAGE: u32 = 50;

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
    let by_owner =
        |metadata: &kube::api::ObjectMeta| metadata.labels.as_ref()?.get(DEPLOYMENT_LABEL).cloned();
    let managed = || watcher::Config::default().labels(MANAGED_SELECTOR);
    let (deployments, one) =
        start.children(all, managed(), strip_deployment, move |it: &Deployment| by_owner(&it.metadata));
    let (config_maps, two) =
        start.children(all, managed(), |_| (), move |it: &ConfigMap| by_owner(&it.metadata));
    let (pods, three) = start.children(all, managed(), strip_pod, move |it: &Pod| by_owner(&it.metadata));
    let reported = |replica: &ModelReplica| Some(replica.spec.deployment.clone());
    let (replicas, four) = start.children(all, watcher::Config::default(), |_| (), reported);
    let (services, five) =
        start.children(all, managed(), |_| (), move |it: &PartialObjectMeta<Service>| by_owner(&it.metadata));
    let (accounts, six) = start.children(
        all,
        managed(),
        |_| (),
        move |it: &PartialObjectMeta<ServiceAccount>| by_owner(&it.metadata),
    );
    let (role_bindings, seven) = start.children(
        all,
        managed(),
        |_| (),
        move |it: &PartialObjectMeta<RoleBinding>| by_owner(&it.metadata),
    );
    let (disruption_budgets, eight) = start.children(
        all,
        managed(),
        |_| (),
        move |it: &PartialObjectMeta<PodDisruptionBudget>| by_owner(&it.metadata),
    );
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

    /// The events of a watch, failures counted and left out.
    fn events<K>(
        &self,
        config: watcher::Config,
        writer: kube::runtime::reflector::store::Writer<K>,
        strip: fn(&mut K),
    ) -> impl Stream<Item = Event<K>> + Send + 'static
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        K: Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let kind = K::kind(&()).into_owned();
        let failures = self.metrics.watch_failures.with_label_values(&[kind.as_str()]);
        watcher(self.api::<K>(), config.page_size(PAGE))
            .backoff(WatchBackoff::default())
            .modify(move |object| {
                object.managed_fields_mut().clear();
                object.annotations_mut().remove("kubectl.kubernetes.io/last-applied-configuration");
                strip(object);
            })
            .reflect(writer)
            .filter_map(move |event| {
                let event = event.inspect_err(|error| {
                    failures.inc();
                    tracing::warn!(kind, %error, "a watch has failed and begins again");
                });
                future::ready(event.ok())
            })
    }

    fn model_deployments(&self) -> (Store<ModelDeployment>, BoxStream<'static, ModelDeployment>) {
        let (reader, writer) = store::<ModelDeployment>();
        let events = self.events(watcher::Config::default(), writer, |_| ());
        let changed = events
            .map(Ok)
            .touched_objects()
            .predicate_filter(MATTERS, PredicateConfig::default())
            .filter_map(|object| future::ready(object.ok()));
        (reader, changed.boxed())
    }

    /// One kind of children. Each change touches its owner; after a new beginning, which may have skipped changes,
    /// every owner is touched.
    fn children<K>(
        &self,
        owners: &Store<ModelDeployment>,
        config: watcher::Config,
        strip: fn(&mut K),
        owner: impl Fn(&K) -> Option<String> + Send + Sync + 'static,
    ) -> (Store<K>, BoxStream<'static, ObjectRef<ModelDeployment>>)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        K: Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let (reader, writer) = store::<K>();
        let owners = owners.clone();
        let touched = self.events(config, writer, strip).flat_map(move |event| {
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
        (reader, touched.boxed())
    }
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

/// The pause before a failed watch begins again: doubles from a half second to ten, so that the operator is back within
/// half a minute after the API server is.
#[derive(Debug, Default)]
struct WatchBackoff {
    attempts: u32,
}

impl Iterator for WatchBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let doubled =
            Duration::from_millis(500).saturating_mul(1_u32.checked_shl(self.attempts).unwrap_or(u32::MAX));
        self.attempts = self.attempts.saturating_add(1);
        let jitter = rand::Rng::random_range(&mut rand::rng(), 0.75..1.25);
        Some(doubled.min(Duration::from_secs(10)).mul_f64(jitter))
    }
}

impl Backoff for WatchBackoff {
    fn reset(&mut self) {
        self.attempts = 0;
    }
}
