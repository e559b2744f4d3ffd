use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::names::{RepositoryId, Revision};

mod fuzz;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn artifact() -> impl Strategy<Value = PlannedArtifact> {
    let retired = vec("[0-9a-f]{40}", 0..3).prop_map(|commits| {
        let pin = |commit: &String| RetiredPin {
            source: "hf://a/before:main".parse().unwrap(),
            commit: commit.parse().unwrap(),
            dtype: Dtype::Int8,
        };
        commits.iter().map(pin).collect::<Vec<_>>()
    });
    (option::of("[a-z]{2,3}-[a-z]{2,3}"), any::<bool>(), option::of("\\PC{0,40}"), retired).prop_map(
        |(pair, is_hub, unpinned, history)| PlannedArtifact {
            language_pair: pair.map(|pair| pair.parse().unwrap()),
            source: if is_hub {
                "hf://a/b:main".parse().unwrap()
            } else {
                "file:///models/b".parse().unwrap()
            },
            commit: (is_hub && unpinned.is_none()).then(|| COMMIT.parse().unwrap()),
            unpinned,
            history,
        },
    )
}

fn version() -> impl Strategy<Value = PlannedVersion> {
    ("[a-z][a-z0-9]{0,8}", 0_u8..=100, vec(artifact(), 0..4)).prop_map(|(name, weight, artifacts)| {
        PlannedVersion {
            name: name.parse().unwrap(),
            dtype: Dtype::Auto,
            weight: weight.try_into().unwrap(),
            artifacts,
        }
    })
}

fn model() -> impl Strategy<Value = PlannedModel> {
    let result_cache = (1_u32..1000, 1_u64..1 << 30, 1_u32..=3600).prop_map(
        |(max_entries, max_bytes, time_to_live_seconds)| PlannedResultCache {
            max_entries,
            max_bytes,
            time_to_live_seconds,
        },
    );
    let bounds = (option::of(1_u64..1 << 40), option::of(1_u32..=31_536_000), option::of(result_cache));
    ("[a-z][a-z0-9-]{0,8}[a-z0-9]", any::<bool>(), 1_u32..=64, bounds, vec(version(), 1..4)).prop_map(
        |(name, keep, instances, (memory_limit_bytes, idle_seconds, result_cache), versions)| PlannedModel {
            name: name.parse().unwrap(),
            task: Task::Translation,
            load: if keep { LoadPolicy::Preload } else { LoadPolicy::Lazy },
            keep,
            instances,
            max_batch: keep.then_some(8),
            max_delay_milliseconds: keep.then_some(0),
            long_form: keep.then_some(LongForm::Batched),
            memory_limit_bytes,
            idle_seconds,
            result_cache,
            default_version: versions[0].name.clone(),
            fallback: versions.iter().map(|version| version.name.clone()).collect(),
            versions,
        },
    )
}

fn plan() -> impl Strategy<Value = ServingPlan> {
    let limits = option::of(1_u64..1 << 40).prop_map(|limit| limit.map(|limit| (Task::Translation, limit)));
    let ahead = option::of((1_u32..=16, 1_u8..=100)).prop_map(|bounds| {
        bounds.map(|(max_versions, max_memory_percent)| PlannedPreloadByUsage {
            max_versions,
            max_memory_percent,
        })
    });
    (any::<i64>(), "[a-z]{1,8}/[a-z]{1,8}", limits, ahead, vec(model(), 0..4)).prop_map(
        |(generation, salt, limits, preload_by_usage, models)| {
            let task_limit_bytes = limits.into_iter().collect();
            ServingPlan { format: PLAN_FORMAT, generation, salt, task_limit_bytes, preload_by_usage, models }
        },
    )
}

proptest! {
    #[test]
    fn a_plan_survives_a_round_trip_and_has_one_form(plan in plan()) {
        let text = plan.to_json().unwrap();
        let read = ServingPlan::from_json(&text).unwrap();
        prop_assert_eq!(&read, &plan);
        prop_assert_eq!(read.to_json().unwrap(), text);
    }

    #[test]
    fn no_text_makes_reading_panic(text in "\\PC{0,200}") {
        let _ = ServingPlan::from_json(&text);
    }
}

fn empty() -> ServingPlan {
    ServingPlan {
        format: PLAN_FORMAT,
        generation: 3,
        salt: "media/video".to_owned(),
        task_limit_bytes: BTreeMap::new(),
        preload_by_usage: None,
        models: Vec::new(),
    }
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let newer = ServingPlan { format: PLAN_FORMAT + 1, ..empty() };
    let error = ServingPlan::from_json(&newer.to_json().unwrap()).unwrap_err();
    assert!(matches!(error, PlanError::NewerFormat { format } if format == PLAN_FORMAT + 1));
    assert!(error.to_string().contains("update the sidecar's image"), "{error}");
}

#[test]
fn fields_of_a_later_writer_are_passed_over() {
    let text = r#"{"format":1,"generation":3,"salt":"media/video","models":[],"later":{"field":1}}"#;
    assert_eq!(ServingPlan::from_json(text).unwrap(), empty());
}

#[test]
fn a_name_that_no_operator_writes_is_refused_when_it_is_read() {
    let text = empty().to_json().unwrap().replace("[]", r#"[{"name":"../etc"}]"#);
    assert!(matches!(ServingPlan::from_json(&text), Err(PlanError::Malformed(_))));
}

#[test]
fn the_long_form_is_written_where_it_is_given_alone() {
    let json = |long_form: &str| {
        format!(
            r#"{{"name":"whisper","task":"automatic-speech-recognition","load":"Lazy","keep":false,"instances":1,{long_form}"defaultVersion":"v1","fallback":[],"versions":[]}}"#
        )
    };
    for (text, expected) in [("", None), (r#""longForm":"batched","#, Some(LongForm::Batched))] {
        let model: PlannedModel = serde_json::from_str(&json(text)).unwrap();
        assert_eq!(model.long_form, expected);
        assert_eq!(serde_json::to_string(&model).unwrap(), json(text));
    }
}

#[test]
fn a_plan_over_the_limit_is_neither_written_nor_read() {
    let oversized = ServingPlan { salt: "s".repeat(MAX_PLAN_BYTES), ..empty() };
    let error = oversized.to_json().unwrap_err();
    assert!(matches!(error, PlanError::TooLarge { bytes } if bytes > MAX_PLAN_BYTES), "{error}");
    let text = serde_json::to_string(&oversized).unwrap();
    assert!(matches!(ServingPlan::from_json(&text), Err(PlanError::TooLarge { .. })));
}

#[test]
fn the_form_on_the_wire_is_the_agreed_one() {
    let plan = ServingPlan {
        models: vec![PlannedModel {
            name: "translation".parse().unwrap(),
            task: Task::Translation,
            load: LoadPolicy::Preload,
            keep: false,
            instances: 1,
            max_batch: None,
            max_delay_milliseconds: None,
            long_form: None,
            memory_limit_bytes: Some(3 << 30),
            idle_seconds: None,
            result_cache: Some(PlannedResultCache {
                max_entries: 1000,
                max_bytes: 64 << 20,
                time_to_live_seconds: 3600,
            }),
            default_version: "v1".parse().unwrap(),
            fallback: Vec::new(),
            versions: vec![PlannedVersion {
                name: "v1".parse().unwrap(),
                dtype: Dtype::Float32,
                weight: Weight::FULL,
                artifacts: vec![PlannedArtifact {
                    language_pair: Some("en-de".parse().unwrap()),
                    source: StorageUri::Hub {
                        repository: "a/opus-mt-en-de".parse::<RepositoryId>().unwrap(),
                        revision: Revision::main(),
                    },
                    commit: Some(COMMIT.parse().unwrap()),
                    unpinned: None,
                    history: vec![RetiredPin {
                        source: "hf://b/opus-mt-en-de:v1".parse().unwrap(),
                        commit: "f".repeat(40).parse().unwrap(),
                        dtype: Dtype::Auto,
                    }],
                }],
            }],
        }],
        task_limit_bytes: [(Task::AutomaticSpeechRecognition, 4 << 30)].into(),
        preload_by_usage: Some(PlannedPreloadByUsage { max_versions: 2, max_memory_percent: 25 }),
        ..empty()
    };
    let expected = serde_json::json!({
        "format": 1, "generation": 3, "salt": "media/video",
        "taskLimitBytes": { "automatic-speech-recognition": 4_294_967_296_u64 },
        "preloadByUsage": { "maxVersions": 2, "maxMemoryPercent": 25 },
        "models": [{
            "name": "translation", "task": "translation", "load": "Preload", "keep": false, "instances": 1,
            "memoryLimitBytes": 3_221_225_472_u64,
            "resultCache": { "maxEntries": 1000, "maxBytes": 67_108_864_u64, "timeToLiveSeconds": 3600 },
            "defaultVersion": "v1", "fallback": [],
            "versions": [{
                "name": "v1", "dtype": "float32", "weight": 100,
                "artifacts": [{
                    "languagePair": "en-de", "source": "hf://a/opus-mt-en-de:main", "commit": COMMIT,
                    "history": [{ "source": "hf://b/opus-mt-en-de:v1", "commit": "f".repeat(40), "dtype": "auto" }],
                }],
            }],
        }],
    });
    assert_eq!(serde_json::to_value(&plan).unwrap(), expected);
}
