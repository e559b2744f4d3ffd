use serde_json::{Value, json};

use super::*;
use crate::fixtures::{api_pod, api_report, at};

fn running(started: i64) -> Value {
    json!({"initContainerStatuses": [{
        "name": "ostler-sidecar", "ready": true, "restartCount": 0, "image": "", "imageID": "",
        "state": {"running": {"startedAt": at(started).to_string()}},
    }]})
}

#[test]
fn a_report_counts_only_for_the_process_that_runs_now() {
    let waiting = json!({"containerStatuses": [{
        "name": "ostler-sidecar", "ready": false, "restartCount": 1, "image": "", "imageID": "",
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
    }]});
    let cases = [
        ("started with its container", running(10), "uid-of-pod", 10, true),
        ("started after its container was noted", running(10), "uid-of-pod", 12, true),
        ("a moment before its container was noted", running(10), "uid-of-pod", 9, true),
        ("of the container before", running(10), "uid-of-pod", 8, false),
        ("of another pod of that name", running(10), "uid-of-another", 10, false),
        ("while no container runs", waiting, "uid-of-pod", 10, false),
        ("before the kubelet says anything", json!({}), "uid-of-pod", 10, false),
    ];
    for (case, status, uid, started, counts) in cases {
        let pod = ObservedPod::new(&api_pod(status), Some(&api_report(uid, at(started))));
        assert_eq!(pod.report.is_some(), counts, "{case}");
    }
}

#[test]
fn a_report_without_its_pods_name_is_none() {
    assert_eq!(ObservedPod::new(&api_pod(running(1)), None).report, None);
}

#[test]
fn why_a_pod_does_not_run_is_said() {
    let container = |state: Value, last: Value| {
        json!({"containerStatuses": [{
            "name": "app", "ready": false, "restartCount": 1, "image": "", "imageID": "",
            "state": state, "lastState": last,
        }]})
    };
    let unscheduled = json!({"conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available",
    }]});
    let killed = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
    let cases = [
        (unscheduled, Some("Unschedulable: 0/3 nodes are available")),
        (
            container(
                json!({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}),
                json!({}),
            ),
            Some("container app: ImagePullBackOff: no such image"),
        ),
        (
            container(json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}}), killed),
            Some("container app: CrashLoopBackOff: it last ended with OOMKilled, exit code 137"),
        ),
        (container(json!({"waiting": {"reason": "ContainerCreating"}}), json!({})), None),
        (container(json!({"waiting": {"reason": "PodInitializing"}}), json!({})), None),
        (container(json!({"running": {}}), json!({})), None),
        (
            container(json!({"terminated": {"exitCode": 1, "reason": "Error"}}), json!({})),
            Some("container app: Error: exit code 1"),
        ),
        (container(json!({"terminated": {"exitCode": 0, "reason": "Completed"}}), json!({})), None),
        (
            json!({"phase": "Failed", "reason": "Evicted", "message": "low on memory"}),
            Some("Evicted: low on memory"),
        ),
        (json!({"phase": "Running"}), None),
    ];
    for (status, expected) in cases {
        let pod = ObservedPod::new(&api_pod(status.clone()), None);
        assert_eq!(pod.problem.as_deref(), expected, "{status}");
    }
}

#[test]
fn a_pod_on_its_way_out_is_neither_ready_nor_a_problem() {
    let mut pod = api_pod(json!({
        "phase": "Failed",
        "conditions": [{"type": "Ready", "status": "True"}],
    }));
    assert!(ObservedPod::new(&pod, None).ready);
    pod.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(1)));
    let observed = ObservedPod::new(&pod, None);
    assert!(!observed.ready && observed.terminating && observed.problem.is_none());
}
