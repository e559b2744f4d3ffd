//! The flags for the disk that the cache is on.

use clap::{Args, value_parser};

use crate::config::DiskConfig;

/// What is kept of the disk in a pod.
#[derive(Debug, Args)]
pub(super) struct DiskArguments {
    /// The part of the disk to keep free, 1 to 50: what was used least recently and is not in use is removed.
    #[arg(long, value_name = "PERCENT", default_value_t = 10, value_parser = value_parser!(u8).range(1..=50))]
    cache_keep_free: u8,
    #[command(flatten)]
    common: CommonArguments,
}

/// What is kept of the disk without a cluster, where the cache is the user's own.
#[derive(Debug, Args)]
pub(super) struct ServeDiskArguments {
    /// Remove what was used least recently and is not in use from the cache, so that this part of the disk is free, 1 to
    /// 50. Nothing is removed where it is left out.
    #[arg(long, env = "OSTLER_CACHE_KEEP_FREE", value_name = "PERCENT", value_parser = value_parser!(u8).range(1..=50))]
    cache_keep_free: Option<u8>,
    #[command(flatten)]
    common: CommonArguments,
}

#[derive(Debug, Args)]
struct CommonArguments {
    /// The most that the cache may take, where its folder has a limit that its disk does not tell of.
    #[arg(long, value_name = "BYTES")]
    cache_limit: Option<u64>,
    /// Whether files that were verified in full more than a week ago are verified again, slowly and in the background.
    #[arg(long, env = "OSTLER_CACHE_SCRUB", num_args = 0..=1, default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    cache_scrub: bool,
}

impl CommonArguments {
    fn into_config(self, keep_free_percent: Option<u8>) -> DiskConfig {
        DiskConfig { keep_free_percent, limit_bytes: self.cache_limit, scrub: self.cache_scrub }
    }
}

impl DiskArguments {
    pub(super) fn into_config(self) -> DiskConfig {
        self.common.into_config(Some(self.cache_keep_free))
    }
}

impl ServeDiskArguments {
    pub(super) fn into_config(self) -> DiskConfig {
        self.common.into_config(self.cache_keep_free)
    }
}
