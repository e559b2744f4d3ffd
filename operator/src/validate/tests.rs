use ostler_crds::model_deployment::ModelDeployment;
use serde_json::{Value, json};

use super::*;
use crate::fixtures::{deployment, model, settings};

fn refusal(deployment: ModelDeployment) -> String {
    validate(&deployment, &settings())
        .map(|_| "accepted".to_owned())
        .unwrap_or_else(|error| error.to_string())
}

fn whisper() -> crate::fixtures::ModelBuilder {
    model("whisper").version("v1", "hf://openai/whisper-base")
}

#[test]
fn what_is_wrong_is_named_by_its_path() {
    let cases = [
        // How models and memory are checked is tested where it is done.
        (deployment(), "spec.models: 0 is not allowed: write 1 to 32 models"),
        (
            deployment().model(whisper()).spec("memory", json!({"host": "8GB"})),
            "spec.memory.host: \"8GB\" is no amount of bytes",
        ),
        (deployment().model(whisper()).spec("replicas", json!(-1)), "spec.replicas: -1 is not allowed"),
        (deployment().model(whisper()).spec("gpu", json!({"count": 0})), "spec.gpu.count: 0 is not allowed"),
        (
            deployment().model(whisper()).spec("gpu", json!({"minComputeCapability": "eight"})),
            "spec.gpu.minComputeCapability: \"eight\" is not allowed: write MAJOR.MINOR",
        ),
        (
            deployment()
                .model(whisper())
                .spec("sidecar", json!({"resources": {"limits": {"memory": "1Gi"}}})),
            "spec.sidecar.resources.limits.memory: 1073741824 bytes are too few",
        ),
        (deployment().model(whisper()).named(&"a".repeat(53)), "metadata.name: "),
        (deployment().model(whisper()).named("1st"), "metadata.name: 1st is not allowed"),
    ];
    for (deployment, expected) in cases {
        let refusal = refusal(deployment.build());
        assert!(refusal.starts_with(expected), "{refusal}\nis not\n{expected}");
    }
}

#[test]
fn a_cache_on_the_node_lies_below_the_administrators_prefix() {
    let cases = [
        ("/var/lib/ostler/models", Some("/var/lib/ostler/models")),
        ("/var/lib/ostler//models/.", Some("/var/lib/ostler/models")),
        ("/var/lib/ostler", None),
        ("/var/lib/ostler-other", None),
        ("/var/lib/ostler/../../etc", None),
        ("var/lib/ostler/models", None),
        ("/", None),
    ];
    for (path, expected) in cases {
        let spec = deployment().model(whisper()).spec("cache", json!({"hostPath": {"path": path}})).build();
        let found = match validate(&spec, &settings()) {
            Ok(validated) => match validated.cache {
                Cache::HostPath(path) => Some(path),
                other => panic!("{other:?}"),
            },
            Err(ValidateError::HostPath { .. }) => None,
            Err(other) => panic!("{other}"),
        };
        assert_eq!(found.as_deref(), expected, "{path}");
        let without = Settings { host_path_prefix: None, ..settings() };
        assert!(matches!(validate(&spec, &without), Err(ValidateError::HostPath { .. })), "{path}");
    }
}

#[test]
fn the_cache_keeps_a_part_of_its_disk_free_and_knows_its_own_limit() {
    let cache = |cache| validate(&deployment().model(whisper()).spec("cache", cache).build(), &settings());
    let limit = |validated: &ValidatedDeployment| match validated.cache {
        Cache::EmptyDir { limit_bytes, .. } => limit_bytes,
        _ => None,
    };
    let table = [
        (json!({"emptyDir": {}}), 10, Some(20 << 30)),
        (json!({"emptyDir": {"sizeLimit": "1Gi"}, "keepFree": 50}), 50, Some(1 << 30)),
        (json!({"emptyDir": {"sizeLimit": "0"}, "keepFree": 1}), 1, None),
        (json!({"persistentVolumeClaim": {"claimName": "c"}}), 10, None),
    ];
    for (spec, keep_free, limit_bytes) in table {
        let validated = cache(spec).unwrap();
        assert_eq!((validated.cache_keep_free, limit(&validated)), (keep_free, limit_bytes));
    }
    for percent in [-1, 0, 51, 300] {
        let refusal = cache(json!({"emptyDir": {}, "keepFree": percent})).unwrap_err().to_string();
        assert!(refusal.starts_with("spec.cache.keepFree"), "{refusal}");
    }
    let refusal = cache(json!({"emptyDir": {"sizeLimit": "much"}})).unwrap_err().to_string();
    assert!(refusal.starts_with("spec.cache.emptyDir.sizeLimit"), "{refusal}");
}

#[test]
fn a_template_is_refused_where_the_merge_cannot_hold() {
    let template =
        |template: Value| refusal(deployment().model(whisper()).spec("template", template).build());
    let cases = [
        (json!("text"), "spec.template: write an object"),
        (json!({"spec": {"containers": {}}}), "spec.template.spec.containers: write a list of objects"),
        (
            json!({"spec": {"volumes": [{"name": "ostler-plan"}]}}),
            "spec.template.spec.volumes[0].name: names that begin",
        ),
        (json!({"sepc": {}}), "spec.template.sepc: a pod template has metadata and spec only"),
        (
            json!({"metadata": {"name": "x"}}),
            "spec.template.metadata.name: write labels and annotations only",
        ),
        (json!({"metadata": {"labels": {"a": 1}}}), "spec.template.metadata.labels[a]: write text"),
        (
            json!({"spec": {"containers": [
                {"name": "ostler-sidecar", "resources": {"limits": {"memory": "64Mi"}}},
            ]}}),
            "spec.template.spec.containers[ostler-sidecar].resources.limits.memory: 67108864 bytes are too few",
        ),
    ];
    for (value, expected) in cases {
        let refusal = template(value);
        assert!(refusal.starts_with(expected), "{refusal}\nis not\n{expected}");
    }
}

#[test]
fn memory_is_the_budget_and_the_overhead_unless_more_is_set() {
    let memory = |resources: Value| {
        let spec = deployment().model(whisper()).spec("sidecar", json!({"resources": resources}));
        let resources = spec.validated().resources;
        let memory =
            |side: Option<std::collections::BTreeMap<String, Quantity>>| side.unwrap()["memory"].0.clone();
        (memory(resources.requests), memory(resources.limits))
    };
    let both = |request: &str, limit: &str| (request.to_owned(), limit.to_owned());
    assert_eq!(memory(json!({})), both("1342177280", "1342177280"));
    assert_eq!(memory(json!({"limits": {"memory": "4Gi"}})), both("4Gi", "4Gi"));
    assert_eq!(memory(json!({"requests": {"memory": "2Gi"}})), both("2Gi", "2Gi"));
    assert_eq!(
        memory(json!({"requests": {"memory": "2Gi"}, "limits": {"memory": "4Gi"}})),
        both("2Gi", "4Gi")
    );
}
