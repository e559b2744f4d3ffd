//! Merging the template's `ostler-sidecar` entry over the operator's container.

use serde_json::{Map, Value};

/// The key that tells the entries of a container's lists apart, as Kubernetes' own strategic merge has it.
fn merge_key(list: &str) -> Option<&'static str> {
    match list {
        "env" => Some("name"),
        "volumeMounts" => Some("mountPath"),
        "volumeDevices" => Some("devicePath"),
        "ports" => Some("containerPort"),
        _ => None,
    }
}

/// Merges `over` into `base`: objects by key, the lists above by their entries' key, everything else replaced.
pub(super) fn merge(base: &mut Map<String, Value>, over: Map<String, Value>) {
    for (key, value) in over {
        match (base.get_mut(&key), value, merge_key(&key)) {
            (Some(Value::Object(base)), Value::Object(over), _) => merge(base, over),
            (Some(Value::Array(base)), Value::Array(over), Some(by)) => merge_list(base, over, by),
            (_, value, _) => {
                base.insert(key, value);
            }
        }
    }
}

fn merge_list(base: &mut Vec<Value>, over: Vec<Value>, key: &str) {
    for entry in over {
        let same = base.iter_mut().find(|known| known.get(key).is_some() && known.get(key) == entry.get(key));
        match (same, entry) {
            // An environment variable has either a value or a source: merging the two would give both.
            (Some(known), entry) if key == "name" => *known = entry,
            (Some(Value::Object(known)), Value::Object(over)) => merge(known, over),
            (_, entry) => base.push(entry),
        }
    }
}
