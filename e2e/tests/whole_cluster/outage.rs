//! The API server is away for a while: what serves goes on serving, and what changed meanwhile is caught up with.

use std::time::Duration;

use crate::load::Load;
use crate::world::{READY, Space, eventually, translator};

pub(crate) fn requests_are_answered(space: &Space<'_>) {
    let cluster = space.world.access.own.clone();
    let cluster =
        cluster.unwrap_or_else(|| panic!("only a cluster on this machine can be broken on purpose"));
    space.apply(&translator("words", 1));
    space.wait_until_ready("words");
    let load = Load::start(&space.service("words"), 2);
    eventually("the first answers", Duration::from_secs(60), || (load.answered() > 5).then_some(()));

    cluster.stop("kube-apiserver").unwrap();
    let before = load.answered();
    // Longer than watches and probes take to notice.
    std::thread::sleep(Duration::from_secs(15));
    let meanwhile = load.answered() - before;
    cluster.resume("kube-apiserver").unwrap();
    let (answered, failures) = load.finish();
    assert!(meanwhile > 5, "{meanwhile} of {answered} requests were answered while the API server was away");
    assert!(failures.is_empty(), "{} were lost: {failures:#?}", failures.len());

    // The operator and the sidecar find back by themselves.
    space.kubectl(&["scale", "mdep/words", "--replicas=2"]);
    eventually("the operator to act on a change", READY, || (space.pods("words").len() == 2).then_some(()));
    space.wait_until_ready("words");
    let restarts: Vec<i64> = space
        .pods("words")
        .iter()
        .filter_map(|pod| pod["status"]["containerStatuses"][0]["restartCount"].as_i64())
        .collect();
    assert_eq!(restarts, [0, 0], "no sidecar was restarted for it");
}
