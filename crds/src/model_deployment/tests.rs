//! Every rule of the definition, run as the API server runs it, without one.

use kube::core::cel::Validator;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::definitions::definitions;

/// A specification that every rule accepts.
fn valid() -> Value {
    json!({
        "apiVersion": "ostler.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": { "name": "video-translation" },
        "spec": {
            "replicas": 2,
            "models": [
                {
                    "name": "whisper",
                    "task": "automatic-speech-recognition",
                    "longForm": "batched",
                    "defaultVersion": "v1",
                    "versions": [
                        { "name": "v1", "storageUri": "hf://openai/whisper-base:main" },
                        { "name": "v2", "storageUri": "file:///models/whisper", "weight": 10 },
                    ],
                    "fallback": ["v1"],
                    "memoryLimit": "3Gi",
                    "idleSeconds": 1800,
                    "history": 2,
                    "resultCache": { "maxEntries": 1000, "maxBytes": "64Mi", "timeToLiveSeconds": 3600 },
                },
                {
                    "name": "translation",
                    "task": "translation",
                    "languagePairs": ["en-de", "pt_br-en"],
                    "versions": [{ "name": "v1", "storageUri": "hf://Helsinki-NLP/opus-mt-{languagePair}" }],
                },
            ],
            "memory": { "host": "8Gi", "limits": { "automatic-speech-recognition": "4Gi" } },
            "preloadByUsage": { "maxVersions": 2, "maxMemoryPercent": 25 },
            "gpu": { "productNames": ["NVIDIA-H200"], "minMemory": "16Gi", "minComputeCapability": "8.0" },
            "cache": { "emptyDir": { "sizeLimit": "20Gi" }, "keepFree": 15 },
            "hub": { "tokenSecretRef": { "name": "hub", "key": "token" } },
            "sidecar": { "image": "registry.example/ostler-sidecar:1" },
        },
    })
}

/// The valid object with one place, a JSON pointer below `/spec` or an absolute one to metadata, changed.
fn changed(pointer: &str, value: Value) -> Value {
    let mut object = valid();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = object.pointer_mut(parent).unwrap();
    match parent {
        Value::Array(items) => items[key.parse::<usize>().unwrap()] = value,
        Value::Object(fields) => {
            fields.insert(key.to_owned(), value);
        }
        _ => panic!("{pointer} has no such parent"),
    }
    object
}

fn messages(object: &Value, old: Option<&Value>) -> Vec<String> {
    let definition = definitions().remove(0);
    let schema = definition.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap();
    let schema = serde_json::to_value(schema).unwrap();
    let result = Validator::new().validate_with_defaults(&schema, object, old);
    result.err().into_iter().flatten().map(|error| error.message).collect()
}

#[test]
fn a_full_specification_is_accepted() {
    assert_eq!(messages(&valid(), None), Vec::<String>::new());
    assert_eq!(messages(&valid(), Some(&valid())), Vec::<String>::new());
}

#[test]
fn every_rule_refuses_with_words_that_say_what_to_write() {
    let two = |first: Value, second: Value| {
        json!([
            { "name": "v1", "storageUri": "hf://a/b", "weight": first },
            { "name": "v2", "storageUri": "hf://a/b", "weight": second },
        ])
    };
    let cases = [
        ("/metadata/name", json!("1st"), "at most 52 lower-case letters"),
        ("/metadata/name", json!("a".repeat(53)), "at most 52 lower-case letters"),
        ("/spec/replicas", json!(-1), "replicas must be from 0"),
        ("/spec/replicas", json!(10_001), "replicas must be from 0"),
        ("/spec/models", json!([]), "at least one model"),
        ("/spec/models/0/name", json!("Whisper"), "name of a model must be"),
        ("/spec/models/0/name", json!("-whisper"), "name of a model must be"),
        ("/spec/models/0/instances", json!(0), "instances must be from 1"),
        ("/spec/models/0/instances", json!(65), "instances must be from 1"),
        ("/spec/models/0/memoryLimit", json!("0"), "memoryLimit must be a quantity of bytes above 0"),
        ("/spec/models/0/idleSeconds", json!(0), "idleSeconds must be from 1"),
        ("/spec/models/0/idleSeconds", json!(31_536_001), "idleSeconds must be from 1"),
        ("/spec/models/0/history", json!(-1), "history must be from 0 to 8"),
        ("/spec/models/0/history", json!(9), "history must be from 0 to 8"),
        ("/spec/models/0/resultCache/maxEntries", json!(0), "resultCache.maxEntries must be from 1"),
        ("/spec/models/0/resultCache/maxBytes", json!("0"), "resultCache.maxBytes must be a quantity"),
        (
            "/spec/models/0/resultCache/timeToLiveSeconds",
            json!(31_536_001),
            "resultCache.timeToLiveSeconds must be from 1",
        ),
        ("/spec/memory/limits", json!({ "speech": "1Gi" }), "memory.limits must name tasks"),
        ("/spec/memory/limits", json!({ "translation": "0" }), "memory.limits must be quantities"),
        ("/spec/models/0/languagePairs", json!(["en-de"]), "languagePairs is for models of task translation"),
        (
            "/spec/models/1/longForm",
            json!("batched"),
            "longForm is for models of task automatic-speech-recognition",
        ),
        (
            "/spec/models/0/maxBatch",
            json!(4),
            "maxBatch and maxDelayMilliseconds are for models that read texts",
        ),
        ("/spec/models/1/maxBatch", json!(0), "maxBatch must be from 1 to 256"),
        ("/spec/models/1/maxDelayMilliseconds", json!(1001), "maxDelayMilliseconds must be from 0 to 1000"),
        ("/spec/models/1/languagePairs", json!(["german"]), "SOURCE-TARGET"),
        ("/spec/models/1/languagePairs", json!([]), "needs languagePairs"),
        ("/spec/models/0/defaultVersion", json!("v9"), "defaultVersion must be the name of one"),
        ("/spec/models/0/versions", json!([]), "at least one version"),
        ("/spec/models/0/versions/0/name", json!("V1"), "name of a version must be"),
        ("/spec/models/0/versions/1/weight", json!(101), "percentage from 0 to 100"),
        ("/spec/models/0/versions/1/weight", json!(-1), "percentage from 0 to 100"),
        ("/spec/models/0/versions", two(json!(50), json!(10)), "weight of the default version"),
        ("/spec/models/0/fallback", json!(["v9"]), "fallback must hold names"),
        ("/spec/memory/host", json!("0"), "memory.host must be a quantity of bytes above 0"),
        ("/spec/memory/host", json!("-1Gi"), "memory.host must be a quantity of bytes above 0"),
        ("/spec/memory/host", json!("8 GB"), "memory.host must be a quantity of bytes above 0"),
        ("/spec/memory/evictTo", json!(80), "evictAbove must be greater than evictTo"),
        ("/spec/memory/evictTo", json!(0), "percentages from 1 to 100"),
        ("/spec/memory/evictAbove", json!(101), "percentages from 1 to 100"),
        ("/spec/preloadByUsage/maxVersions", json!(0), "preloadByUsage.maxVersions must be from 1 to 16"),
        ("/spec/preloadByUsage/maxVersions", json!(17), "preloadByUsage.maxVersions must be from 1 to 16"),
        (
            "/spec/preloadByUsage/maxMemoryPercent",
            json!(0),
            "preloadByUsage.maxMemoryPercent must be a percentage",
        ),
        (
            "/spec/preloadByUsage/maxMemoryPercent",
            json!(101),
            "preloadByUsage.maxMemoryPercent must be a percentage",
        ),
        ("/spec/gpu/count", json!(0), "gpu.count must be from 1 to 16"),
        ("/spec/gpu/resourceName", json!("gpu"), "gpu.resourceName must be an extended resource"),
        (
            "/spec/gpu/productNames",
            json!(["NVIDIA H200"]),
            "gpu.productNames must be values of the node label",
        ),
        ("/spec/gpu/minMemory", json!("0Gi"), "gpu.minMemory must be a quantity of bytes above 0"),
        ("/spec/gpu/minComputeCapability", json!("8"), "MAJOR.MINOR in quotes"),
        ("/spec/cache", json!({}), "exactly one of"),
        ("/spec/cache/keepFree", json!(0), "cache.keepFree must be a percentage from 1 to 50"),
        ("/spec/cache/keepFree", json!(51), "cache.keepFree must be a percentage from 1 to 50"),
        ("/spec/cache/hostPath", json!({ "path": "/var/lib/ostler" }), "exactly one of"),
        ("/spec/cache", json!({ "hostPath": { "path": "var" } }), "an absolute path without '..'"),
        ("/spec/cache", json!({ "hostPath": { "path": "/var/../etc" } }), "an absolute path without '..'"),
        ("/spec/cache", json!({ "persistentVolumeClaim": { "claimName": "" } }), "must name a claim"),
        ("/spec/hub/tokenSecretRef", json!({ "name": "", "key": "token" }), "must name a Secret"),
        ("/spec/sidecar/image", json!(""), "must be an image reference"),
    ];
    for (pointer, value, expected) in cases {
        let messages = messages(&changed(pointer, value.clone()), None);
        assert!(
            messages.iter().any(|message| message.contains(expected)),
            "{pointer} = {value}: {messages:?}"
        );
    }
}

#[test]
fn weights_of_the_other_versions_may_reach_100_and_no_more() {
    let versions = |weights: &[i32]| {
        let version = |(index, weight): (usize, &i32)| json!({ "name": format!("v{}", index + 1), "storageUri": "hf://a/b", "weight": weight });
        changed("/spec/models/0/versions", weights.iter().enumerate().map(version).collect())
    };
    for accepted in [&[0, 0][..], &[0, 100], &[90, 10], &[0, 60, 40], &[10, 50, 40], &[0]] {
        assert_eq!(messages(&versions(accepted), None), Vec::<String>::new(), "{accepted:?}");
    }
    for refused in [&[0, 60, 41][..], &[0, 100, 1], &[91, 10], &[1, 100], &[50]] {
        assert!(!messages(&versions(refused), None).is_empty(), "{refused:?}");
    }
}

#[test]
fn two_versions_need_a_default_and_one_does_not() {
    let mut object = valid();
    object["spec"]["models"][0].as_object_mut().unwrap().remove("defaultVersion");
    let refused = messages(&object, None);
    assert!(refused[0].contains("defaultVersion is needed from two versions on"), "{refused:?}");
    object["spec"]["models"][0]["versions"].as_array_mut().unwrap().pop();
    assert_eq!(messages(&object, None), Vec::<String>::new());
}

#[test]
fn a_task_cannot_change_under_a_name_while_models_may_move_come_and_go() {
    let old = valid();
    let refused = messages(&changed("/spec/models/0/task", json!("text-classification")), Some(&old));
    assert!(refused.iter().any(|message| message.contains("task cannot change")), "{refused:?}");

    let mut reordered = valid();
    reordered["spec"]["models"].as_array_mut().unwrap().reverse();
    assert_eq!(messages(&reordered, Some(&old)), Vec::<String>::new());
    let mut removed = valid();
    removed["spec"]["models"].as_array_mut().unwrap().remove(0);
    assert_eq!(messages(&removed, Some(&old)), Vec::<String>::new());
    assert_eq!(messages(&old, Some(&removed)), Vec::<String>::new());
}

#[test]
fn storage_uris_that_the_rules_accept_can_be_parsed() {
    let accepted = [
        "hf://openai/whisper-base",
        "hf://openai/whisper-base:main",
        "hf://openai/whisper-base:refs/pr/4",
        "hf://a/b:0123456789abcdef0123456789abcdef01234567",
        "hf://Helsinki-NLP/opus-mt-{languagePair}",
        "hf://a_/_b:v1.0+cpu",
        "hf://a/b:x--y",
        "file:///models/whisper..v1/",
        "file:///models/{languagePair}",
    ];
    for uri in accepted {
        let object = changed("/spec/models/1/versions/0/storageUri", json!(uri));
        assert_eq!(messages(&object, None), Vec::<String>::new(), "{uri}");
        uri.replace("{languagePair}", "en-de").parse::<crate::names::StorageUri>().unwrap();
    }
    let refused = [
        "openai/whisper-base",
        "hf://whisper-base",
        "hf://a/b/c",
        "hf://a/b:",
        "hf://-a/b",
        "hf://a/b.",
        "hf://a/b--c",
        "hf://a/..",
        "hf://a/b:-x",
        "hf://a/b:x..y",
        "hf://a/b:x//y",
        "hf://a/b:x/.y",
        "hf://a/b:x./y",
        "hf://a/b:x/",
        "hf://a/b c",
        "https://huggingface.co/a/b",
        "s3://bucket/model",
        "file://models",
        "file:///models/../etc",
        "file:///..",
        "hf://a/{language}",
    ];
    for uri in refused {
        let object = changed("/spec/models/1/versions/0/storageUri", json!(uri));
        let messages = messages(&object, None);
        assert!(messages.iter().any(|message| message.starts_with("storageUri must")), "{uri}: {messages:?}");
        assert!(uri.contains('{') || uri.parse::<crate::names::StorageUri>().is_err(), "{uri} parses");
    }
}

/// The rules of `storageUri` alone.
fn storage_uri_schema() -> Value {
    let definition = definitions().remove(0);
    let schema = definition.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap();
    let schema = serde_json::to_value(schema).unwrap();
    let path = "/properties/spec/properties/models/items/properties/versions/items/properties/storageUri";
    schema.pointer(path).unwrap().clone()
}

/// Texts that look like a `storageUri`, most of them wrong in some place.
fn nearly_storage_uri() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a",
        "B",
        "7",
        "_",
        "-",
        ".",
        "/",
        ":",
        "+",
        "--",
        "..",
        "//",
        "{languagePair}",
        "{other}",
        " ",
        "main",
        "opus-mt",
    ]);
    let scheme =
        prop::sample::select(vec!["hf://", "hf://a/b", "hf://a/b:", "file:///", "file://", "s3://", ""]);
    (scheme, prop::collection::vec(piece, 0..8))
        .prop_map(|(scheme, pieces)| format!("{scheme}{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_api_server_and_the_operator_accept_the_same_storage_uris(uri in nearly_storage_uri()) {
        thread_local!(static SCHEMA: Value = storage_uri_schema());
        let accepted = SCHEMA.with(|schema| Validator::new().validate(schema, &json!(uri), None).is_ok());
        let parsed = uri.replace("{languagePair}", "en-de").parse::<crate::names::StorageUri>();
        prop_assert_eq!(accepted, parsed.is_ok(), "{}: {:?}", uri, parsed);
    }
}
