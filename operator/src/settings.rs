//! What the administrator decides for every `ModelDeployment`.

use url::Url;

/// The administrator's settings that shape the objects made from a `ModelDeployment`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The sidecar's image where `spec.sidecar.image` names none.
    pub sidecar_image: String,
    /// The Hub that the operator and every sidecar ask. Never a field of the spec: a user could aim it anywhere.
    pub hub_endpoint: Url,
    /// Further hosts, or `*.DOMAIN`, that the Hub may redirect sidecars to.
    pub hub_redirect_hosts: Vec<String>,
    /// Node folders are allowed for caches below this absolute path; `None` allows none.
    pub host_path_prefix: Option<String>,
    /// Whether sidecars may convert weights out of Python pickles, in a confined child process.
    pub allow_pickle: bool,
    /// The ClusterRole that each sidecar's account is bound to in its namespace.
    pub sidecar_cluster_role: String,
}
