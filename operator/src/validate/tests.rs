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
    let pairs = |pairs: Value| model("translation").set("languagePairs", pairs);
    let cases = [
        (deployment(), "spec.models: 0 is not allowed: write 1 to 32 models"),
        (
            deployment().model(whisper()).model(model("x").version("v1", "s3://somewhere")),
            "spec.models[1].versions[0].storageUri: storageUri \"s3://somewhere\" must be \
             hf://ORGANISATION/REPOSITORY[:REVISION] or file:///ABSOLUTE/PATH",
        ),
        (deployment().model(whisper()).model(whisper()), "spec.models[1].name: \"whisper\" occurs twice"),
        (
            deployment().model(model("Whisper").version("v1", "hf://a/b")),
            "spec.models[0].name: model name \"Whisper\"",
        ),
        (deployment().model(model("x")), "spec.models[0].versions: 0 is not allowed"),
        (
            deployment().model(whisper().version("v1", "hf://a/b")),
            "spec.models[0].versions[1].name: \"v1\" occurs twice",
        ),
        (
            deployment().model(whisper().weighted("v2", "hf://a/b", 60).weighted("v3", "hf://a/c", 41)),
            "spec.models[0].versions: the weights add up to 101",
        ),
        (
            deployment().model(whisper().weighted("v2", "hf://a/b", -1)),
            "spec.models[0].versions[1].weight: -1 is not allowed",
        ),
        (
            deployment().model(whisper().version("v2", "hf://a/b").set("defaultVersion", Value::Null)),
            "spec.models[0].defaultVersion: name the version",
        ),
        (
            deployment().model(whisper().set("defaultVersion", json!("v9"))),
            "spec.models[0].defaultVersion: the model has no version \"v9\": write one of v1",
        ),
        (
            deployment().model(whisper().set("fallback", json!(["v1", "v9"]))),
            "spec.models[0].fallback[1]: the model has no version \"v9\"",
        ),
        (
            deployment().model(whisper().set("instances", json!(0))),
            "spec.models[0].instances: 0 is not allowed",
        ),
        (
            deployment().model(model("t").version("v1", "hf://a/opus-{languagePair}")),
            "spec.models[0].versions[0].storageUri: {languagePair} needs languagePairs",
        ),
        (
            deployment().model(pairs(json!(["en-de", "english"])).version("v1", "hf://a/b")),
            "spec.models[0].languagePairs[1]: language pair \"english\" must be SOURCE-TARGET",
        ),
        (
            deployment().model(pairs(json!(["en-de", "en-de"])).version("v1", "hf://a/b")),
            "spec.models[0].languagePairs[1]: \"en-de\" occurs twice",
        ),
        (deployment().model(whisper()).spec("replicas", json!(-1)), "spec.replicas: -1 is not allowed"),
        (
            deployment().model(whisper()).spec("memory", json!({"host": "8GB"})),
            "spec.memory.host: \"8GB\" is no amount of bytes",
        ),
        (
            deployment().model(whisper()).spec("memory", json!({"host": "0"})),
            "spec.memory.host: 0 is not allowed",
        ),
        (
            deployment()
                .model(whisper())
                .spec("memory", json!({"host": "1Gi", "evictAbove": 70, "evictTo": 70})),
            "spec.memory.evictTo: 70 is not allowed",
        ),
        (
            deployment().model(whisper()).spec("memory", json!({"host": "1Gi", "evictAbove": 101})),
            "spec.memory.evictAbove: 101 is not allowed",
        ),
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
fn the_default_version_takes_what_the_others_leave() {
    let weights = |model| -> Vec<u8> {
        let validated = deployment().model(model).validated();
        validated.models[0].versions.iter().map(|version| version.weight.percent()).collect()
    };
    assert_eq!(weights(whisper()), [100]);
    assert_eq!(weights(whisper().weighted("v2", "hf://a/b", 10)), [90, 10]);
    assert_eq!(weights(whisper().weighted("v2", "hf://a/b", 100)), [0, 100]);
    let explicit = model("x").weighted("v1", "hf://a/b", 50).weighted("v2", "hf://a/c", 10);
    assert_eq!(weights(explicit), [90, 10]);
}

#[test]
fn a_placeholder_makes_an_artifact_for_each_pair_and_without_it_there_is_one() {
    let translation = model("translation")
        .set("languagePairs", json!(["en-de", "de-en"]))
        .version("v1", "hf://Helsinki-NLP/opus-mt-{languagePair}:main")
        .version("v2", "hf://facebook/mbart-large-50");
    let validated = deployment().model(translation).validated();
    let artifacts = |version: usize| -> Vec<String> {
        let artifacts = validated.models[0].versions[version].artifacts.iter();
        artifacts
            .map(|one| format!("{:?} {}", one.language_pair.as_ref().map(ToString::to_string), one.source))
            .collect()
    };
    assert_eq!(
        artifacts(0),
        [
            "Some(\"en-de\") hf://Helsinki-NLP/opus-mt-en-de:main",
            "Some(\"de-en\") hf://Helsinki-NLP/opus-mt-de-en:main"
        ]
    );
    assert_eq!(artifacts(1), ["None hf://facebook/mbart-large-50:main"]);
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

proptest::proptest! {
    #[test]
    fn weights_of_any_accepted_model_add_up_to_100(weights in proptest::collection::vec(0_i32..=100, 1..8)) {
        let model = weights.iter().enumerate().fold(model("x"), |model, (index, weight)| {
            model.weighted(&format!("v{index}"), "hf://a/b", *weight)
        });
        match validate(&deployment().model(model).build(), &settings()) {
            Ok(validated) => {
                let sum: u32 = validated.models[0].versions.iter().map(|v| u32::from(v.weight.percent())).sum();
                proptest::prop_assert_eq!(sum, 100);
            }
            Err(error) => {
                let too_much = matches!(error, ValidateError::WeightsExceed { .. });
                proptest::prop_assert!(too_much && weights.iter().sum::<i32>() > 100);
            }
        }
    }
}
