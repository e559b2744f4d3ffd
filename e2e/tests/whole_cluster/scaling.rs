//! `kubectl wait` and `kubectl scale`.

use std::collections::BTreeSet;

use ostler_e2e::forward::Forward;
use serde_json::Value;

use crate::world::{ANSWER, READY, Space, eventually, translate, translator};

pub(crate) fn kubectl_scale_adds_and_removes_pods(space: &Space<'_>) {
    space.apply(&translator("words", 1));
    space.wait_until_ready("words");
    assert_eq!(space.pods("words").len(), 1);

    space.kubectl(&["scale", "mdep/words", "--replicas=2"]);
    space.wait_until_ready("words");
    let pods = space.pods("words");
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
    assert_eq!(space.get(&["mdep", "words"])["status"]["readyReplicas"], 2);
    for pod in &names {
        // Each pod is asked by itself, since a Service would hide one that does not answer.
        let forward = Forward::open(&space.world.access, &space.name, &format!("pod/{pod}"), 8470).unwrap();
        assert_eq!(translate(&format!("http://127.0.0.1:{}", forward.port)), ANSWER, "{pod}");
    }

    space.kubectl(&["scale", "mdep/words", "--replicas=1"]);
    eventually("the removed pod's report to go with it", READY, || {
        let reports = space.get(&["mrep"])["items"].as_array()?.len();
        (reports == 1 && space.pods("words").len() == 1).then_some(())
    });
    space.wait_until_ready("words");
}

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap().to_owned()
}
