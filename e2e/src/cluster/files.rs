//! The components' configuration files, as functions of the layout.

use super::layout::{BRIDGE, CONTROL_GROUP, Layout, NODE_IP, POD_CIDR, RUN_FOLDER};

/// The name of the image that holds each pod's namespaces open.
pub(super) const PAUSE_IMAGE: &str = "registry.k8s.io/pause:3.10";

/// Every file below the state folder, with its content.
pub(super) fn all(layout: &Layout) -> Vec<(&'static str, String)> {
    vec![
        ("kubeconfig", kubeconfig(layout)),
        ("containerd.toml", containerd(layout)),
        ("network/10-ostler.conflist", network(layout)),
        ("kubelet.yaml", kubelet(layout)),
        ("Corefile", dns(layout)),
    ]
}

fn kubeconfig(layout: &Layout) -> String {
    let port = layout.ports.api_server;
    let (authority, certificate, key) =
        (layout.path("pki/ca.crt"), layout.path("pki/admin.crt"), layout.path("pki/admin.key"));
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: ostler-e2e
  cluster: {{server: \"https://{NODE_IP}:{port}\", certificate-authority: {authority}}}
users:
- name: admin
  user: {{client-certificate: {certificate}, client-key: {key}}}
contexts:
- name: ostler-e2e
  context: {{cluster: ostler-e2e, user: admin}}
current-context: ostler-e2e
"
    )
}

fn containerd(layout: &Layout) -> String {
    let (root, socket, network) =
        (layout.path("containerd"), layout.containerd_socket(), layout.path("network"));
    let (binaries, runc) = (layout.binaries.display(), layout.program("runc"));
    let runc = runc.display();
    format!(
        r#"version = 3
root = "{root}"
state = "{RUN_FOLDER}/containerd"
[grpc]
address = "{socket}"
[plugins."io.containerd.nri.v1.nri"]
disable = true
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{PAUSE_IMAGE}"
[plugins."io.containerd.cri.v1.runtime"]
# Without CAP_SYS_RESOURCE, as inside many containers, no process may lower its score.
restrict_oom_score_adj = true
# Network namespaces are then found and removed below our own folder.
netns_mounts_under_state_dir = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{binaries}"]
conf_dir = "{network}"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = "{runc}"
Root = "{RUN_FOLDER}/runc"
SystemdCgroup = false
"#
    )
}

fn network(layout: &Layout) -> String {
    serde_json::json!({
        "cniVersion": "1.0.0",
        "name": "ostler-e2e",
        "plugins": [{
            "type": "bridge",
            "bridge": BRIDGE,
            "isGateway": true,
            "hairpinMode": true,
            "ipam": {
                "type": "host-local",
                "dataDir": layout.path("addresses"),
                "ranges": [[{"subnet": POD_CIDR, "gateway": NODE_IP}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    })
    .to_string()
}

fn kubelet(layout: &Layout) -> String {
    let (socket, authority, logs) =
        (layout.containerd_socket(), layout.path("pki/ca.crt"), layout.path("pod-logs"));
    let port = layout.ports.kubelet;
    format!(
        "apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: {NODE_IP}
port: {port}
healthzPort: 0
authentication:
  anonymous: {{enabled: false}}
  webhook: {{enabled: true}}
  x509: {{clientCAFile: {authority}}}
authorization: {{mode: Webhook}}
containerRuntimeEndpoint: unix://{socket}
cgroupDriver: cgroupfs
cgroupRoot: /{CONTROL_GROUP}
# Kubernetes 1.37 still runs on control groups of version 1 when told so.
failCgroupV1: false
failSwapOn: false
clusterDomain: cluster.local
clusterDNS: [{NODE_IP}]
podLogsDir: {logs}
# A machine for tests may be nearly full; images are imported once and must not be collected.
evictionHard: {{memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
"
    )
}

fn dns(layout: &Layout) -> String {
    let kubeconfig = layout.path("kubeconfig");
    format!(
        ".:53 {{
  bind {NODE_IP}
  errors
  kubernetes cluster.local {{
    kubeconfig {kubeconfig}
  }}
  cache 5
}}
"
    )
}
