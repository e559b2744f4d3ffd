//! How much is loaded ahead of being asked for it.

use super::SpecError;
use crate::model_deployment::PreloadByUsageSpec;
use crate::serving_plan::PlannedPreloadByUsage;

/// The most versions, as in the CRD.
const MAX_VERSIONS: u32 = 16;

/// The bounds of what is loaded ahead; `None` loads nothing ahead.
///
/// # Errors
/// The first field that is wrong; see [`SpecError`].
pub fn preload_by_usage(
    spec: Option<&PreloadByUsageSpec>,
) -> Result<Option<PlannedPreloadByUsage>, SpecError> {
    let Some(PreloadByUsageSpec { max_versions, max_memory_percent }) = spec else { return Ok(None) };
    let versions = u32::try_from(*max_versions).ok().filter(|versions| (1..=MAX_VERSIONS).contains(versions));
    let percent = u8::try_from(*max_memory_percent).ok().filter(|percent| (1..=100).contains(percent));
    Ok(Some(PlannedPreloadByUsage {
        max_versions: versions.ok_or_else(|| {
            let expectation = "write 1 to 16, or leave preloadByUsage out";
            SpecError::out_of_range("spec.preloadByUsage.maxVersions", max_versions, expectation)
        })?,
        max_memory_percent: percent.ok_or_else(|| {
            let expectation = "write a percentage from 1 to 100";
            SpecError::out_of_range("spec.preloadByUsage.maxMemoryPercent", max_memory_percent, expectation)
        })?,
    }))
}
