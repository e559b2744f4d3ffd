//! The command line, and the validated configuration that comes out of it.

mod cache;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use ostler_artifacts::Cache;
use ostler_inference::processor::Instructions;
use url::Url;

use crate::config::{ComputeConfig, Config, HubConfig, Origin, PodIdentity};
use crate::residency::Budget;
use cache::{DiskArguments, ServeDiskArguments};

/// Fetches, verifies, loads, evicts and serves models.
#[derive(Debug, Parser)]
#[command(name = "ostler-sidecar", version, about)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the plan of one pod. The operator writes these flags into the pod.
    Run(RunArguments),
    /// Serve a ModelDeployment manifest without a cluster.
    Serve(ServeArguments),
    /// Convert a pickle of weights into safetensors, confined; started by this program itself.
    #[command(hide = true)]
    Unpickle {
        /// The pickle.
        input: PathBuf,
        /// The safetensors file to write.
        output: PathBuf,
    },
    /// Print the version.
    Version,
}

/// The flags of `run`.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// The mounted plan, read at start.
    #[arg(long, value_name = "FILE")]
    plan: PathBuf,
    /// The memory for models, in bytes.
    #[arg(long, value_name = "BYTES")]
    memory_host: u64,
    /// Start evicting idle models above this percentage of the memory.
    #[arg(long, value_name = "PERCENT", default_value_t = 80)]
    evict_above: u8,
    /// Evict until this percentage of the memory.
    #[arg(long, value_name = "PERCENT", default_value_t = 70)]
    evict_to: u8,
    /// The folder for model files.
    #[arg(long, value_name = "FOLDER")]
    cache_dir: PathBuf,
    #[command(flatten)]
    disk: DiskArguments,
    #[command(flatten)]
    hub: HubArguments,
    #[command(flatten)]
    compute: ComputeArguments,
    #[command(flatten)]
    packed: PackedArguments,
    /// Where requests are answered.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8470")]
    listen: SocketAddr,
    /// Where health, metrics and progress are shown.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8471")]
    status_listen: SocketAddr,
    /// The ModelDeployment that the pod belongs to.
    #[arg(long, value_name = "NAME")]
    deployment: String,
    /// The ConfigMap that holds the plan, watched for changes.
    #[arg(long, value_name = "NAME")]
    plan_config_map: String,
    /// Whether weights in pickles are converted, in a confined child process.
    #[arg(long, num_args = 0..=1, default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set)]
    allow_pickle: bool,
    /// The name of the container.
    #[arg(long, value_name = "NAME", default_value = "ostler-sidecar")]
    container: String,
    /// The pod's name.
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pod_name: String,
    /// The pod's namespace.
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAME")]
    pod_namespace: String,
    /// The pod's UID.
    #[arg(long, env = "POD_UID", value_name = "UID")]
    pod_uid: String,
}

/// The flags of `serve`.
#[derive(Debug, Args)]
pub struct ServeArguments {
    /// The manifest: YAML with a ModelDeployment, possibly among other objects.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Where requests are answered.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8470")]
    listen: SocketAddr,
    /// Where health, metrics and progress are shown.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8471")]
    status_listen: SocketAddr,
    /// The folder for model files; the Hub's own cache folder where it is left out.
    #[arg(long, value_name = "FOLDER")]
    cache_dir: Option<PathBuf>,
    #[command(flatten)]
    disk: ServeDiskArguments,
    #[command(flatten)]
    hub: HubArguments,
    #[command(flatten)]
    compute: ComputeArguments,
    #[command(flatten)]
    packed: PackedArguments,
    /// Whether weights in pickles are converted, in a confined child process.
    #[arg(long, num_args = 0..=1, default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    allow_pickle: bool,
}

/// What models compute with.
#[derive(Debug, Args)]
struct ComputeArguments {
    /// The threads that models share; as many as the process may run at once where it is left out.
    #[arg(long, env = "OSTLER_THREADS", value_name = "COUNT")]
    threads: Option<NonZeroUsize>,
    /// The vector instructions to compute with (portable; avx2, avx2-vnni, avx512, avx512-vnni, avx512-bf16, amx;
    /// neon, neon-dot, neon-i8mm); the strongest that the processor has where it is left out.
    #[arg(long, env = "OSTLER_INSTRUCTIONS", value_name = "NAME")]
    instructions: Option<Instructions>,
}

impl ComputeArguments {
    fn into_config(self) -> ComputeConfig {
        ComputeConfig { threads: self.threads, instructions: self.instructions }
    }
}

/// What is kept beside the files of models.
#[derive(Debug, Args)]
struct PackedArguments {
    /// Whether weights are kept in the cache as they are computed with, so that the next load only reads them. It takes
    /// up to the size of the weights once more.
    #[arg(long, env = "OSTLER_PACKED_CACHE", num_args = 0..=1, default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    packed_cache: bool,
}

/// How the Hub is reached.
#[derive(Debug, Args)]
struct HubArguments {
    /// The Hub's address.
    #[arg(long, env = "HF_ENDPOINT", value_name = "URL", default_value = "https://huggingface.co")]
    hub_endpoint: Url,
    /// The file with the Hub's access token.
    #[arg(long, value_name = "FILE")]
    hub_token_file: Option<PathBuf>,
    /// A further host that the Hub may redirect downloads to; may be repeated.
    #[arg(long, value_name = "HOST")]
    hub_redirect_host: Vec<String>,
}

/// Why the flags make no sense together.
#[derive(Debug, thiserror::Error)]
pub enum ArgumentsError {
    /// The marks of eviction are out of order.
    #[error(
        "--evict-above {above} and --evict-to {to} must be percentages from 1 to 100, the latter the smaller one"
    )]
    EvictionMarks {
        /// The upper mark.
        above: u8,
        /// The lower mark.
        to: u8,
    },
    /// There is no memory for models.
    #[error("--memory-host is 0: write the bytes that models may use")]
    NoMemory,
}

impl RunArguments {
    /// The configuration that they stand for.
    ///
    /// # Errors
    /// See [`ArgumentsError`].
    pub fn into_config(self) -> Result<Config, ArgumentsError> {
        let (above, to) = (self.evict_above, self.evict_to);
        if !(1..=100).contains(&above) || to == 0 || to >= above {
            return Err(ArgumentsError::EvictionMarks { above, to });
        }
        if self.memory_host == 0 {
            return Err(ArgumentsError::NoMemory);
        }
        Ok(Config {
            origin: Origin::Pod {
                plan_file: self.plan,
                plan_config_map: self.plan_config_map,
                budget: Budget { bytes: self.memory_host, evict_above_percent: above, evict_to_percent: to },
                identity: PodIdentity {
                    name: self.pod_name,
                    namespace: self.pod_namespace,
                    uid: self.pod_uid,
                    deployment: self.deployment,
                    container: self.container,
                },
            },
            cache_folder: self.cache_dir,
            disk: self.disk.into_config(),
            hub: self.hub.into_config(),
            compute: self.compute.into_config(),
            allow_pickle: self.allow_pickle,
            packed_cache: self.packed.packed_cache,
            listen: self.listen,
            status_listen: self.status_listen,
            // Whoever has not heard yet that the pod is going is still answered.
            grace: Duration::from_secs(1),
        })
    }
}

impl ServeArguments {
    /// The configuration that they stand for.
    #[must_use]
    pub fn into_config(self) -> Config {
        Config {
            origin: Origin::Manifest { file: self.file },
            cache_folder: self.cache_dir.unwrap_or_else(Cache::default_root),
            disk: self.disk.into_config(),
            hub: self.hub.into_config(),
            compute: self.compute.into_config(),
            allow_pickle: self.allow_pickle,
            packed_cache: self.packed.packed_cache,
            listen: self.listen,
            status_listen: self.status_listen,
            grace: Duration::ZERO,
        }
    }
}

impl HubArguments {
    fn into_config(self) -> HubConfig {
        HubConfig {
            endpoint: self.hub_endpoint,
            token_file: self.hub_token_file,
            redirect_hosts: self.hub_redirect_host,
        }
    }
}

#[cfg(test)]
mod tests;
