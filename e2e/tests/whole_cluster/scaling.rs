//! `kubectl wait` and `kubectl scale`.

use std::collections::BTreeSet;

use ostler_e2e::forward::Forward;
use serde_json::Value;

use crate::world::{READY, Space, eventually, speech, transcribe};

pub(crate) fn kubectl_scale_adds_and_removes_pods(space: &Space<'_>) {
    space.apply(&speech("speech", "whisper-v1", 1));
    space.wait_until_ready("speech");
    assert_eq!(space.pods("speech").len(), 1);

    space.kubectl(&["scale", "mdep/speech", "--replicas=2"]);
    space.wait_until_ready("speech");
    let pods = space.pods("speech");
    let names: BTreeSet<String> = pods.iter().map(name).collect();
    assert_eq!(names.len(), 2);
    let reports = space.get(&["mrep"])["items"].as_array().unwrap().clone();
    assert_eq!(
        reports.iter().map(name).collect::<BTreeSet<_>>(),
        names,
        "each pod reports under its own name"
    );
    let revisions: BTreeSet<String> =
        reports.iter().map(|report| report["status"]["versions"][0]["revision"].to_string()).collect();
    assert_eq!(revisions.len(), 1, "every pod loads the same commit: {revisions:?}");
    assert_eq!(space.get(&["mdep", "speech"])["status"]["readyReplicas"], 2);
    for pod in &names {
        // Each pod is asked by itself, since a Service would hide one that does not answer.
        let forward = Forward::open(&space.world.access, &space.name, &format!("pod/{pod}"), 8470).unwrap();
        let answer = transcribe(&format!("http://127.0.0.1:{}", forward.port), "20-en.wav");
        assert_eq!(answer["text"].as_str().map(str::trim), Some("six"), "{pod}: {answer}");
    }

    space.kubectl(&["scale", "mdep/speech", "--replicas=1"]);
    eventually("the removed pod's report to go with it", READY, || {
        let reports = space.get(&["mrep"])["items"].as_array()?.len();
        (reports == 1 && space.pods("speech").len() == 1).then_some(())
    });
    space.wait_until_ready("speech");
}

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap().to_owned()
}
