//! What happens in the cache, counted.

use ostler_artifacts::{CacheEvent, FoundBy};
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

pub(super) struct CacheCounters {
    removed: IntCounterVec,
    removed_bytes: IntCounterVec,
    damaged: IntCounterVec,
    scrubbed_bytes: IntCounter,
}

impl CacheCounters {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let family = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(family.clone()))?;
            Ok::<_, prometheus::Error>(family)
        };
        let scrubbed_bytes = IntCounter::new(
            "ostler_cache_scrubbed_bytes_total",
            "Bytes of the cache that were read in the background and found to be what the Hub vouches for.",
        )?;
        registry.register(Box::new(scrubbed_bytes.clone()))?;
        Ok(Self {
            removed: counters(
                "ostler_cache_removed_total",
                "What was removed from the cache to make room.",
                &["kind", "because"],
            )?,
            removed_bytes: counters(
                "ostler_cache_removed_bytes_total",
                "Bytes that were removed from the cache to make room.",
                &["kind", "because"],
            )?,
            damaged: counters(
                "ostler_cache_damaged_total",
                "Contents of the cache that were found damaged, and removed.",
                &["found_by"],
            )?,
            scrubbed_bytes,
        })
    }

    pub(super) fn observe(&self, event: &CacheEvent) {
        match event {
            CacheEvent::Removed(removal) => {
                let labels = [removal.kind, if removal.for_fetch { "fetch" } else { "keep_free" }];
                self.removed.with_label_values(&labels).inc();
                self.removed_bytes.with_label_values(&labels).inc_by(removal.bytes);
            }
            CacheEvent::Damaged(found_by) => {
                let found_by = match found_by {
                    FoundBy::Load => "load",
                    FoundBy::Fetch => "fetch",
                    FoundBy::Scrub => "scrub",
                };
                self.damaged.with_label_values(&[found_by]).inc();
            }
            CacheEvent::Scrubbed(bytes) => self.scrubbed_bytes.inc_by(*bytes),
        }
    }
}
