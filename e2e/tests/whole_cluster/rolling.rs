//! A change that needs new pods, while clients go on asking.

use std::time::Duration;

use crate::load::Load;
use crate::world::{READY, Space, eventually, translator};

pub(crate) fn a_rolling_change_under_load_loses_no_request(space: &Space<'_>) {
    let mut manifest = translator("words", 2);
    space.apply(&manifest);
    space.wait_until_ready("words");
    let before = pods(space);
    let load = Load::start(&space.service("words"), 4);
    eventually("the first answers", Duration::from_secs(60), || (load.answered() > 10).then_some(()));

    manifest["spec"]["sidecar"] = serde_json::json!({"env": [{"name": "RUST_LOG", "value": "debug"}]});
    space.apply(&manifest);
    space.wait_until_ready("words");
    eventually("every pod to be a new one", READY, || {
        let now = pods(space);
        (now.len() == 2 && now.iter().all(|pod| !before.contains(pod))).then_some(())
    });
    // Old pods are still draining; the load goes on until the last is gone.
    eventually("the old pods to be gone", READY, || {
        let all = space.get(&["pods", "--selector=ostler.dev/deployment=words"])["items"].as_array()?.len();
        (all == 2).then_some(())
    });
    let during = load.answered();
    eventually("answers of the new pods", Duration::from_secs(60), || {
        (load.answered() > during + 10).then_some(())
    });
    let (answered, failures) = load.finish();
    println!("{answered} requests were answered during the change");
    assert!(
        failures.is_empty(),
        "{} of {} were lost: {:#?}",
        failures.len(),
        failures.len() + answered,
        failures
    );
}

fn pods(space: &Space<'_>) -> Vec<String> {
    space.pods("words").iter().map(|pod| pod["metadata"]["uid"].to_string()).collect()
}
