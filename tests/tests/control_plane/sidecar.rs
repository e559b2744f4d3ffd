//! The sidecar's two ways to the API server, with the token and the rights of its pod: its plan and its report.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams, PostParams};
use ostler_crds::model_replica::ModelReplica;
use ostler_crds::serving_plan::ServingPlan;
use ostler_inference::engine::Engine;
use ostler_sidecar::config::PodIdentity;
use ostler_sidecar::loader::{Loader, OnTransfer, Prepared};
use ostler_sidecar::manager::Manager;
use ostler_sidecar::plan::follow;
use ostler_sidecar::report::ClusterReporter;
use ostler_sidecar::residency::{Budget, Settings};
use ostler_sidecar::target::{Target, VersionFailure};
use ostler_tests::control_plane::ControlPlane;
use ostler_tests::sidecar;
use ostler_tests::wait::eventually;
use serde_json::json;

/// No plan here has a model, so nothing is ever loaded.
struct NoLoader;

impl Loader for NoLoader {
    fn prepare(&self, _: &Target, _: OnTransfer) -> BoxFuture<'static, Result<Prepared, VersionFailure>> {
        unreachable!("there are no models")
    }

    fn load(&self, _: &Target, _: &Prepared) -> Result<Arc<dyn Engine>, VersionFailure> {
        unreachable!("there are no models")
    }
}

fn plan(generation: i64) -> ServingPlan {
    serde_json::from_value(json!({"format": 1, "generation": generation, "salt": "s", "models": []})).unwrap()
}

fn config_map(plan: &ServingPlan) -> ConfigMap {
    let object = json!({"metadata": {"name": "video-plan"}, "data": {"plan.json": plan.to_json().unwrap()}});
    serde_json::from_value(object).unwrap()
}

#[tokio::test]
async fn a_changed_plan_reaches_a_sidecar_within_two_seconds_and_its_report_says_so_and_then_rests() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("sidecar").await;
    sidecar::account(control_plane, &namespace).await;
    let (pod, client) = sidecar::pod(control_plane, &namespace, "video-a").await;
    let admin = control_plane.client().await;
    let plans: Api<ConfigMap> = Api::namespaced(admin.clone(), &namespace);
    plans.create(&PostParams::default(), &config_map(&plan(1))).await.unwrap();

    let budget = Budget { bytes: 1 << 30, evict_above_percent: 80, evict_to_percent: 70 };
    let manager = Manager::start(Arc::new(NoLoader), Settings::with_budget(budget), plan(1));
    let identity = PodIdentity {
        name: pod.name_any(),
        namespace: namespace.clone(),
        uid: pod.uid().unwrap(),
        deployment: "video".to_owned(),
        container: "ostler-sidecar".to_owned(),
    };
    let reporter = ClusterReporter::new(client.clone(), identity, Timestamp::now());
    let reporting = tokio::spawn(reporter.run(manager.watch()));
    let file = "/nowhere/plan.json".into();
    let following =
        tokio::spawn(follow(Some(client), namespace.clone(), "video-plan".into(), file, manager.clone()));

    let reports: Api<ModelReplica> = Api::namespaced(admin, &namespace);
    let reported = async |generation: i64| {
        let report = reports.get_opt("video-a").await.unwrap()?;
        report
            .status
            .as_ref()
            .is_some_and(|status| status.ready && status.plan_generation == generation)
            .then_some(report)
    };
    let first = eventually("the first report", async || reported(1).await).await;
    assert_eq!(first.owner_references()[0].uid, pod.uid().unwrap());

    let patch = Patch::Merge(json!({"data": config_map(&plan(2)).data}));
    let changed = Instant::now();
    plans.patch("video-plan", &PatchParams::default(), &patch).await.unwrap();
    while manager.plan().generation != 2 {
        assert!(changed.elapsed() < Duration::from_secs(2), "the plan did not come within two seconds");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let second = eventually("the second report", async || reported(2).await).await;

    // Nothing happens, so nothing is written.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let later = reported(2).await.unwrap();
    assert_eq!(second.resource_version(), later.resource_version());
    reporting.abort();
    following.abort();
}
