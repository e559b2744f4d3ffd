//! From the accelerator asked for to nodes: affinity on the labels of GPU Feature Discovery, and tolerations.

use serde_json::{Map, Value, json};

use crate::validated::ValidatedGpu;

/// What the placement adds to a pod.
#[derive(Debug, Default)]
pub(super) struct Placement {
    /// Alternatives, any of which a node must meet; each is a list of `matchExpressions`. Empty asks for nothing.
    pub(super) alternatives: Vec<Vec<Value>>,
    /// Taints of accelerator nodes that the pod accepts.
    pub(super) tolerations: Vec<Value>,
}

/// Where pods with this accelerator may run.
pub(super) fn placement(gpu: Option<&ValidatedGpu>) -> Placement {
    let Some(gpu) = gpu else { return Placement::default() };
    let mut common = Vec::new();
    if !gpu.product_names.is_empty() {
        common.push(json!({"key": "nvidia.com/gpu.product", "operator": "In", "values": gpu.product_names}));
    }
    if let Some(minimum) = gpu.min_memory_mebibytes {
        common.push(at_least("nvidia.com/gpu.memory", minimum));
    }
    let with_common = |alternative: Vec<Value>| [common.clone(), alternative].concat();
    let alternatives = match gpu.min_compute_capability {
        Some(minimum) => compute_capability(minimum).into_iter().map(with_common).collect(),
        None if common.is_empty() => Vec::new(),
        None => vec![common.clone()],
    };
    Placement { alternatives, tolerations: tolerations(&gpu.resource_name) }
}

/// Versions compare by major, then minor, which takes two alternatives: a greater major, or the same with a minor that
/// is enough.
fn compute_capability((major, minor): (u32, u32)) -> Vec<Vec<Value>> {
    let label = "nvidia.com/gpu.compute.major";
    if minor == 0 {
        return vec![vec![at_least(label, major.into())]];
    }
    let same = json!({"key": label, "operator": "In", "values": [major.to_string()]});
    vec![
        vec![at_least(label, u64::from(major) + 1)],
        vec![same, at_least("nvidia.com/gpu.compute.minor", minor.into())],
    ]
}

/// Node affinity knows "greater than" alone.
fn at_least(label: &str, minimum: u64) -> Value {
    let below = i128::from(minimum) - 1;
    json!({"key": label, "operator": "Gt", "values": [below.to_string()]})
}

/// Nodes with accelerators are commonly tainted with the resource's name; slices of an NVIDIA card (`nvidia.com/mig-*`)
/// lie on nodes tainted with the whole card's.
fn tolerations(resource_name: &str) -> Vec<Value> {
    let toleration = |key: &str| json!({"key": key, "operator": "Exists", "effect": "NoSchedule"});
    let mut tolerations = vec![toleration(resource_name)];
    let card = "nvidia.com/gpu";
    if resource_name.starts_with("nvidia.com/") && resource_name != card {
        tolerations.push(toleration(card));
    }
    tolerations
}

/// Adds the placement to a pod's spec. A node must meet one of the template's alternatives and one of ours, so each of
/// ours is joined with each of the template's.
pub(super) fn add(placement: Placement, spec: &mut Map<String, Value>) {
    if !placement.tolerations.is_empty()
        && let Value::Array(list) = spec.entry("tolerations").or_insert_with(|| json!([]))
    {
        for toleration in placement.tolerations {
            if !list.contains(&toleration) {
                list.push(toleration);
            }
        }
    }
    if placement.alternatives.is_empty() {
        return;
    }
    let mut node = spec.entry("affinity").or_insert_with(|| json!({}));
    for key in ["nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution"] {
        let Value::Object(object) = node else { return };
        node = object.entry(key).or_insert_with(|| json!({}));
    }
    let Value::Object(required) = node else { return };
    let terms = required.entry("nodeSelectorTerms").or_insert_with(|| json!([]));
    let Value::Array(theirs) = terms else { return };
    if theirs.is_empty() {
        theirs.push(json!({}));
    }
    let joined = theirs.iter().flat_map(|term| placement.alternatives.iter().map(|ours| join(term, ours)));
    *terms = joined.collect();
}

fn join(term: &Value, ours: &[Value]) -> Value {
    let mut term = term.clone();
    if let Value::Object(object) = &mut term
        && let Value::Array(expressions) = object.entry("matchExpressions").or_insert_with(|| json!([]))
    {
        expressions.extend(ours.iter().cloned());
    }
    term
}
