//! Who may write a report.

use ostler_e2e::command::CommandError;
use ostler_e2e::image::{self, Image};
use ostler_e2e::installation::HUB_NAMESPACE;
use serde_json::{Value, json};

use crate::world::{Space, refused, translator};

/// An image with a tool that an intruder would bring.
fn intruder_image(space: &Space<'_>) -> Option<String> {
    let cluster = space.world.access.own.as_ref()?;
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("image.tar");
    let tool = Image {
        files: vec![(cluster.program("kubectl"), "/usr/bin/kubectl".to_owned())],
        entrypoint: vec!["/usr/bin/kubectl".to_owned()],
        environment: vec!["HOME=/tmp".to_owned()],
    };
    let name =
        image::write(&tool, |digest| format!("localhost/kubectl:{}", &digest[..12]), &archive).unwrap();
    cluster.import_image(&archive).unwrap();
    Some(name)
}

fn forged(name: &str, uid: &str) -> Value {
    json!({
        "apiVersion": "ostler.dev/v1alpha1",
        "kind": "ModelReplica",
        "metadata": {
            "name": name,
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}],
        },
        "spec": {
            "deployment": "words",
            "podUid": uid,
            "container": {"name": "ostler-sidecar", "startedAt": "2026-01-01T00:00:00Z"},
        },
    })
}

pub(crate) fn a_report_cannot_be_forged(space: &Space<'_>) {
    let image = intruder_image(space).unwrap_or_else(|| "registry.k8s.io/kubectl:v1.35.0".to_owned());
    let mut manifest = translator("words", 1);
    manifest["spec"]["template"] = json!({"spec": {
        "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{
            "name": "user",
            "image": image,
            "command": ["/usr/bin/kubectl", "proxy", "--port=8001"],
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"]},
            },
        }],
    }});
    space.apply(&manifest);
    space.wait_until_ready("words");
    let pod = space.pods("words")[0].clone();
    let name = pod["metadata"]["name"].as_str().unwrap();
    let uid = pod["metadata"]["uid"].as_str().unwrap();
    let inside = |arguments: &[&str], input: &str| -> Result<String, CommandError> {
        let exec = ["exec", "-i", name, "-c", "user", "--", "/usr/bin/kubectl"];
        space.try_feed(&[&exec[..], arguments].concat(), input)
    };

    let models = inside(&["get", "--raw", "/v1/models", "--server=http://127.0.0.1:8470"], "").unwrap();
    assert!(models.contains("translation"), "the sidecar answers the containers beside it: {models}");

    let token = "/var/run/secrets/kubernetes.io/serviceaccount/token";
    let refusal = inside(&["create", "-f", token], "").unwrap_err().to_string();
    assert!(refusal.contains("does not exist"), "the user's container has a token: {refusal}");
    let report = forged(name, uid).to_string();
    let cluster =
        ["--server=https://kubernetes.default.svc", "--insecure-skip-tls-verify", "--namespace", &space.name];
    let refusal = inside(&[&cluster[..], &["--token=guessed", "create", "-f", "-"]].concat(), &report);
    let refusal = refusal.unwrap_err().to_string();
    assert!(refusal.contains("provide credentials") || refusal.contains("Unauthorized"), "{refusal}");

    // Even the sidecar's own token, bound to its pod, writes no other pod's report.
    let account = pod["spec"]["serviceAccountName"].as_str().unwrap();
    let bound =
        space.kubectl(&["create", "token", account, "--bound-object-kind=Pod", "--bound-object-name", name]);
    let other = space.world.access.kubectl(&[
        "get",
        "pods",
        "-n",
        HUB_NAMESPACE,
        "-o",
        "jsonpath={.items[0].metadata.uid}",
    ]);
    let report = forged("another", &other.unwrap()).to_string();
    let view = ["config", "view", "--raw", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}"];
    let server = space.world.access.kubectl(&view).unwrap();
    let arguments = [
        "--namespace",
        &space.name,
        "--server",
        server.trim(),
        "--token",
        bound.trim(),
        "--insecure-skip-tls-verify",
        "--kubeconfig=/dev/null",
        "create",
        "-f",
        "-",
    ];
    let refusal = refused(&mut space.world.access.kubectl_command(&arguments), &report);
    assert!(refusal.contains("may write only the ModelReplica of its own name"), "{refusal}");
}
