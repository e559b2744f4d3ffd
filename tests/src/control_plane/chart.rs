//! The chart's roles and policies on the control plane, as Helm renders them.

use kube::api::{Api, PostParams};
use ostler_crds::model_replica::ModelReplica;

use super::ControlPlane;
use crate::fixtures::report;
use crate::wait::eventually;

/// The namespace that the chart is installed in.
pub const OPERATOR_NAMESPACE: &str = "ostler-system";
/// The operator's account there.
pub const OPERATOR_ACCOUNT: &str = "ostler";
/// What the audit log calls the operator.
pub const OPERATOR_USER: &str = "system:serviceaccount:ostler-system:ostler";

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/ostler");

/// Renders the chart, applies it, and waits until its policy is in force. The definitions are there already.
pub(super) async fn install(control_plane: &ControlPlane) {
    let options = ["--namespace", OPERATOR_NAMESPACE, "--set", "crds.install=false"];
    let rendered = control_plane.run("helm", &[&["template", "ostler", CHART][..], &options].concat()).await;
    assert!(rendered.status.success(), "{}", String::from_utf8_lossy(&rendered.stderr));
    let namespace =
        format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {OPERATOR_NAMESPACE}}}\n---\n");
    let manifests = namespace + &String::from_utf8_lossy(&rendered.stdout);
    let file = control_plane.folder.join("chart.yaml");
    std::fs::write(&file, manifests).expect("the rendered chart can be written");
    let applied = control_plane.run("kubectl", &["apply", "-f", &file.display().to_string()]).await;
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));

    let replicas: Api<ModelReplica> = Api::namespaced(control_plane.client().await, "default");
    let forged = report("nobody", "no-such-uid");
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    eventually("the admission policy to be in force", async || {
        replicas.create(&dry_run, &forged).await.err()
    })
    .await;
}
