//! The command line: what was written, and what it means.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use ostler_hub::HubSettings;
use url::Url;

use crate::leadership::LeaseSettings;
use crate::run::Config;
use crate::settings::Settings;

/// The Ostler operator: ModelDeployments become pods with pinned models.
#[derive(Debug, Parser)]
#[command(name = "ostler-operator", version)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch ModelDeployments and reconcile them.
    Run(Box<Run>),
}

#[derive(Debug, clap::Args)]
struct Run {
    /// The Hub that the operator and every sidecar ask.
    #[arg(long, env = "HF_ENDPOINT", default_value = "https://huggingface.co")]
    hub_endpoint: Url,
    /// A file with the token that the operator asks the Hub with; it is read anew each time.
    #[arg(long)]
    hub_token_file: Option<PathBuf>,
    /// A host, or *.DOMAIN, that the Hub may redirect the operator and sidecars to; may be given more than once.
    #[arg(long)]
    hub_redirect_host: Vec<String>,
    /// The sidecar's image where a ModelDeployment names none.
    #[arg(long, env = "OSTLER_SIDECAR_IMAGE")]
    sidecar_image: String,
    /// The ClusterRole that each sidecar's account is bound to.
    #[arg(long, default_value = "ostler-sidecar")]
    sidecar_cluster_role: String,
    /// Allow caches in folders of nodes below this absolute path.
    #[arg(long)]
    host_path_prefix: Option<String>,
    /// Allow sidecars to convert weights out of Python pickles, in a confined child process.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false, action = clap::ArgAction::Set)]
    allow_pickle: bool,
    /// Where health and metrics are served.
    #[arg(long, default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// Look at this namespace only.
    #[arg(long)]
    watch_namespace: Option<String>,
    /// The namespace of the Lease by which the leader is elected. Without one, this must be the only replica.
    #[arg(long, env = "OSTLER_LEASE_NAMESPACE")]
    namespace_of_lease: Option<String>,
    /// The Lease's name.
    #[arg(long, default_value = "ostler-operator")]
    lease_name: String,
    /// This replica's name in the election; unique among the replicas.
    #[arg(long, env = "POD_NAME")]
    identity: Option<String>,
}

/// Why a command line was refused.
#[derive(Debug, thiserror::Error)]
pub enum ArgumentsError {
    /// A path must be absolute and lead nowhere else.
    #[error("--host-path-prefix {0:?} must be an absolute path without \"..\", such as /var/lib/ostler")]
    HostPathPrefix(String),
    /// An election needs to tell the replicas apart.
    #[error(
        "--identity (or POD_NAME) is needed with --namespace-of-lease: write a name that no other replica has"
    )]
    IdentityMissing,
    /// An image is needed.
    #[error("--sidecar-image (or OSTLER_SIDECAR_IMAGE) must not be empty")]
    ImageMissing,
}

/// Where to listen, and the operator's configuration.
#[derive(Debug)]
pub struct Validated {
    /// Where health and metrics are served.
    pub listen: SocketAddr,
    /// Everything else.
    pub config: Config,
}

impl Arguments {
    /// Checks what was written.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(self) -> Result<Validated, ArgumentsError> {
        let Command::Run(run) = self.command;
        if let Some(prefix) = &run.host_path_prefix
            && (!prefix.starts_with('/') || prefix.split('/').any(|part| part == ".."))
        {
            return Err(ArgumentsError::HostPathPrefix(prefix.clone()));
        }
        if run.sidecar_image.trim().is_empty() {
            return Err(ArgumentsError::ImageMissing);
        }
        let mut hub = HubSettings::new(run.hub_endpoint.clone());
        hub.token_file = run.hub_token_file;
        hub.allowed_redirect_hosts.extend(run.hub_redirect_host.iter().cloned());
        let lease = match (run.namespace_of_lease, run.identity) {
            (None, _) => None,
            (Some(_), None) => return Err(ArgumentsError::IdentityMissing),
            (Some(namespace), Some(identity)) => {
                Some(LeaseSettings { name: run.lease_name, ..LeaseSettings::new(namespace, identity) })
            }
        };
        let settings = Settings {
            sidecar_image: run.sidecar_image,
            hub_endpoint: run.hub_endpoint,
            hub_redirect_hosts: run.hub_redirect_host,
            host_path_prefix: run.host_path_prefix,
            allow_pickle: run.allow_pickle,
            sidecar_cluster_role: run.sidecar_cluster_role,
        };
        Ok(Validated {
            listen: run.listen,
            config: Config { settings, hub, lease, watch_namespace: run.watch_namespace },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Result<Validated, String> {
        let line = ["ostler-operator"].into_iter().chain(words.split_whitespace());
        let arguments = Arguments::try_parse_from(line).map_err(|error| error.to_string())?;
        arguments.validate().map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_need_an_image_only() {
        let validated = parse("run --sidecar-image=ghcr.io/ostler-dev/ostler-sidecar:0.1.0").unwrap();
        assert_eq!(validated.listen.port(), 8080);
        assert!(!validated.config.settings.allow_pickle);
        assert!(validated.config.lease.is_none());
        assert_eq!(validated.config.hub.endpoint.as_str(), "https://huggingface.co/");
    }

    #[test]
    fn pickle_can_be_allowed_and_refused() {
        for (flag, allowed) in
            [("--allow-pickle", true), ("--allow-pickle=true", true), ("--allow-pickle=false", false)]
        {
            let validated = parse(&format!("run --sidecar-image=it {flag}")).unwrap();
            assert_eq!(validated.config.settings.allow_pickle, allowed, "{flag}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            ("run --sidecar-image=it --host-path-prefix=models", "--host-path-prefix"),
            ("run --sidecar-image=it --host-path-prefix=/models/../etc", "--host-path-prefix"),
            ("run --sidecar-image=it --hub-endpoint=nowhere", "--hub-endpoint"),
            ("run", "--sidecar-image"),
        ];
        for (words, expected) in cases {
            let error = parse(words).unwrap_err();
            assert!(error.contains(expected), "{words}: {error}");
        }
    }
}
