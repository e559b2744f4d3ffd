//! A GPU node, played by an ordinary one: labels as GPU Feature Discovery writes them, capacity as a device plugin
//! reports it.

use std::time::Duration;

use ostler_e2e::command::CommandError;
use serde_json::{Value, json};

use crate::world::{Space, eventually, translator};

const LABELS: [(&str, &str); 4] = [
    ("nvidia.com/gpu.product", "NVIDIA-H200"),
    ("nvidia.com/gpu.memory", "143771"),
    ("nvidia.com/gpu.compute.major", "9"),
    ("nvidia.com/gpu.compute.minor", "0"),
];

pub(crate) fn a_pod_waits_for_a_node_with_the_gpu(space: &Space<'_>) {
    let mut manifest = translator("words", 1);
    manifest["spec"]["gpu"] = json!({
        "count": 1,
        "productNames": ["NVIDIA-H200"],
        "minMemory": "16Gi",
        "minComputeCapability": "8.0",
    });
    space.apply(&manifest);
    // The bound is that of the fault catalogue: why a pod is pending shows within 30 seconds.
    eventually("the reason in status", Duration::from_secs(30), || {
        let status = space.get(&["mdep", "words"])["status"].clone();
        let ready = status["conditions"].as_array()?.iter().find(|one| one["type"] == "Ready")?.clone();
        let message = ready["message"].as_str()?.to_owned();
        (ready["status"] == "False" && message.contains("0/1 nodes are available")).then_some(())
    });
    assert_eq!(space.pods("words")[0]["status"]["phase"], "Pending");

    let mut node = GpuNode::label(space);
    // The labels alone are not enough: the resource is missing still.
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(space.pods("words")[0]["status"]["phase"], "Pending");
    node.add_capacity();

    space.wait_until_ready("words");
    let pod = &space.pods("words")[0];
    assert_eq!(pod["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"], "1");
}

/// The node with the GPU. It is an ordinary one again when this is dropped.
struct GpuNode<'a> {
    space: &'a Space<'a>,
    name: String,
    has_capacity: bool,
}

impl<'a> GpuNode<'a> {
    fn label(space: &'a Space<'a>) -> Self {
        let name = space.get(&["nodes"])["items"][0]["metadata"]["name"].as_str().unwrap().to_owned();
        let labels: Vec<String> = LABELS.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mut arguments = vec!["label", "node", &name, "--overwrite"];
        arguments.extend(labels.iter().map(String::as_str));
        space.kubectl(&arguments);
        Self { space, name, has_capacity: false }
    }

    fn add_capacity(&mut self) {
        self.patch(&json!([{"op": "add", "path": "/status/capacity/nvidia.com~1gpu", "value": "1"}]))
            .unwrap();
        self.has_capacity = true;
    }

    fn patch(&self, patch: &Value) -> Result<String, CommandError> {
        let patch = patch.to_string();
        self.space.try_kubectl(&[
            "patch",
            "node",
            &self.name,
            "--subresource=status",
            "--type=json",
            "-p",
            &patch,
        ])
    }
}

impl Drop for GpuNode<'_> {
    fn drop(&mut self) {
        let keys: Vec<String> = LABELS.iter().map(|(key, _)| format!("{key}-")).collect();
        let mut arguments = vec!["label", "node", &self.name];
        arguments.extend(keys.iter().map(String::as_str));
        let _ = self.space.try_kubectl(&arguments);
        if self.has_capacity {
            let _ = self.patch(&json!([{"op": "remove", "path": "/status/capacity/nvidia.com~1gpu"}]));
        }
    }
}
