use super::*;

const DESCRIPTION_EXCEPTIONS: &[&str] = &["apiVersion", "kind", "metadata", "spec", "status"];

fn schemas() -> Vec<(String, JSONSchemaProps)> {
    definitions()
        .into_iter()
        .map(|definition| {
            let schema = definition.spec.versions.into_iter().next().unwrap().schema.unwrap();
            (definition.spec.names.kind, schema.open_api_v3_schema.unwrap())
        })
        .collect()
}

/// Calls `visit` with every schema below `schema` and its path.
fn walk(path: &str, schema: &JSONSchemaProps, visit: &mut impl FnMut(&str, &JSONSchemaProps)) {
    visit(path, schema);
    for (name, property) in schema.properties.iter().flatten() {
        walk(&format!("{path}.{name}"), property, visit);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items {
        walk(&format!("{path}[]"), items, visit);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &schema.additional_properties {
        walk(&format!("{path}{{}}"), values, visit);
    }
}

#[test]
fn the_committed_files_are_what_the_types_say() {
    for definition in definitions() {
        let path = format!("{}/generated/{}", env!("CARGO_MANIFEST_DIR"), file_name(&definition));
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            committed,
            to_yaml(&definition).unwrap(),
            "{path} is out of date: run `cargo run -p ostler-crds --bin crdgen` and commit what it writes"
        );
    }
}

#[test]
fn client_side_apply_has_room_for_each_definition() {
    for definition in definitions() {
        let annotation = serde_json::to_string(&definition).unwrap();
        assert!(annotation.len() < MAX_DEFINITION_BYTES, "{} bytes of JSON", annotation.len());
        assert!(to_yaml(&definition).unwrap().len() < MAX_DEFINITION_BYTES);
    }
}

#[test]
fn every_string_list_and_map_is_bounded_and_nothing_is_nullable() {
    for (kind, schema) in schemas() {
        walk(&kind, &schema, &mut |path, schema| {
            assert_eq!(schema.nullable, None, "{path}");
            match schema.type_.as_deref() {
                Some("string") => {
                    let closed = schema.enum_.is_some() || schema.format.as_deref() == Some("date-time");
                    let root = path.ends_with(".apiVersion") || path.ends_with(".kind");
                    assert!(closed || root || schema.max_length.is_some(), "{path} has no maxLength");
                }
                Some("array") => assert!(schema.max_items.is_some(), "{path} has no maxItems"),
                Some("object") if schema.additional_properties.is_some() => {
                    assert!(schema.max_properties.is_some(), "{path} has no maxProperties");
                }
                _ => {}
            }
        });
    }
}

#[test]
fn every_field_says_what_it_is() {
    for (kind, schema) in schemas() {
        walk(&kind, &schema, &mut |path, schema| {
            let name = path.rsplit('.').next().unwrap();
            let exempt = DESCRIPTION_EXCEPTIONS.contains(&name) || name.ends_with([']', '}']) || name == kind;
            let described = schema.description.as_ref().is_some_and(|text| text.len() > 9);
            assert!(exempt || described, "{path} has no description");
        });
    }
}

#[test]
fn every_rule_says_what_to_write_instead() {
    for (kind, schema) in schemas() {
        walk(&kind, &schema, &mut |path, schema| {
            for rule in schema.x_kubernetes_validations.iter().flatten() {
                let message = rule.message.as_deref().unwrap_or_default();
                assert!(message.len() > 20 && !message.contains('\n'), "{path}: {rule:?}");
            }
        });
    }
}

#[test]
fn the_columns_of_kubectl_get_are_those_promised() {
    let columns = |kind: &str| -> Vec<String> {
        let definition =
            definitions().into_iter().find(|definition| definition.spec.names.kind == kind).unwrap();
        let version = definition.spec.versions.into_iter().next().unwrap();
        let shown = version.additional_printer_columns.unwrap().into_iter();
        shown.filter(|column| column.priority.unwrap_or(0) == 0).map(|column| column.name).collect()
    };
    assert_eq!(columns("ModelDeployment"), ["Ready", "Loaded", "Progress", "Versions", "Age"]);
    assert_eq!(columns("ModelReplica"), ["Deployment", "Ready", "Loaded", "Progress", "Age"]);
}

#[test]
fn a_deployment_that_nobody_has_seen_yet_says_so() {
    let (_, schema) = schemas().remove(0);
    let status = &schema.properties.unwrap()["status"];
    assert_eq!(status.default.as_ref().unwrap().0, serde_json::json!({"observedGeneration": -1}));
}
