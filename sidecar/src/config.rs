//! What the process is to do, validated.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use ostler_inference::processor::Instructions;
use url::Url;

use crate::residency::Budget;

/// The whole configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the plan comes from.
    pub origin: Origin,
    /// The folder for model files, in the Hub's cache layout.
    pub cache_folder: PathBuf,
    /// What the cache may take of its disk.
    pub disk: DiskConfig,
    /// How the Hub is reached.
    pub hub: HubConfig,
    /// What models compute with.
    pub compute: ComputeConfig,
    /// Whether weights in pickles are converted.
    pub allow_pickle: bool,
    /// Whether packed weights are kept in the cache for the next load.
    pub packed_cache: bool,
    /// Where requests are answered.
    pub listen: SocketAddr,
    /// Where health, metrics and progress are shown.
    pub status_listen: SocketAddr,
    /// How long requests are still taken after the end was asked for.
    pub grace: Duration,
}

/// What the cache may take of its disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiskConfig {
    /// The part of the disk that is kept free by removing what is not in use, in percent; nothing is removed where there
    /// is none.
    pub keep_free_percent: Option<u8>,
    /// The most bytes that the cache may take.
    pub limit_bytes: Option<u64>,
    /// Whether what lies in the cache is verified in the background.
    pub scrub: bool,
}

/// What models compute with.
#[derive(Debug, Clone, Copy, Default)]
pub struct ComputeConfig {
    /// The threads that they share; as many as the process may run at once where there is none.
    pub threads: Option<NonZeroUsize>,
    /// The vector instructions; the strongest that the processor has where there are none.
    pub instructions: Option<Instructions>,
}

/// Where the plan comes from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// From the operator.
    Pod {
        /// The mounted plan, read at start.
        plan_file: PathBuf,
        /// The ConfigMap that holds the plan, watched for changes.
        plan_config_map: String,
        /// The memory for models.
        budget: Budget,
        /// Who the process is.
        identity: PodIdentity,
    },
    /// From a file, without a cluster. The memory is the one that the file names.
    Manifest {
        /// YAML with a ModelDeployment.
        file: PathBuf,
    },
}

/// Who the process is in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodIdentity {
    /// The pod's name, and so its ModelReplica's.
    pub name: String,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's UID.
    pub uid: String,
    /// The ModelDeployment that the pod belongs to.
    pub deployment: String,
    /// The container's name.
    pub container: String,
}

/// How the Hub is reached.
#[derive(Debug, Clone)]
pub struct HubConfig {
    /// Its address.
    pub endpoint: Url,
    /// The file with the access token, read again on each use.
    pub token_file: Option<PathBuf>,
    /// Further hosts that it may redirect downloads to.
    pub redirect_hosts: Vec<String>,
}
