//! The user's pod template, taken apart for the merge. What is in it is the API server's to judge; only the shape
//! that the merge needs is checked here.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::error::ValidateError;
use crate::names::SIDECAR_CONTAINER;
use crate::validated::Template;

/// Volumes of these names are the operator's.
const VOLUME_PREFIX: &str = "ostler-";

/// Takes a template apart.
pub(super) fn template(template: Option<&Value>) -> Result<Template, ValidateError> {
    let path = "spec.template";
    let Some(template) = template else { return Ok(Template::default()) };
    let template =
        template.as_object().ok_or_else(|| wrong(path, "write an object with metadata and spec"))?;
    if let Some(key) = template.keys().find(|key| !["metadata", "spec"].contains(&key.as_str())) {
        return Err(wrong(&format!("{path}.{key}"), "a pod template has metadata and spec only"));
    }
    let metadata = object(template, path, "metadata")?;
    if let Some(key) = metadata.keys().find(|key| !["labels", "annotations"].contains(&key.as_str())) {
        // Kubernetes writes `creationTimestamp: null` into templates; it says nothing.
        if metadata.get(key).is_some_and(|value| !value.is_null()) {
            return Err(wrong(&format!("{path}.metadata.{key}"), "write labels and annotations only"));
        }
    }
    let mut spec = object(template, path, "spec")?;
    let mut containers = list(&mut spec, "containers")?;
    let mut init_containers = list(&mut spec, "initContainers")?;
    let sidecar = take_sidecar(&mut containers).or_else(|| take_sidecar(&mut init_containers));
    let volumes = list(&mut spec, "volumes")?;
    let reserved = |volume: &Value| name(volume).is_some_and(|name| name.starts_with(VOLUME_PREFIX));
    if let Some(index) = volumes.iter().position(reserved) {
        return Err(wrong(
            &format!("{path}.spec.volumes[{index}].name"),
            "names that begin with \"ostler-\" are the sidecar's own: write another",
        ));
    }
    let service_account = ["serviceAccountName", "serviceAccount"]
        .iter()
        .find_map(|key| spec.get(*key)?.as_str())
        .filter(|account| !account.is_empty())
        .map(str::to_owned);
    Ok(Template {
        labels: strings(&metadata, "spec.template.metadata", "labels")?,
        annotations: strings(&metadata, "spec.template.metadata", "annotations")?,
        spec,
        containers,
        init_containers,
        volumes,
        sidecar,
        service_account,
    })
}

fn wrong(field: &str, expectation: &'static str) -> ValidateError {
    ValidateError::Template { field: field.to_owned(), expectation }
}

fn object(parent: &Map<String, Value>, path: &str, key: &str) -> Result<Map<String, Value>, ValidateError> {
    match parent.get(key) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(object)) => Ok(object.clone()),
        Some(_) => Err(wrong(&format!("{path}.{key}"), "write an object")),
    }
}

fn strings(
    parent: &Map<String, Value>,
    path: &str,
    key: &str,
) -> Result<BTreeMap<String, String>, ValidateError> {
    let expectation = "write text in quotation marks";
    object(parent, path, key)?
        .into_iter()
        .map(|(name, value)| match value {
            Value::String(text) => Ok((name, text)),
            _ => Err(wrong(&format!("{path}.{key}[{name}]"), expectation)),
        })
        .collect()
}

fn list(spec: &mut Map<String, Value>, key: &str) -> Result<Vec<Value>, ValidateError> {
    match spec.remove(key) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(entries)) if entries.iter().all(Value::is_object) => Ok(entries),
        Some(_) => Err(wrong(&format!("spec.template.spec.{key}"), "write a list of objects")),
    }
}

fn name(entry: &Value) -> Option<&str> {
    entry.get("name")?.as_str()
}

fn take_sidecar(entries: &mut Vec<Value>) -> Option<Map<String, Value>> {
    let index = entries.iter().position(|entry| name(entry) == Some(SIDECAR_CONTAINER))?;
    match entries.remove(index) {
        Value::Object(entry) => Some(entry),
        _ => None,
    }
}
