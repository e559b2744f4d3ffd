//! How many answers are kept.

use super::memory::amount;
use super::{CheckedMemory, CheckedModel, SpecError};
use crate::model_deployment::ResultCacheSpec;
use crate::serving_plan::PlannedResultCache;

/// The most answers of a model, as in the CRD.
const MAX_ENTRIES: u32 = 1_000_000;
/// The longest that an answer is kept in seconds, as in the CRD: a year.
const MAX_SECONDS: u32 = 31_536_000;

/// The bounds of a model's answers. `path` is the model's.
///
/// # Errors
/// The first field that is wrong.
pub(super) fn result_cache(path: &str, spec: &ResultCacheSpec) -> Result<PlannedResultCache, SpecError> {
    let field = |name: &str| format!("{path}.resultCache.{name}");
    let count = |name: &str, value: i32, most: u32, expectation: &'static str| {
        let checked = u32::try_from(value).ok().filter(|value| (1..=most).contains(value));
        checked.ok_or_else(|| SpecError::out_of_range(&field(name), value, expectation))
    };
    Ok(PlannedResultCache {
        max_entries: count("maxEntries", spec.max_entries, MAX_ENTRIES, "write 1 to 1000000")?,
        max_bytes: amount(&field("maxBytes"), &spec.max_bytes, "write an amount above 0, such as 64Mi")?,
        time_to_live_seconds: count(
            "timeToLiveSeconds",
            spec.time_to_live_seconds,
            MAX_SECONDS,
            "write 1 to 31536000 seconds",
        )?,
    })
}

/// Whether the memory has room for the answers of all models beside the models themselves.
///
/// # Errors
/// [`SpecError::OutOfRange`] where they may take more than half of it.
pub fn result_caches(models: &[CheckedModel], memory: &CheckedMemory) -> Result<(), SpecError> {
    let bounds = models.iter().filter_map(|model| model.result_cache);
    let total = bounds.fold(0_u64, |sum, bounds| sum.saturating_add(bounds.max_bytes));
    if total <= memory.host_bytes / 2 {
        return Ok(());
    }
    let expectation = "write amounts that are at most half of memory.host together";
    Err(SpecError::out_of_range("spec.models[*].resultCache.maxBytes", total, expectation))
}
