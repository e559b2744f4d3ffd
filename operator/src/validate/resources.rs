//! The sidecar's requests and limits.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use ostler_crds::checked::{CheckedMemory, SpecError};
use ostler_crds::quantity;
use serde_json::{Map, Value};

use super::error::ValidateError;
use crate::validated::ValidatedGpu;

/// What the sidecar needs besides the budget for models: its code, thread stacks, connections and buffers of
/// requests. The figure is part of the operator's promise: request = limit = `memory.host` + this.
pub(super) const SIDECAR_OVERHEAD_BYTES: u64 = 256 << 20;

/// Memory request and limit are the budget and the overhead, unless larger ones are set; accelerators are added.
pub(super) fn resources(
    memory: CheckedMemory,
    gpu: Option<&ValidatedGpu>,
    set: Option<&ResourceRequirements>,
    template_entry: Option<&Map<String, Value>>,
) -> Result<ResourceRequirements, ValidateError> {
    let needed = memory.host_bytes.saturating_add(SIDECAR_OVERHEAD_BYTES);
    let mut resources = set.cloned().unwrap_or_default();
    let given = |side: &str, quantities: Option<&BTreeMap<String, Quantity>>| {
        let field = format!("spec.sidecar.resources.{side}.memory");
        quantities
            .and_then(|all| all.get("memory"))
            .map(|quantity| at_least(field, quantity, needed))
            .transpose()
    };
    let request = given("requests", resources.requests.as_ref())?;
    let limit = given("limits", resources.limits.as_ref())?;
    refuse_less_in_template(template_entry, needed)?;
    let default = Quantity(needed.to_string());
    let request = request.or_else(|| limit.clone()).unwrap_or(default);
    let limit = limit.unwrap_or_else(|| request.clone());
    let requests = resources.requests.get_or_insert_default();
    let limits = resources.limits.get_or_insert_default();
    requests.insert("memory".to_owned(), request);
    limits.insert("memory".to_owned(), limit);
    if let Some(gpu) = gpu {
        // An extended resource cannot be overcommitted: request and limit are one.
        requests.insert(gpu.resource_name.clone(), Quantity(gpu.count.to_string()));
        limits.insert(gpu.resource_name.clone(), Quantity(gpu.count.to_string()));
    }
    Ok(resources)
}

fn at_least(field: String, quantity: &Quantity, needed: u64) -> Result<Quantity, ValidateError> {
    match quantity::bytes(quantity) {
        Ok(given) if given < needed => Err(ValidateError::MemoryTooSmall { field, given, needed }),
        Ok(_) => Ok(quantity.clone()),
        Err(source) => Err(SpecError::Quantity { field, source }.into()),
    }
}

/// The template's entry merges over the operator's container, and so must not shrink it either.
fn refuse_less_in_template(entry: Option<&Map<String, Value>>, needed: u64) -> Result<(), ValidateError> {
    let resources = entry.and_then(|entry| entry.get("resources"));
    for side in ["requests", "limits"] {
        let set = resources.and_then(|all| all.get(side)?.get("memory"));
        let text = match set {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => continue,
        };
        let field = format!("spec.template.spec.containers[ostler-sidecar].resources.{side}.memory");
        at_least(field, &Quantity(text), needed)?;
    }
    Ok(())
}
