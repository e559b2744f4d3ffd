//! What every object has in common: labels, owner, hash.

use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::names;
use crate::resources::{Kind, Prepared};
use crate::validated::Identity;

/// An object that is about to be prepared.
pub(super) struct Draft {
    /// Its kind.
    pub(super) kind: Kind,
    /// Its API version.
    pub(super) api_version: &'static str,
    /// Its name.
    pub(super) name: String,
    /// Annotations besides the hash.
    pub(super) annotations: Map<String, Value>,
    /// Everything below the metadata: `spec`, `data` and the like.
    pub(super) body: Map<String, Value>,
}

/// Adds labels, owner and hash.
pub(super) fn prepare(identity: &Identity, draft: Draft) -> Prepared {
    let Draft { kind, api_version, name, annotations, body } = draft;
    let mut manifest = json!({
        "apiVersion": api_version,
        "kind": kind.to_string(),
        "metadata": {
            "name": name,
            "namespace": identity.namespace,
            "labels": names::labels(&identity.name),
            "annotations": annotations,
            "ownerReferences": [identity.owner],
        },
    });
    if let Some(object) = manifest.as_object_mut() {
        object.extend(body);
    }
    let hash = hash(&manifest);
    if let Some(annotations) = manifest.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.insert(names::HASH_ANNOTATION.to_owned(), Value::String(hash.clone()));
    }
    Prepared { kind, name, manifest, hash }
}

/// A value of Kubernetes' own types as JSON. They hold nothing that JSON cannot.
pub(super) fn json_of(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// The SHA-256 of a value's canonical form, keys sorted, as 32 hexadecimal digits: enough to tell changes apart.
fn hash(value: &Value) -> String {
    let mut hasher = Sha256::new();
    update(&mut hasher, value);
    hex::encode(&hasher.finalize()[..16])
}

/// Every part is written with its kind and length, so that two different values never feed the same bytes.
fn update(hasher: &mut Sha256, value: &Value) {
    match value {
        Value::Object(object) => {
            let mut entries: Vec<_> = object.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            hasher.update(format!("object {}\n", entries.len()));
            for (key, value) in entries {
                hasher.update(format!("key {}\n{key}", key.len()));
                update(hasher, value);
            }
        }
        Value::Array(entries) => {
            hasher.update(format!("array {}\n", entries.len()));
            entries.iter().for_each(|entry| update(hasher, entry));
        }
        scalar => {
            let text = scalar.to_string();
            hasher.update(format!("scalar {}\n{text}", text.len()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_does_not_depend_on_the_order_of_keys() {
        let one: Value = serde_json::from_str(r#"{"a": 1, "b": {"c": [1, 2], "d": null}}"#).unwrap();
        let other: Value = serde_json::from_str(r#"{"b": {"d": null, "c": [1, 2]}, "a": 1}"#).unwrap();
        assert_eq!(hash(&one), hash(&other));
    }

    #[test]
    fn a_hash_tells_apart_what_differs() {
        let values =
            [json!({"a": 1}), json!({"a": "1"}), json!({"a": [1]}), json!(["a", 1]), json!({"a": {}})];
        let hashes: std::collections::BTreeSet<String> = values.iter().map(hash).collect();
        assert_eq!(hashes.len(), values.len());
    }
}
