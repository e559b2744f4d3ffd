//! Following a plan at a scripted API server.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use http::{Request, Response};
use kube::client::Body;
use ostler_inference::engine::Engine;
use serde_json::{Value, json};

use super::*;
use crate::loader::{Loader, OnTransfer, Prepared};
use crate::residency::{Budget, Settings};
use crate::target::{Target, VersionFailure};

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

fn manager() -> Manager {
    let budget = Budget { bytes: 1, evict_above_percent: 80, evict_to_percent: 70 };
    Manager::start(Arc::new(NoLoader), Settings::with_budget(budget), plan(1))
}

fn config_map(text: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "video-plan", "namespace": "media",
        "resourceVersion": "2"}, "data": {PLAN_KEY: text}})
}

/// Lists one ConfigMap; the first watch tells of `changes` and ends, later ones tell of nothing.
fn client(listed: Value, changes: Vec<Value>) -> Client {
    let changes = Arc::new(Mutex::new(Some(changes)));
    let service = tower::service_fn(move |request: Request<Body>| {
        let (listed, changes) = (listed.clone(), Arc::clone(&changes));
        async move {
            let query = request.uri().query().unwrap_or_default().to_owned();
            assert!(query.contains("fieldSelector=metadata.name%3Dvideo-plan"), "{query}");
            let body = if query.contains("watch=true") {
                let Some(changes) = changes.lock().unwrap().take() else {
                    return std::future::pending::<Result<Response<Body>, Infallible>>().await;
                };
                let lines = changes
                    .iter()
                    .map(|object| json!({"type": "MODIFIED", "object": object}).to_string() + "\n");
                lines.collect::<String>()
            } else {
                json!({"apiVersion": "v1", "kind": "ConfigMapList", "metadata": {"resourceVersion": "1"},
                    "items": [listed]})
                .to_string()
            };
            Ok(Response::new(Body::from(body.into_bytes())))
        }
    });
    Client::new(service, "media")
}

async fn until_generation(manager: &Manager, generation: i64) {
    for _ in 0..200 {
        if manager.plan().generation == generation {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("generation {generation} does not come; it is {}", manager.plan().generation);
}

#[tokio::test]
async fn a_changed_plan_is_obeyed_at_once_and_a_broken_one_never() {
    let manager = manager();
    let [second, third] = [2, 3].map(|generation| config_map(&plan(generation).to_json().unwrap()));
    let newer_format = config_map(r#"{"format": 99, "generation": 4, "salt": "s", "models": []}"#);
    let client = client(second, vec![third, config_map("{"), newer_format]);
    let following =
        follow(Some(client), "media".into(), "video-plan".into(), "/none".into(), manager.clone());
    let following = tokio::spawn(following);
    until_generation(&manager, 3).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(manager.plan().generation, 3);
    following.abort();
}

#[tokio::test(start_paused = true)]
async fn without_the_api_server_the_mounted_file_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan.json");
    std::fs::write(&file, plan(5).to_json().unwrap()).unwrap();
    let manager = manager();
    let following = follow(None, "media".into(), "video-plan".into(), file.clone(), manager.clone());
    let following = tokio::spawn(following);
    until_generation(&manager, 5).await;
    std::fs::write(&file, plan(4).to_json().unwrap()).unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(manager.plan().generation, 5, "an older plan is what the kubelet has not caught up with");
    following.abort();
}
