//! Many `ModelDeployment`s of four models of two versions, with two pods each whose reports say that all is loaded.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use ostler_crds::model_deployment::ModelDeployment;
use ostler_crds::model_replica::ModelReplica;
use ostler_crds::names::Task;
use ostler_test_hub::TestHub;
use ostler_tests::fixtures::{deployment, model};
use ostler_tests::sidecar;
use ostler_tests::stage::has_condition;
use ostler_tests::wait::within;
use serde_json::{Value, json};

use crate::Failure;
use crate::cluster::Cluster;

/// Pods of each `ModelDeployment`, and so reports.
pub(crate) const REPLICAS: usize = 2;
/// `ModelDeployment`s in one namespace.
const A_NAMESPACE: usize = 50;
/// Requests to the API server at once.
const AT_ONCE: usize = 8;
/// How long each step may take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(900);
/// What the label of a pod, and of a report, names its `ModelDeployment` by.
const DEPLOYMENT_LABEL: &str = "ostler.dev/deployment";
/// When the containers of the pods, and so the processes that report, started.
const STARTED: &str = "2026-01-01T00:00:00Z";

const MODELS: [(&str, Task); 4] = [
    ("whisper", Task::AutomaticSpeechRecognition),
    ("translation", Task::Translation),
    ("language-detection", Task::TextClassification),
    ("dictation", Task::AutomaticSpeechRecognition),
];
const VERSIONS: [&str; 2] = ["v1", "v2"];

fn repository(model: &str, version: &str) -> String {
    format!("fleet/{model}-{version}")
}

/// The commit of each repository.
pub(crate) type Commits = BTreeMap<String, String>;

/// Gives the hub a repository for each version.
pub(crate) fn push_repositories(hub: &TestHub) -> Result<Commits, Failure> {
    let mut commits = Commits::new();
    for (model, _) in MODELS {
        for version in VERSIONS {
            let files = [("config.json", format!("{{\"is\": \"{model} {version}\"}}"))];
            let repository = repository(model, version);
            let commit = hub.push(&repository, "main", files)?;
            commits.insert(repository, commit);
        }
    }
    Ok(commits)
}

/// Four models of two versions; `preloaded` or loaded when asked for.
pub(crate) fn model_deployment(name: &str, replicas: usize, preloaded: bool) -> ModelDeployment {
    let mut builder = deployment(name).replicas(i32::try_from(replicas).unwrap_or(i32::MAX));
    for (name, task) in MODELS {
        let mut one = model(name, task);
        for (version, weight) in VERSIONS.into_iter().zip([0, 10]) {
            one = one.weighted_version(version, &format!("hf://{}", repository(name, version)), weight);
        }
        builder = builder.model(if preloaded { one.preloaded() } else { one });
    }
    builder.build()
}

/// Applies so many `ModelDeployment`s, plays the kubelet and the sidecars of their pods, and waits until each is
/// ready in the operator's own words.
pub(crate) async fn populate(cluster: &Cluster, count: usize) -> Result<(), Failure> {
    let client = &cluster.client;
    let mut left = count;
    let mut namespaces = Vec::new();
    while left > 0 {
        let here = left.min(A_NAMESPACE);
        left -= here;
        let namespace = cluster.control_plane.namespace("fleet").await;
        let api: Api<ModelDeployment> = Api::namespaced(client.clone(), &namespace);
        for index in 0..here {
            let name = format!("video-translation-{index:02}");
            api.create(&PostParams::default(), &model_deployment(&name, REPLICAS, true)).await?;
        }
        namespaces.push((namespace, here));
    }
    for (namespace, here) in &namespaces {
        let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let made = within(PATIENCE, "the pods of the fleet", async || {
            let found = pods.list(&ListParams::default()).await.ok()?.items;
            (found.len() == here * REPLICAS).then_some(found)
        })
        .await;
        let played = made.iter().map(|pod| play(cluster, &pods, namespace, pod));
        stream::iter(played).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    }
    for (namespace, here) in &namespaces {
        ready(client, namespace, *here).await;
    }
    Ok(())
}

/// Waits until so many `ModelDeployment`s of a namespace are ready.
pub(crate) async fn ready(client: &Client, namespace: &str, count: usize) {
    let api: Api<ModelDeployment> = Api::namespaced(client.clone(), namespace);
    within(PATIENCE, "the ModelDeployments to be ready", async || {
        let found = api.list(&ListParams::default()).await.ok()?;
        let is_ready = |it: &&ModelDeployment| {
            let observed = it.status.as_ref().map(|status| status.observed_generation);
            observed == it.metadata.generation && has_condition(it, "Ready", "True")
        };
        (found.iter().filter(is_ready).count() == count).then_some(())
    })
    .await;
}

async fn play(cluster: &Cluster, pods: &Api<Pod>, namespace: &str, pod: &Pod) -> Result<(), Failure> {
    let name = pod.name_any();
    let deployment = pod.labels().get(DEPLOYMENT_LABEL).ok_or("a pod does not name its ModelDeployment")?;
    let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref());
    let account = account.ok_or("a pod has no account")?;
    sidecar::runs(pods, &name, STARTED).await;
    let token = cluster.control_plane.token(namespace, account, Some(pod)).await;
    let client = Client::try_from(cluster.control_plane.config_with_token(token).await)?;
    let api: Api<ModelReplica> = Api::namespaced(client, namespace);
    let parameters = PatchParams::apply("ostler-sidecar").force();
    api.patch(&name, &parameters, &Patch::Apply(report(pod, deployment))).await?;
    api.patch_status(&name, &parameters, &Patch::Apply(status(&name, &cluster.commits))).await?;
    Ok(())
}

fn report(pod: &Pod, deployment: &str) -> Value {
    let (name, uid) = (pod.name_any(), pod.uid().unwrap_or_default());
    let labels = BTreeMap::from([
        ("app.kubernetes.io/name", "ostler"),
        ("app.kubernetes.io/instance", deployment),
        ("app.kubernetes.io/managed-by", "ostler-operator"),
        (DEPLOYMENT_LABEL, deployment),
    ]);
    json!({
        "apiVersion": "ostler.dev/v1alpha1",
        "kind": "ModelReplica",
        "metadata": {
            "name": name,
            "labels": labels,
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}],
        },
        "spec": {
            "deployment": deployment,
            "podUid": uid,
            "container": {"name": "ostler-sidecar", "startedAt": STARTED},
        },
    })
}

fn status(name: &str, commits: &Commits) -> Value {
    let versions = MODELS.iter().flat_map(|(model, _)| VERSIONS.map(|version| (*model, version)));
    let versions: Vec<Value> = versions
        .map(|(model, version)| {
            json!({
                "model": model, "version": version, "languagePair": "", "state": "Loaded",
                "revision": commits.get(&repository(model, version)), "residentBytes": 290_000_000,
            })
        })
        .collect();
    json!({
        "apiVersion": "ostler.dev/v1alpha1",
        "kind": "ModelReplica",
        "metadata": {"name": name},
        "status": {
            "planGeneration": 1, "ready": true, "progressPercent": 100, "loaded": "8/8",
            "budgetBytes": 8_589_934_592_u64, "reservedBytes": 2_320_000_000_u64, "versions": versions,
        },
    })
}
