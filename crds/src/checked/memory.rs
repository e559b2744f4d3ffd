//! The memory budget, its marks, and the limits of tasks.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::SpecError;
use crate::model_deployment::MemorySpec;
use crate::names::Task;
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
    let host_bytes =
        amount("spec.memory.host", &spec.host, "write the memory that models may use, such as 8Gi")?;
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

/// The limits of tasks in bytes.
///
/// # Errors
/// The first entry that is wrong; see [`SpecError`].
pub fn task_limits(spec: &MemorySpec) -> Result<BTreeMap<Task, u64>, SpecError> {
    let limit = |(name, quantity): (&String, &Quantity)| {
        let field = format!("spec.memory.limits[{name}]");
        let expectation = "write automatic-speech-recognition, translation, text-classification, \
                           feature-extraction or sentence-similarity";
        let task = Task::from_name(name).ok_or_else(|| SpecError::out_of_range(&field, name, expectation))?;
        let bytes = amount(&field, quantity, "write an amount above 0, or leave the task out for no limit")?;
        Ok((task, bytes))
    };
    spec.limits.iter().map(limit).collect()
}

/// An amount of bytes above 0.
pub(super) fn amount(field: &str, quantity: &Quantity, expectation: &'static str) -> Result<u64, SpecError> {
    let bytes = quantity::bytes(quantity)
        .map_err(|source| SpecError::Quantity { field: field.to_owned(), source })?;
    if bytes == 0 {
        return Err(SpecError::out_of_range(field, 0, expectation));
    }
    Ok(bytes)
}
