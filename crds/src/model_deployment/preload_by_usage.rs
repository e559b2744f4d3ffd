//! Versions that are loaded before they are asked for, because they probably will be.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// How much each pod loads ahead of being asked for it, by what it has seen of its requests.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PreloadByUsageSpec {
    /// The most versions that are loaded ahead and that nobody has used yet, 1 to 16.
    #[serde(default = "default_max_versions")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 16")
        .message("preloadByUsage.maxVersions must be from 1 to 16; leave preloadByUsage out to load nothing ahead"))]
    pub max_versions: i32,
    /// The most memory that they take together, in percent of `memory.host`, 1 to 100.
    #[serde(default = "default_max_memory_percent")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 100")
        .message("preloadByUsage.maxMemoryPercent must be a percentage from 1 to 100"))]
    pub max_memory_percent: i32,
}

fn default_max_versions() -> i32 {
    2
}

fn default_max_memory_percent() -> i32 {
    25
}
