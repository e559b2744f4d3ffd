//! The labels of a classifier, from config.json.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::error::LoadError;
use crate::files;

#[derive(Debug, Deserialize)]
struct RawLabels {
    problem_type: Option<String>,
    id2label: BTreeMap<String, String>,
}

/// More labels than any published classifier has.
const MAX_LABELS: usize = 1 << 20;

/// The labels in the order of the outputs.
///
/// # Errors
/// Where there are none, where they do not count from 0, or where each text may have several.
pub(super) fn read(folder: &Path) -> Result<Vec<String>, LoadError> {
    checked(&files::read_json(folder, files::CONFIG)?)
}

fn checked(raw: &RawLabels) -> Result<Vec<String>, LoadError> {
    let incompatible = |message: String| LoadError::Incompatible(format!("{}: {message}", files::CONFIG));
    if let Some(kind) = raw.problem_type.as_ref().filter(|kind| *kind != "single_label_classification") {
        return Err(incompatible(format!("problem_type {kind:?} is not supported")));
    }
    if !(1..=MAX_LABELS).contains(&raw.id2label.len()) {
        let count = raw.id2label.len();
        return Err(incompatible(format!("id2label has {count} labels, it must have 1 to {MAX_LABELS}")));
    }
    (0..raw.id2label.len())
        .map(|id| raw.id2label.get(&id.to_string()).cloned())
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| LoadError::corrupted(files::CONFIG, "the keys of id2label do not count from 0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(json: serde_json::Value) -> Result<Vec<String>, LoadError> {
        checked(&serde_json::from_value(json).unwrap())
    }

    #[test]
    fn labels_come_in_the_order_of_the_outputs() {
        let ten: BTreeMap<String, String> =
            (0..11).map(|id| (id.to_string(), format!("label {id}"))).collect();
        let labels = labels(serde_json::json!({"id2label": ten})).unwrap();
        assert_eq!((labels[2].as_str(), labels[10].as_str()), ("label 2", "label 10"));
    }

    #[test]
    fn what_names_no_single_label_is_refused() {
        let cases = [
            (
                "problem_type",
                serde_json::json!({"problem_type": "multi_label_classification", "id2label": {"0": "a"}}),
            ),
            ("id2label", serde_json::json!({"id2label": {}})),
            ("id2label", serde_json::json!({"id2label": {"0": "a", "2": "b"}})),
        ];
        for (field, json) in cases {
            let error = labels(json).unwrap_err().to_string();
            assert!(error.contains(field), "{error}");
        }
    }
}
