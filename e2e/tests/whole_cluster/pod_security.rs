//! The restricted pod security standard.

use serde_json::json;

use crate::world::{Space, translator};

pub(crate) fn a_restricted_namespace_admits_the_pods(space: &Space<'_>) {
    let privileged = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "privileged"},
        "spec": {"containers": [{
            "name": "main",
            "image": space.world.images.hub,
            "securityContext": {"privileged": true},
        }]},
    });
    let refusal = space.try_feed(&["create", "-f", "-"], &privileged.to_string()).unwrap_err().to_string();
    assert!(refusal.contains("restricted"), "the namespace must enforce the standard: {refusal}");

    space.apply(&translator("words", 1));
    space.wait_until_ready("words");
    let pod = &space.pods("words")[0];
    let container = &pod["spec"]["containers"][0];
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0);
}
