//! What breaks while a model is being fetched.

use std::time::Duration;

use ostler_e2e::installation::HUB_NAMESPACE;
use serde_json::{Value, json};

use crate::world::{READY, Space, eventually, translator};

/// Slow enough that the model (1.5 MB) takes twenty seconds.
const SLOW: &str = "--bytes-per-second=75000";

/// Makes the hub slow, and quick again when dropped.
struct SlowHub<'a>(&'a Space<'a>);

impl<'a> SlowHub<'a> {
    fn new(space: &'a Space<'a>) -> Self {
        let hub = Self(space);
        hub.restart_with(&json!(["--listen=0.0.0.0:8080", SLOW]));
        hub
    }

    fn restart_with(&self, arguments: &Value) {
        let patch =
            json!([{"op": "replace", "path": "/spec/template/spec/containers/0/args", "value": arguments}]);
        let access = &self.0.world.access;
        let hub = ["--namespace", HUB_NAMESPACE];
        let patch = patch.to_string();
        access
            .kubectl(&[&hub[..], &["patch", "deployment", "hub", "--type=json", "-p", &patch]].concat())
            .unwrap();
        access
            .kubectl(&[&hub[..], &["rollout", "status", "deployment/hub", "--timeout=60s"]].concat())
            .unwrap();
    }
}

impl Drop for SlowHub<'_> {
    fn drop(&mut self) {
        self.restart_with(&json!(["--listen=0.0.0.0:8080"]));
    }
}

/// The only pod, once its report says that bytes are on their way.
fn downloading_pod(space: &Space<'_>) -> Value {
    eventually("a report of a download under way", READY, || {
        let report = space.get(&["mrep"])["items"].get(0)?.clone();
        let version = &report["status"]["versions"][0];
        let completed = version["progress"]["completedBytes"].as_i64().unwrap_or_default();
        if version["state"] != "Downloading" || completed == 0 {
            return None;
        }
        space.pods("words").into_iter().find(|pod| pod["metadata"]["name"] == report["metadata"]["name"])
    })
}

pub(crate) fn a_sidecar_killed_while_loading_comes_back(space: &Space<'_>) {
    let hub = SlowHub::new(space);
    space.apply(&translator("words", 1));
    let pod = downloading_pod(space);
    assert_eq!(space.get(&["mdep", "words"])["status"]["readyReplicas"], 0, "not ready before it is loaded");
    kill_sidecars(&space.name);
    eventually("the container to start again", Duration::from_secs(60), || {
        let restarts =
            space.pods("words").first()?["status"]["containerStatuses"][0]["restartCount"].as_i64()?;
        (restarts >= 1).then_some(())
    });
    drop(hub);
    space.wait_until_ready("words");
    let after = space.pods("words");
    assert_eq!(after[0]["metadata"]["uid"], pod["metadata"]["uid"], "the same pod, started again");
}

pub(crate) fn a_pod_deleted_while_loading_is_replaced(space: &Space<'_>) {
    let hub = SlowHub::new(space);
    space.apply(&translator("words", 1));
    let pod = downloading_pod(space);
    let name = pod["metadata"]["name"].as_str().unwrap();
    space.kubectl(&["delete", "pod", name, "--grace-period=0", "--force"]);
    drop(hub);
    eventually("another pod", READY, || {
        let pods = space.pods("words");
        (!pods.is_empty() && pods.iter().all(|other| other["metadata"]["uid"] != pod["metadata"]["uid"]))
            .then_some(())
    });
    space.wait_until_ready("words");
    eventually("the deleted pod's report to go", READY, || {
        let reports = space.get(&["mrep"])["items"].as_array()?.clone();
        reports.iter().all(|report| report["metadata"]["name"] != name).then_some(())
    });
}

/// Kills the sidecars of a namespace without a warning, as the kernel does when memory runs out. Their processes are
/// found by an environment variable that no other has.
fn kill_sidecars(namespace: &str) {
    let wanted = format!("POD_NAMESPACE={namespace}");
    let mut killed = 0;
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let read = |file: &str| std::fs::read(entry.path().join(file)).unwrap_or_default();
        let is_sidecar = read("cmdline").starts_with(b"/usr/bin/ostler-sidecar\0");
        if is_sidecar
            && read("environ").split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
        {
            rustix::process::kill_process(
                rustix::process::Pid::from_raw(pid).unwrap(),
                rustix::process::Signal::KILL,
            )
            .unwrap();
            killed += 1;
        }
    }
    assert_eq!(
        killed, 1,
        "the sidecar's process on this machine (an existing cluster's nodes are elsewhere)"
    );
}
