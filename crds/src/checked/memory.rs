//! The memory budget and its marks.

use super::SpecError;
use crate::model_deployment::MemorySpec;
use crate::quantity;

/// The checked memory budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckedMemory {
    /// The budget in bytes, above 0.
    pub host_bytes: u64,
    /// Evict above this percentage.
    pub evict_above: u8,
    /// Evict until this percentage, less than `evict_above`.
    pub evict_to: u8,
}

/// Checks the memory budget.
///
/// # Errors
/// The first field that is wrong; see [`SpecError`].
pub fn memory(spec: &MemorySpec) -> Result<CheckedMemory, SpecError> {
    let field = "spec.memory.host";
    let host_bytes = quantity::bytes(&spec.host)
        .map_err(|source| SpecError::Quantity { field: field.to_owned(), source })?;
    if host_bytes == 0 {
        return Err(SpecError::out_of_range(field, 0, "write the memory that models may use, such as 8Gi"));
    }
    let percentage = |field: &str, value: i32| {
        u8::try_from(value)
            .ok()
            .filter(|percent| (1..=100).contains(percent))
            .ok_or_else(|| SpecError::out_of_range(field, value, "write a percentage from 1 to 100"))
    };
    let evict_above = percentage("spec.memory.evictAbove", spec.evict_above)?;
    let evict_to = percentage("spec.memory.evictTo", spec.evict_to)?;
    if evict_to >= evict_above {
        let expectation = "write less than memory.evictAbove";
        return Err(SpecError::out_of_range("spec.memory.evictTo", evict_to, expectation));
    }
    Ok(CheckedMemory { host_bytes, evict_above, evict_to })
}
