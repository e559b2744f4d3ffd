use ostler_crds::names::{LongForm, StorageUri, Weight};
use ostler_crds::serving_plan::PlannedPreloadByUsage;

use super::*;

mod fuzz;

const EXAMPLE: &str = include_str!("../../../../examples/video-translation.yaml");

/// The example with one line replaced.
fn changed(line: &str, replacement: &str) -> String {
    assert!(EXAMPLE.contains(line), "{line}");
    EXAMPLE.replacen(line, replacement, 1)
}

fn refusal(text: &str) -> String {
    let error = Manifest::from_yaml(text).unwrap_err();
    let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[test]
fn the_example_becomes_a_plan() {
    let manifest = Manifest::from_yaml(EXAMPLE).unwrap();
    assert_eq!(manifest.budget.bytes, 1 << 30);
    assert_eq!(manifest.plan.salt, "default/video-translation");
    let ahead = PlannedPreloadByUsage { max_versions: 2, max_memory_percent: 25 };
    assert_eq!(manifest.plan.preload_by_usage, Some(ahead));
    let [whisper, translation, detection] = manifest.plan.models.as_slice() else { panic!("three models") };
    let weights: Vec<u8> = whisper.versions.iter().map(|version| version.weight.percent()).collect();
    assert_eq!(weights, [90, 10]);
    assert_eq!((whisper.long_form, translation.long_form), (Some(LongForm::Batched), None));
    let kept =
        translation.result_cache.map(|kept| (kept.max_entries, kept.max_bytes, kept.time_to_live_seconds));
    assert_eq!((kept, whisper.result_cache), (Some((10_000, 32 << 20, 3600)), None));
    let sources: Vec<String> =
        translation.versions[0].artifacts.iter().map(|artifact| artifact.source.to_string()).collect();
    assert_eq!(sources[1], "hf://ostler/opus-mt-de-en:main");
    assert_eq!(detection.default_version.as_str(), "v1");
    assert_eq!(detection.versions[0].weight, Weight::FULL);
    assert!(matches!(detection.versions[0].artifacts[0].source, StorageUri::Hub { .. }));
}

#[test]
fn the_deployment_is_found_among_other_objects() {
    let several = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: x}}\n---\n{EXAMPLE}\n---\n");
    assert_eq!(Manifest::from_yaml(&several).unwrap(), Manifest::from_yaml(EXAMPLE).unwrap());
    assert!(refusal("kind: ConfigMap\n").contains("holds no object"));
    assert!(refusal(&format!("{EXAMPLE}\n---\n{EXAMPLE}")).contains("holds 2 ModelDeployments"));
    assert!(refusal("a: [").contains("not YAML"));
}

#[test]
fn what_the_cluster_refuses_is_refused_with_the_field_and_what_to_write() {
    let table = [
        ("    defaultVersion: v1", "    load: Lazy", "duplicate"),
        ("    defaultVersion: v1", "", "spec.models[0].defaultVersion: name the version"),
        (
            "    defaultVersion: v1",
            "    defaultVersion: v9",
            "spec.models[0].defaultVersion: the model has no version \"v9\": write one of v1, v2",
        ),
        ("fallback: [v1]", "fallback: [v9]", "spec.models[0].fallback[0]: the model has no version \"v9\""),
        (
            "weight: 10",
            "weight: 101",
            "spec.models[0].versions[1].weight: 101 is not allowed: write a percentage",
        ),
        ("instances: 2", "instances: 0", "spec.models[0].instances: 0 is not allowed: write 1 to 64"),
        ("longForm: batched", "longForm: Batched", "not of the right shape"),
        (
            "    task: translation",
            "    task: translation\n    longForm: batched",
            "spec.models[1].longForm: batched is not allowed",
        ),
        ("languagePairs: [en-de, de-en, en-fr]", "languagePairs: []", "needs languagePairs"),
        ("languagePairs: [en-de, de-en, en-fr]", "languagePairs: [ende]", "must be SOURCE-TARGET"),
        ("languagePairs: [en-de, de-en, en-fr]", "languagePairs: [en-de, en-de]", "\"en-de\" occurs twice"),
        ("hf://ostler/whisper-v1", "s3://ostler/whisper-v1", "must be hf://"),
        ("host: 1Gi", "host: much", "\"much\" is no amount of bytes"),
        ("maxBytes: 32Mi", "maxBytes: 1Gi", "at most half of memory.host together"),
        (
            "preloadByUsage: {}",
            "preloadByUsage: {maxVersions: 0}",
            "spec.preloadByUsage.maxVersions: 0 is not",
        ),
        ("host: 1Gi", "host: 1Gi\n    evictTo: 90", "write less than memory.evictAbove"),
        ("name: video-translation", "name: 1st", "metadata.name: 1st is not allowed"),
        ("task: translation", "task: transcription", "not of the right shape"),
    ];
    for (line, replacement, expected) in table {
        let refusal = refusal(&changed(line, replacement));
        assert!(refusal.contains(expected), "{replacement:?}: {refusal}");
    }
}
