use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::model_deployment::{MemorySpec, ModelSpec, PreloadByUsageSpec};
use crate::names::{LongForm, Task};
use crate::serving_plan::PlannedPreloadByUsage;

/// A translation model of the first version and these fields.
fn model(name: &str, fields: Value) -> ModelSpec {
    let mut model = json!({
        "name": name, "task": "translation", "defaultVersion": "v1",
        "versions": [version("v1", "hf://openai/whisper-base", 0)],
    });
    for (field, value) in fields.as_object().unwrap() {
        model[field] = value.clone();
    }
    serde_json::from_value(model).unwrap()
}

fn whisper() -> ModelSpec {
    model("whisper", json!({}))
}

fn version(name: &str, uri: &str, weight: i32) -> Value {
    json!({"name": name, "storageUri": uri, "weight": weight})
}

/// A model with a first version and others of these weights.
fn weighted(first: i32, others: &[i32]) -> ModelSpec {
    let others = others
        .iter()
        .enumerate()
        .map(|(index, weight)| version(&format!("v{}", index + 2), "hf://a/b", *weight));
    let versions: Vec<Value> = std::iter::once(version("v1", "hf://a/b", first)).chain(others).collect();
    model("whisper", json!({"versions": versions}))
}

fn weights(model: ModelSpec) -> Vec<u8> {
    models(&[model]).unwrap()[0].versions.iter().map(|version| version.weight.percent()).collect()
}

#[test]
fn what_is_wrong_with_models_is_named_by_its_path() {
    let second = version("v2", "hf://a/b", 0);
    let cases = [
        (vec![], "spec.models: 0 is not allowed: write 1 to 32 models"),
        (
            vec![whisper(), model("x", json!({"versions": [version("v1", "s3://somewhere", 0)]}))],
            "spec.models[1].versions[0].storageUri: storageUri \"s3://somewhere\" must be \
             hf://ORGANISATION/REPOSITORY[:REVISION] or file:///ABSOLUTE/PATH",
        ),
        (
            vec![model("x", json!({"longForm": "batched"}))],
            "spec.models[0].longForm: batched is not allowed: it is for models of task automatic-speech-recognition",
        ),
        (
            vec![model("x", json!({"task": "automatic-speech-recognition", "maxBatch": 4}))],
            "spec.models[0].maxBatch: 4 is not allowed: it is for models that read texts, leave it out",
        ),
        (
            vec![model("x", json!({"maxDelayMilliseconds": 1001}))],
            "spec.models[0].maxDelayMilliseconds: 1001 is not allowed: write 0 to 1000",
        ),
        (vec![whisper(), whisper()], "spec.models[1].name: \"whisper\" occurs twice"),
        (vec![model("Whisper", json!({}))], "spec.models[0].name: model name \"Whisper\""),
        (vec![model("x", json!({"versions": []}))], "spec.models[0].versions: 0 is not allowed"),
        (
            vec![model(
                "x",
                json!({"versions": [version("v1", "hf://a/b", 0), version("v1", "hf://a/b", 0)]}),
            )],
            "spec.models[0].versions[1].name: \"v1\" occurs twice",
        ),
        (vec![weighted(0, &[60, 41])], "spec.models[0].versions: the weights add up to 101"),
        (vec![weighted(0, &[-1])], "spec.models[0].versions[1].weight: -1 is not allowed"),
        (vec![weighted(0, &[101])], "spec.models[0].versions[1].weight: 101 is not allowed"),
        (
            vec![model(
                "x",
                json!({"defaultVersion": null, "versions": [version("v1", "hf://a/b", 0), second]}),
            )],
            "spec.models[0].defaultVersion: name the version",
        ),
        (
            vec![model("x", json!({"defaultVersion": "v9"}))],
            "spec.models[0].defaultVersion: the model has no version \"v9\": write one of v1",
        ),
        (
            vec![model("x", json!({"fallback": ["v1", "v9"]}))],
            "spec.models[0].fallback[1]: the model has no version \"v9\"",
        ),
        (
            vec![model("x", json!({"fallback": ["v1", "v1"]}))],
            "spec.models[0].fallback[1]: \"v1\" occurs twice",
        ),
        (
            vec![model("x", json!({"instances": 0}))],
            "spec.models[0].instances: 0 is not allowed: write 1 to 64",
        ),
        (vec![model("x", json!({"instances": 65}))], "spec.models[0].instances: 65 is not allowed"),
        (
            vec![model("x", json!({"memoryLimit": "0"}))],
            "spec.models[0].memoryLimit: 0 is not allowed: write an amount above 0",
        ),
        (vec![model("x", json!({"memoryLimit": "3GB"}))], "spec.models[0].memoryLimit: \"3GB\" is no amount"),
        (
            vec![model("x", json!({"idleSeconds": 0}))],
            "spec.models[0].idleSeconds: 0 is not allowed: write 1 to 31536000 seconds",
        ),
        (vec![model("x", json!({"history": 9}))], "spec.models[0].history: 9 is not allowed: write 0 to 8"),
        (vec![model("x", json!({"history": -1}))], "spec.models[0].history: -1 is not allowed"),
        (
            vec![model("x", json!({"resultCache": {"maxEntries": 0}}))],
            "spec.models[0].resultCache.maxEntries: 0 is not allowed: write 1 to 1000000",
        ),
        (
            vec![model("x", json!({"resultCache": {"maxBytes": "64MB"}}))],
            "spec.models[0].resultCache.maxBytes: \"64MB\" is no amount",
        ),
        (
            vec![model("x", json!({"resultCache": {"timeToLiveSeconds": -1}}))],
            "spec.models[0].resultCache.timeToLiveSeconds: -1 is not allowed: write 1 to 31536000",
        ),
        (
            vec![model("t", json!({"versions": [version("v1", "hf://a/opus-{languagePair}", 0)]}))],
            "spec.models[0].versions[0].storageUri: {languagePair} needs languagePairs",
        ),
        (
            vec![model("t", json!({"languagePairs": ["en-de", "english"]}))],
            "spec.models[0].languagePairs[1]: language pair \"english\" must be SOURCE-TARGET",
        ),
        (
            vec![model("t", json!({"languagePairs": ["en-de", "en-de"]}))],
            "spec.models[0].languagePairs[1]: \"en-de\" occurs twice",
        ),
    ];
    for (specs, expected) in cases {
        let refusal = models(&specs).unwrap_err().to_string();
        assert!(refusal.starts_with(expected), "{refusal}\nis not\n{expected}");
    }
}

#[test]
fn what_is_wrong_with_the_budget_is_named_by_its_path() {
    let cases = [
        (json!({"host": "8GB"}), "spec.memory.host: \"8GB\" is no amount of bytes"),
        (json!({"host": "0"}), "spec.memory.host: 0 is not allowed"),
        (json!({"host": "1Gi", "evictAbove": 70, "evictTo": 70}), "spec.memory.evictTo: 70 is not allowed"),
        (json!({"host": "1Gi", "evictAbove": 101}), "spec.memory.evictAbove: 101 is not allowed"),
        (json!({"host": "1Gi", "evictTo": 0}), "spec.memory.evictTo: 0 is not allowed"),
    ];
    for (value, expected) in cases {
        let spec: MemorySpec = serde_json::from_value(value).unwrap();
        let refusal = memory(&spec).unwrap_err().to_string();
        assert!(refusal.starts_with(expected), "{refusal}\nis not\n{expected}");
    }
}

#[test]
fn what_is_wrong_with_a_limit_is_named_by_its_task() {
    let cases = [
        (
            json!({"speech": "1Gi"}),
            "spec.memory.limits[speech]: speech is not allowed: write automatic-speech",
        ),
        (
            json!({"translation": "0"}),
            "spec.memory.limits[translation]: 0 is not allowed: write an amount above 0",
        ),
        (json!({"translation": "x"}), "spec.memory.limits[translation]: \"x\" is no amount of bytes"),
    ];
    let limits = |limits: Value| -> MemorySpec {
        serde_json::from_value(json!({"host": "1Gi", "limits": limits})).unwrap()
    };
    for (value, expected) in cases {
        let refusal = task_limits(&limits(value)).unwrap_err().to_string();
        assert!(refusal.starts_with(expected), "{refusal}\nis not\n{expected}");
    }
    let accepted = task_limits(&limits(json!({"translation": "1Ki", "text-classification": "2Ki"}))).unwrap();
    assert_eq!(accepted, [(Task::Translation, 1024), (Task::TextClassification, 2048)].into());
}

#[test]
fn what_is_loaded_ahead_is_nothing_by_default_and_bounded_where_it_is_asked_for() {
    let checked = |fields: Value| {
        let spec: PreloadByUsageSpec = serde_json::from_value(fields).unwrap();
        preload_by_usage(Some(&spec)).map_err(|refusal| refusal.to_string())
    };
    assert_eq!(preload_by_usage(None), Ok(None));
    let planned = |max_versions, max_memory_percent| {
        Ok(Some(PlannedPreloadByUsage { max_versions, max_memory_percent }))
    };
    assert_eq!(checked(json!({})), planned(2, 25));
    assert_eq!(checked(json!({"maxVersions": 16, "maxMemoryPercent": 100})), planned(16, 100));
    for (fields, expected) in [
        (json!({"maxVersions": 0}), "spec.preloadByUsage.maxVersions: 0 is not allowed: write 1 to 16"),
        (json!({"maxVersions": 17}), "spec.preloadByUsage.maxVersions: 17 is not allowed"),
        (
            json!({"maxMemoryPercent": 0}),
            "spec.preloadByUsage.maxMemoryPercent: 0 is not allowed: write a per",
        ),
        (json!({"maxMemoryPercent": 101}), "spec.preloadByUsage.maxMemoryPercent: 101 is not allowed"),
    ] {
        let refusal = checked(fields).unwrap_err();
        assert!(refusal.starts_with(expected), "{refusal}\nis not\n{expected}");
    }
}

#[test]
fn a_name_is_a_label_with_room_for_what_is_added_to_it() {
    let (longest, too_long) = ("a".repeat(52), "a".repeat(53));
    for accepted in ["video-translation", "a", &longest] {
        assert_eq!(name(accepted), Ok(()));
    }
    for refused in ["", "1st", "a.b", "A", "a-", "a_b", &too_long] {
        let refusal = name(refused).unwrap_err().to_string();
        assert!(refusal.starts_with("metadata.name: ") && refusal.contains("write at most 52"), "{refusal}");
    }
}

#[test]
fn the_default_version_takes_what_the_others_leave() {
    assert_eq!(weights(whisper()), [100]);
    assert_eq!(weights(weighted(0, &[10])), [90, 10]);
    assert_eq!(weights(weighted(0, &[100])), [0, 100]);
    assert_eq!(weights(weighted(50, &[10])), [90, 10]);
}

#[test]
fn a_result_cache_has_defaults_and_all_of_them_take_half_of_the_memory_at_most() {
    let kept = |fields: Value| models(&[model("x", json!({"resultCache": fields}))]).unwrap().remove(0);
    let bounds = kept(json!({})).result_cache.unwrap();
    assert_eq!((bounds.max_entries, bounds.max_bytes, bounds.time_to_live_seconds), (1000, 64 << 20, 3600));
    assert_eq!(models(&[whisper()]).unwrap()[0].result_cache, None);
    let memory: MemorySpec = serde_json::from_value(json!({"host": "1Gi"})).unwrap();
    let memory = super::memory(&memory).unwrap();
    let half = kept(json!({"maxBytes": "512Mi"}));
    assert_eq!(result_caches(std::slice::from_ref(&half), &memory), Ok(()));
    let refusal = result_caches(&[half, kept(json!({"maxBytes": "1"}))], &memory).unwrap_err().to_string();
    let expected =
        "spec.models[*].resultCache.maxBytes: 536870913 is not allowed: write amounts that are at most half";
    assert!(refusal.starts_with(expected), "{refusal}");
}

#[test]
fn the_long_form_of_a_model_for_speech_is_kept() {
    for (fields, expected) in [(json!({}), None), (json!({"longForm": "batched"}), Some(LongForm::Batched))] {
        let mut spec = model("speech", fields);
        spec.task = Task::AutomaticSpeechRecognition;
        assert_eq!(models(&[spec]).unwrap()[0].long_form, expected);
    }
}

#[test]
fn a_placeholder_makes_an_artifact_for_each_pair_and_without_it_there_is_one() {
    let versions = [
        version("v1", "hf://Helsinki-NLP/opus-mt-{languagePair}:main", 0),
        version("v2", "hf://facebook/mbart-large-50", 0),
    ];
    let fields = json!({"languagePairs": ["en-de", "de-en"], "versions": versions});
    let checked = models(&[model("translation", fields)]).unwrap();
    let artifacts = |version: usize| -> Vec<String> {
        let artifacts = checked[0].versions[version].artifacts.iter();
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

proptest! {
    #[test]
    fn weights_of_any_accepted_model_add_up_to_100(others in proptest::collection::vec(0_i32..=100, 0..7)) {
        match models(&[weighted(0, &others)]) {
            Ok(checked) => {
                let sum: u32 = checked[0].versions.iter().map(|version| u32::from(version.weight.percent())).sum();
                prop_assert_eq!(sum, 100);
            }
            Err(error) => {
                let too_much = matches!(error, SpecError::WeightsExceed { .. });
                prop_assert!(too_much && others.iter().sum::<i32>() > 100);
            }
        }
    }
}
