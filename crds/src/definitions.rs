//! The custom resource definitions as they are installed.
//!
//! The derived schemas are finished here in four ways that hold for every field, ours and those of embedded
//! Kubernetes types alike:
//!
//! - `nullable` goes. The API server then drops a null before it validates, so that a null field and a missing one
//!   are the same to every rule, and a rule's `has()` never sees a null.
//! - What has no bound gets one. The API server estimates the cost of rules from bounds, and objects stay small.
//! - A description's lines are joined to paragraphs, since `kubectl explain` breaks lines itself.
//! - The long text that every embedded quantity carries is cut to what helps whoever reads `kubectl explain`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;

use crate::model_deployment::ModelDeployment;
use crate::model_replica::ModelReplica;

/// The largest definition in bytes of YAML. Client-side `kubectl apply` copies the definition as JSON into an
/// annotation, and the API server limits annotations to 262,144 bytes in all.
pub const MAX_DEFINITION_BYTES: usize = 196_608;

/// The longest string of an embedded type that sets no bound of its own, in characters: the longest message that
/// Kubernetes allows in a condition.
const MAX_STRING_LENGTH: i64 = 32_768;

/// The most entries of a list or map that sets no bound of its own.
const MAX_ENTRIES: i64 = 64;

/// Why a definition could not be written.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionError {
    /// It has no YAML form.
    #[error("the definition {name} cannot be written as YAML")]
    Yaml {
        /// The definition's name.
        name: String,
        /// What the serializer said.
        #[source]
        source: serde_yaml_ng::Error,
    },
    /// It is over [`MAX_DEFINITION_BYTES`].
    #[error(
        "the definition {name} is {bytes} bytes, over the limit of {MAX_DEFINITION_BYTES}: shorten texts or make a field schemaless"
    )]
    TooLarge {
        /// The definition's name.
        name: String,
        /// Its size as YAML.
        bytes: usize,
    },
}

/// The finished definitions: `ModelDeployment`, then `ModelReplica`.
#[must_use]
pub fn definitions() -> Vec<CustomResourceDefinition> {
    vec![unobserved_at_first(finish(ModelDeployment::crd())), finish(ModelReplica::crd())]
}

/// The file that a definition is kept in, such as `ostler.dev_modeldeployments.yaml`.
#[must_use]
pub fn file_name(definition: &CustomResourceDefinition) -> String {
    format!("{}_{}.yaml", definition.spec.group, definition.spec.names.plural)
}

/// A definition as YAML.
///
/// # Errors
/// [`DefinitionError::TooLarge`] where client-side `kubectl apply` would refuse it.
pub fn to_yaml(definition: &CustomResourceDefinition) -> Result<String, DefinitionError> {
    let name = || definition.metadata.name.clone().unwrap_or_default();
    let text = serde_yaml_ng::to_string(definition)
        .map_err(|source| DefinitionError::Yaml { name: name(), source })?;
    if text.len() > MAX_DEFINITION_BYTES {
        return Err(DefinitionError::TooLarge { name: name(), bytes: text.len() });
    }
    Ok(text)
}

fn finish(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut definition.spec.versions {
        if let Some(schema) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) {
            finish_schema(schema);
        }
    }
    definition
}

/// kstatus, and so whoever waits with it (Helm, Flux, Argo CD), takes an object without a status for one that is ready.
/// An object that the operator has not seen yet therefore says that no generation of it has been observed.
fn unobserved_at_first(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut definition.spec.versions {
        let schema = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut());
        let properties = schema.and_then(|schema| schema.properties.as_mut());
        if let Some(status) = properties.and_then(|properties| properties.get_mut("status")) {
            status.default = Some(JSON(serde_json::json!({"observedGeneration": -1})));
        }
    }
    definition
}

fn finish_schema(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.description = schema.description.as_deref().map(join_lines);
    if schema.x_kubernetes_int_or_string == Some(true) {
        if schema.description.as_ref().is_some_and(|text| text.starts_with("Quantity is a fixed-point")) {
            schema.description = Some("A quantity, such as `500m`, `2` or `8Gi`.".to_owned());
        }
        return;
    }
    match schema.type_.as_deref() {
        Some("string") if schema.enum_.is_none() && schema.format.as_deref() != Some("date-time") => {
            schema.max_length.get_or_insert(MAX_STRING_LENGTH);
        }
        Some("array") => {
            schema.max_items.get_or_insert(MAX_ENTRIES);
        }
        _ => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        schema.max_properties.get_or_insert(MAX_ENTRIES);
        finish_schema(values);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        finish_schema(items);
    }
    schema.properties.iter_mut().flat_map(|properties| properties.values_mut()).for_each(finish_schema);
}

/// Joins the lines of each paragraph.
fn join_lines(text: &str) -> String {
    let paragraphs = text.split("\n\n").map(|paragraph| paragraph.replace('\n', " "));
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

#[cfg(test)]
mod tests;
