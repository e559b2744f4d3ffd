//! The components and their arguments, as functions of the layout, in the order in which they start.

use super::layout::{Layout, NODE, NODE_IP, POD_CIDR, SERVICE_CIDR};

/// One program that runs as long as the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Component {
    /// Its name, which is also the program's.
    pub(super) name: &'static str,
    /// Its arguments.
    pub(super) arguments: Vec<String>,
}

/// The names, in the order in which they start.
pub const NAMES: [&str; 8] = [
    "etcd",
    "containerd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "coredns",
];

/// The component of that name.
pub(super) fn component(layout: &Layout, name: &str) -> Option<Component> {
    let name = NAMES.into_iter().find(|known| *known == name)?;
    let arguments = match name {
        "etcd" => etcd(layout),
        "containerd" => arguments(&[("config", layout.path("containerd.toml"))]),
        "kube-apiserver" => api_server(layout),
        "kube-controller-manager" => controller_manager(layout),
        // Port 0: nothing asks the scheduler and the controller manager for their health here.
        "kube-scheduler" => arguments(&[
            ("kubeconfig", layout.path("kubeconfig")),
            ("leader-elect", "false".to_owned()),
            ("secure-port", "0".to_owned()),
        ]),
        "kubelet" => arguments(&[
            ("config", layout.path("kubelet.yaml")),
            ("kubeconfig", layout.path("kubeconfig")),
            ("hostname-override", NODE.to_owned()),
            ("node-ip", NODE_IP.to_string()),
            ("root-dir", layout.path("kubelet")),
            ("cert-dir", layout.path("pki/kubelet")),
        ]),
        "kube-proxy" => proxy(layout),
        _ => vec!["-conf".to_owned(), layout.path("Corefile")],
    };
    Some(Component { name, arguments })
}

fn arguments(pairs: &[(&str, String)]) -> Vec<String> {
    pairs.iter().map(|(name, value)| format!("--{name}={value}")).collect()
}

fn etcd(layout: &Layout) -> Vec<String> {
    let client = etcd_address(layout);
    let peer = format!("http://127.0.0.1:{}", layout.ports.etcd_peer);
    arguments(&[
        ("data-dir", layout.path("etcd")),
        // The data does not outlive the cluster, so nothing is lost when it was not yet on disk.
        ("unsafe-no-fsync", "true".to_owned()),
        ("listen-client-urls", client.clone()),
        ("advertise-client-urls", client),
        ("listen-peer-urls", peer.clone()),
        ("initial-advertise-peer-urls", peer.clone()),
        ("initial-cluster", format!("default={peer}")),
    ])
}

fn etcd_address(layout: &Layout) -> String {
    format!("http://127.0.0.1:{}", layout.ports.etcd_client)
}

fn api_server(layout: &Layout) -> Vec<String> {
    arguments(&[
        ("etcd-servers", etcd_address(layout)),
        ("bind-address", NODE_IP.to_string()),
        ("advertise-address", NODE_IP.to_string()),
        ("secure-port", layout.ports.api_server.to_string()),
        ("tls-cert-file", layout.path("pki/api-server.crt")),
        ("tls-private-key-file", layout.path("pki/api-server.key")),
        ("client-ca-file", layout.path("pki/ca.crt")),
        ("kubelet-client-certificate", layout.path("pki/admin.crt")),
        ("kubelet-client-key", layout.path("pki/admin.key")),
        // Without it exec, logs and port-forward look for a host named as the node.
        ("kubelet-preferred-address-types", "InternalIP".to_owned()),
        ("service-account-key-file", layout.path("pki/service-account.pub")),
        ("service-account-signing-key-file", layout.path("pki/service-account.key")),
        ("service-account-issuer", "https://kubernetes.default.svc".to_owned()),
        ("service-cluster-ip-range", SERVICE_CIDR.to_owned()),
        ("authorization-mode", "Node,RBAC".to_owned()),
        ("enable-admission-plugins", "NodeRestriction".to_owned()),
        ("cert-dir", layout.path("pki")),
    ])
}

fn controller_manager(layout: &Layout) -> Vec<String> {
    arguments(&[
        ("kubeconfig", layout.path("kubeconfig")),
        ("service-account-private-key-file", layout.path("pki/service-account.key")),
        ("root-ca-file", layout.path("pki/ca.crt")),
        ("use-service-account-credentials", "true".to_owned()),
        ("leader-elect", "false".to_owned()),
        ("secure-port", "0".to_owned()),
    ])
}

fn proxy(layout: &Layout) -> Vec<String> {
    arguments(&[
        ("kubeconfig", layout.path("kubeconfig")),
        ("proxy-mode", "nftables".to_owned()),
        ("hostname-override", NODE.to_owned()),
        ("cluster-cidr", POD_CIDR.to_owned()),
        ("healthz-bind-address", format!("127.0.0.1:{}", layout.ports.kube_proxy_health)),
        ("metrics-bind-address", format!("127.0.0.1:{}", layout.ports.kube_proxy_metrics)),
        // The machine's connection tracking stays as it is.
        ("conntrack-max-per-core", "0".to_owned()),
        ("conntrack-tcp-timeout-established", "0s".to_owned()),
        ("conntrack-tcp-timeout-close-wait", "0s".to_owned()),
    ])
}
