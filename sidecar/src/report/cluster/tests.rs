//! The reporter against a scripted API server.

use std::convert::Infallible;
use std::sync::Mutex;

use http::{Request, Response};
use kube::client::Body;
use serde_json::Value;

use super::*;

/// What the API server was asked, and what it does.
#[derive(Default)]
struct Server {
    writes: Mutex<Vec<(String, Value)>>,
    /// Answers to give before it behaves, as status codes.
    failures: Mutex<Vec<u16>>,
}

async fn answer(server: Arc<Server>, request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let uri = request.uri().to_string();
    let body = request.into_body().collect_bytes().await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    let failure = server.failures.lock().unwrap().pop();
    let (code, answer) = match failure {
        Some(code) => {
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "scripted",
                "reason": "Scripted", "code": code});
            (code, status)
        }
        None => {
            server.writes.lock().unwrap().push((uri, body.clone()));
            let mut object = body;
            object["spec"] = json!({"deployment": "d", "podUid": "u", "container": {"name": "c",
                "startedAt": "2026-01-01T00:00:00Z"}});
            (200, object)
        }
    };
    let response = Response::builder().status(code).header("content-type", "application/json");
    Ok(response.body(Body::from(serde_json::to_vec(&answer).unwrap())).unwrap())
}

fn start(server: &Arc<Server>) -> watch::Sender<Arc<Snapshot>> {
    let shared = Arc::clone(server);
    let service = tower::service_fn(move |request| answer(Arc::clone(&shared), request));
    let identity = PodIdentity {
        name: "video-0".to_owned(),
        namespace: "media".to_owned(),
        uid: "u-1".to_owned(),
        deployment: "video".to_owned(),
        container: "ostler-sidecar".to_owned(),
    };
    let reporter = ClusterReporter::new(Client::new(service, "media"), identity, Timestamp::UNIX_EPOCH);
    let (sender, snapshots) = watch::channel(Arc::new(Snapshot::default()));
    tokio::spawn(reporter.run(snapshots));
    sender
}

/// Time stands still but for what the reporter waits for.
async fn writes_after(server: &Server, seconds: u64) -> Vec<(String, Value)> {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    std::mem::take(&mut server.writes.lock().unwrap())
}

#[tokio::test(start_paused = true)]
async fn the_replica_is_owned_by_the_pod_and_silent_when_nothing_changes() {
    let server = Arc::new(Server::default());
    let snapshots = start(&server);
    let writes = writes_after(&server, 1).await;
    let [(applied, replica), (status_applied, status)] = writes.as_slice() else { panic!("{writes:?}") };
    assert!(
        applied.starts_with("/apis/ostler.dev/v1alpha1/namespaces/media/modelreplicas/video-0?"),
        "{applied}"
    );
    assert!(applied.contains("fieldManager=ostler-sidecar"), "{applied}");
    let owner = &replica["metadata"]["ownerReferences"][0];
    assert_eq!((owner["kind"].as_str(), owner["uid"].as_str()), (Some("Pod"), Some("u-1")));
    assert_eq!(replica["spec"]["podUid"], "u-1");
    assert!(status_applied.contains("/modelreplicas/video-0/status?"), "{status_applied}");
    assert_eq!(status["status"]["ready"], false);
    snapshots.send_modify(|_| {});
    assert_eq!(writes_after(&server, 3600).await, []);
}

#[tokio::test(start_paused = true)]
async fn transitions_go_at_once_and_progress_every_few_seconds() {
    let server = Arc::new(Server::default());
    let snapshots = start(&server);
    writes_after(&server, 1).await;
    for percent in 1..=20 {
        snapshots.send_modify(|snapshot| Arc::make_mut(snapshot).progress_percent = percent);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let progress = writes_after(&server, 0).await.len();
    assert!((1..=3).contains(&progress), "{progress} writes in ten seconds");
    snapshots.send_modify(|snapshot| Arc::make_mut(snapshot).ready = true);
    let writes = writes_after(&server, 1).await;
    assert_eq!(writes.last().unwrap().1["status"]["ready"], true);
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_away_gets_the_newest_status_when_it_is_back() {
    let server = Arc::new(Server { failures: Mutex::new(vec![503; 3]), ..Server::default() });
    let snapshots = start(&server);
    tokio::time::sleep(Duration::from_millis(10)).await;
    snapshots.send_modify(|snapshot| Arc::make_mut(snapshot).plan_generation = 7);
    let writes = writes_after(&server, 60).await;
    assert_eq!(writes.len(), 2, "{writes:?}");
    assert_eq!(writes[1].1["status"]["planGeneration"], 7);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_replica_is_made_anew() {
    let server = Arc::new(Server::default());
    let snapshots = start(&server);
    writes_after(&server, 1).await;
    server.failures.lock().unwrap().push(404);
    snapshots.send_modify(|snapshot| Arc::make_mut(snapshot).ready = true);
    let writes = writes_after(&server, 1).await;
    assert_eq!(writes.len(), 2, "{writes:?}");
    assert!(!writes[0].0.contains("/status") && writes[1].0.contains("/status"));
}
