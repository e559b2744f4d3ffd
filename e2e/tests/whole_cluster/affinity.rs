//! A GPU node, played by an ordinary one: labels as GPU Feature Discovery writes them, capacity as a device plugin
//! reports it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::world::{Space, eventually, speech};

const LABELS: [(&str, &str); 4] = [
    ("nvidia.com/gpu.product", "NVIDIA-H200"),
    ("nvidia.com/gpu.memory", "143771"),
    ("nvidia.com/gpu.compute.major", "9"),
    ("nvidia.com/gpu.compute.minor", "0"),
];

pub(crate) fn a_pod_waits_for_a_node_with_the_gpu(space: &Space<'_>) {
    let mut manifest = speech("speech", "whisper-v1", 1);
    manifest["spec"]["gpu"] = json!({
        "count": 1,
        "productNames": ["NVIDIA-H200"],
        "minMemory": "16Gi",
        "minComputeCapability": "8.0",
    });
    space.apply(&manifest);
    // The bound is that of the fault catalogue: why a pod is pending shows within 30 seconds.
    eventually("the reason in status", Duration::from_secs(30), || {
        let status = space.get(&["mdep", "speech"])["status"].clone();
        let ready = status["conditions"].as_array()?.iter().find(|one| one["type"] == "Ready")?.clone();
        let message = ready["message"].as_str()?.to_owned();
        (ready["status"] == "False" && message.contains("0/1 nodes are available")).then_some(())
    });
    assert_eq!(space.pods("speech")[0]["status"]["phase"], "Pending");

    let node = space.get(&["nodes"])["items"][0]["metadata"]["name"].as_str().unwrap().to_owned();
    let labels: Vec<String> = LABELS.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let mut arguments = vec!["label", "node", &node, "--overwrite"];
    arguments.extend(labels.iter().map(String::as_str));
    space.kubectl(&arguments);
    // The labels alone are not enough: the resource is missing still.
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(space.pods("speech")[0]["status"]["phase"], "Pending");
    patch_capacity(
        space,
        &node,
        &json!([{"op": "add", "path": "/status/capacity/nvidia.com~1gpu", "value": "1"}]),
    );

    space.wait_until_ready("speech");
    let pod = &space.pods("speech")[0];
    let wanted = &pod["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"];
    assert_eq!(wanted, "1");

    let mut arguments = vec!["label".to_owned(), "node".to_owned(), node.clone()];
    arguments.extend(LABELS.iter().map(|(key, _)| format!("{key}-")));
    space.kubectl(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    patch_capacity(space, &node, &json!([{"op": "remove", "path": "/status/capacity/nvidia.com~1gpu"}]));
}

fn patch_capacity(space: &Space<'_>, node: &str, patch: &Value) {
    space.kubectl(&["patch", "node", node, "--subresource=status", "--type=json", "-p", &patch.to_string()]);
}
