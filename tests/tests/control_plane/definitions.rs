//! The custom resource definitions as the API server sees them.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use ostler_crds::names::Task;
use ostler_tests::control_plane::ControlPlane;
use ostler_tests::fixtures::{deployment, model};
use serde_json::{Value, json};

async fn api(namespace: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("ostler.dev", "v1alpha1", "ModelDeployment");
    let client = ControlPlane::shared().await.client().await;
    Api::namespaced_with(client, namespace, &ApiResource::from_gvk_with_plural(&kind, "modeldeployments"))
}

fn valid() -> Value {
    let whisper = model("whisper", Task::AutomaticSpeechRecognition)
        .version("v1", "hf://openai/whisper-base:main")
        .weighted_version("v2", "file:///models/whisper", 10);
    let translation = model("translation", Task::Translation)
        .version("v1", "hf://Helsinki-NLP/opus-mt-{languagePair}")
        .language_pairs(&["en-de", "pt_br-en"]);
    serde_json::to_value(deployment("video").model(whisper).model(translation).build()).unwrap()
}

/// The valid object with the value at a JSON pointer replaced, added, or removed where it is null.
fn changed(pointer: &str, value: Value) -> Value {
    let mut object = valid();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match object.pointer_mut(parent).unwrap() {
        Value::Array(items) => items[key.parse::<usize>().unwrap()] = value,
        Value::Object(fields) if value.is_null() => drop(fields.remove(key)),
        Value::Object(fields) => drop(fields.insert(key.to_owned(), value)),
        _ => panic!("{pointer} has no such parent"),
    }
    object
}

fn dry_run() -> PostParams {
    PostParams { dry_run: true, ..PostParams::default() }
}

#[tokio::test]
async fn the_api_server_accepts_a_valid_object_and_fills_in_the_defaults() {
    let namespace = ControlPlane::shared().await.namespace("valid").await;
    let api = api(&namespace).await;
    let mut sparse = json!({
        "apiVersion": "ostler.dev/v1alpha1", "kind": "ModelDeployment", "metadata": { "name": "sparse" },
        "spec": {
            "models": [{
                "name": "m", "task": "translation", "resultCache": {},
                "versions": [{ "name": "v1", "storageUri": "hf://a/b" }],
            }],
            "memory": { "host": "1Gi" },
            "preloadByUsage": {},
            "gpu": null,
        },
    });
    let created =
        api.create(&PostParams::default(), &serde_json::from_value(sparse.take()).unwrap()).await.unwrap();
    let spec = &created.data["spec"];
    assert_eq!(spec["replicas"], 1);
    assert_eq!(spec["memory"], json!({ "host": "1Gi", "evictAbove": 80, "evictTo": 70 }));
    assert_eq!(spec["preloadByUsage"], json!({ "maxVersions": 2, "maxMemoryPercent": 25 }));
    assert_eq!(spec["models"][0]["load"], "Lazy");
    assert_eq!(spec["models"][0]["instances"], 1);
    let result_cache = json!({ "maxEntries": 1000, "maxBytes": "64Mi", "timeToLiveSeconds": 3600 });
    assert_eq!(spec["models"][0]["resultCache"], result_cache);
    assert_eq!(spec["models"][0]["versions"][0]["dtype"], "auto");
    assert_eq!(spec.get("gpu"), None, "a null field is a missing one");
    api.create(&dry_run(), &serde_json::from_value(valid()).unwrap()).await.unwrap();
}

#[tokio::test]
async fn every_rule_is_enforced_with_words_that_say_what_to_write() {
    let namespace = ControlPlane::shared().await.namespace("rules").await;
    let api = api(&namespace).await;
    let first = "/spec/models/0";
    let versions = |weights: &[i32]| -> Value {
        let version = |(index, weight)| json!({ "name": format!("v{}", index + 1), "storageUri": "hf://a/b", "weight": weight });
        weights.iter().enumerate().map(version).collect()
    };
    let version = |name: &str| json!({ "name": name, "storageUri": "hf://a/b" });
    let cases = [
        ("/metadata/name".to_owned(), json!("1st"), "metadata.name must be at most 52 lower-case letters"),
        (
            "/metadata/name".to_owned(),
            json!("a".repeat(53)),
            "metadata.name must be at most 52 lower-case letters",
        ),
        ("/spec/replicas".to_owned(), json!(-1), "replicas must be from 0 to 10000"),
        ("/spec/models".to_owned(), json!([]), "models must hold at least one model"),
        (format!("{first}/name"), json!("Whisper"), "name of a model must be lower-case"),
        ("/spec/models/1/name".to_owned(), json!("whisper"), "Duplicate value"),
        (format!("{first}/task"), json!("speech"), "Unsupported value"),
        (format!("{first}/instances"), json!(0), "instances must be from 1 to 64"),
        (format!("{first}/defaultVersion"), Value::Null, "defaultVersion is needed from two versions on"),
        (
            format!("{first}/defaultVersion"),
            json!("v9"),
            "defaultVersion must be the name of one of this model's versions",
        ),
        (format!("{first}/versions"), json!([]), "versions must hold at least one version"),
        (format!("{first}/versions"), json!([version("v1"), version("v1")]), "Duplicate value"),
        (format!("{first}/versions"), versions(&[0, 60, 41]), "must add up to at most 100"),
        (
            format!("{first}/versions"),
            versions(&[50, 10]),
            "weight of the default version is what the other versions leave",
        ),
        (format!("{first}/versions"), versions(&[0, 101]), "weight must be a percentage from 0 to 100"),
        (format!("{first}/versions/0/name"), json!("V1"), "name of a version must be lower-case"),
        (format!("{first}/versions/0/dtype"), json!("float8"), "Unsupported value"),
        (
            format!("{first}/versions/0/storageUri"),
            json!("s3://bucket/model"),
            "storageUri must be hf://ORGANISATION/REPOSITORY",
        ),
        (
            format!("{first}/versions/0/storageUri"),
            json!("hf://a/{language}"),
            "the only placeholder is {languagePair}",
        ),
        (format!("{first}/versions/0/storageUri"), json!("file:///a/../b"), "storageUri must not hold '..'"),
        (format!("{first}/versions/0/storageUri"), json!("hf://a/b-{languagePair}"), "needs languagePairs"),
        (
            format!("{first}/fallback"),
            json!(["v9"]),
            "fallback must hold names of this model's versions only",
        ),
        (format!("{first}/fallback"), json!(["v1", "v1"]), "Duplicate value"),
        (
            format!("{first}/languagePairs"),
            json!(["en-de"]),
            "languagePairs is for models of task translation",
        ),
        ("/spec/preloadByUsage".to_owned(), json!({ "maxVersions": 17 }), "maxVersions must be from 1 to 16"),
        (
            "/spec/preloadByUsage".to_owned(),
            json!({ "maxMemoryPercent": 0 }),
            "maxMemoryPercent must be a percentage from 1 to 100",
        ),
        (
            "/spec/models/1/longForm".to_owned(),
            json!("batched"),
            "longForm is for models of task automatic-speech-recognition",
        ),
        (format!("{first}/longForm"), json!("Batched"), "Unsupported value"),
        (format!("{first}/maxBatch"), json!(4), "are for models that read texts"),
        ("/spec/models/1/maxBatch".to_owned(), json!(257), "maxBatch must be from 1 to 256"),
        ("/spec/models/1/maxDelayMilliseconds".to_owned(), json!(-1), "must be from 0 to 1000"),
        (
            "/spec/models/1/languagePairs".to_owned(),
            json!(["german"]),
            "languagePairs must be SOURCE-TARGET each",
        ),
        ("/spec/models/1/languagePairs".to_owned(), json!(["en-de", "en-de"]), "Duplicate value"),
        ("/spec/models/1/languagePairs".to_owned(), Value::Null, "needs languagePairs"),
        ("/spec/memory".to_owned(), Value::Null, "Required value"),
        ("/spec/memory/host".to_owned(), json!("0"), "memory.host must be a quantity of bytes above 0"),
        ("/spec/memory/host".to_owned(), json!(-5), "memory.host must be a quantity of bytes above 0"),
        ("/spec/memory/host".to_owned(), json!("8 GB"), "memory.host must be a quantity of bytes above 0"),
        ("/spec/memory/evictTo".to_owned(), json!(80), "evictAbove must be greater than evictTo"),
        ("/spec/memory/limits".to_owned(), json!({ "speech": "1Gi" }), "memory.limits must name tasks"),
        ("/spec/memory/limits".to_owned(), json!({ "translation": "0" }), "memory.limits must be quantities"),
        (format!("{first}/memoryLimit"), json!("0"), "memoryLimit must be a quantity of bytes above 0"),
        (format!("{first}/idleSeconds"), json!(0), "idleSeconds must be from 1"),
        (format!("{first}/history"), json!(9), "history must be from 0 to 8"),
        (format!("{first}/resultCache"), json!({ "maxEntries": 0 }), "resultCache.maxEntries must be from 1"),
        (
            format!("{first}/resultCache"),
            json!({ "maxBytes": "0" }),
            "resultCache.maxBytes must be a quantity",
        ),
        (
            format!("{first}/resultCache"),
            json!({ "timeToLiveSeconds": 0 }),
            "resultCache.timeToLiveSeconds must be from 1",
        ),
        ("/spec/memory/evictAbove".to_owned(), json!(101), "must be percentages from 1 to 100"),
        ("/spec/gpu".to_owned(), json!({ "count": 0 }), "gpu.count must be from 1 to 16"),
        (
            "/spec/gpu".to_owned(),
            json!({ "resourceName": "gpu" }),
            "gpu.resourceName must be an extended resource",
        ),
        (
            "/spec/gpu".to_owned(),
            json!({ "productNames": ["H 200"] }),
            "gpu.productNames must be values of the node label",
        ),
        (
            "/spec/gpu".to_owned(),
            json!({ "minMemory": "0" }),
            "gpu.minMemory must be a quantity of bytes above 0",
        ),
        (
            "/spec/gpu".to_owned(),
            json!({ "minComputeCapability": "8" }),
            "gpu.minComputeCapability must be MAJOR.MINOR",
        ),
        ("/spec/cache".to_owned(), json!({}), "cache must hold exactly one of"),
        (
            "/spec/cache".to_owned(),
            json!({ "emptyDir": {}, "keepFree": 51 }),
            "cache.keepFree must be a percentage from 1 to 50",
        ),
        (
            "/spec/cache".to_owned(),
            json!({ "emptyDir": {}, "hostPath": { "path": "/a" } }),
            "cache must hold exactly one of",
        ),
        (
            "/spec/cache".to_owned(),
            json!({ "hostPath": { "path": "/a/../b" } }),
            "must be an absolute path without '..'",
        ),
        (
            "/spec/cache".to_owned(),
            json!({ "persistentVolumeClaim": { "claimName": "" } }),
            "must name a claim",
        ),
        (
            "/spec/hub".to_owned(),
            json!({ "tokenSecretRef": { "name": "", "key": "token" } }),
            "hub.tokenSecretRef must name a Secret",
        ),
        ("/spec/sidecar".to_owned(), json!({ "image": "" }), "sidecar.image must be an image reference"),
    ];
    for (pointer, value, expected) in cases {
        let object = serde_json::from_value(changed(&pointer, value.clone())).unwrap();
        let error =
            api.create(&dry_run(), &object).await.expect_err(&format!("{pointer} = {value} was accepted"));
        let kube::Error::Api(status) = error else { panic!("{error}") };
        assert!(
            status.code == 422 && status.message.contains(expected),
            "{pointer} = {value}: {}",
            status.message
        );
    }
}

#[tokio::test]
async fn lists_and_strings_beyond_their_bounds_are_refused() {
    let namespace = ControlPlane::shared().await.namespace("bounds").await;
    let api = api(&namespace).await;
    let entry = valid()["spec"]["models"][0].clone();
    let many = |count: usize, make: &dyn Fn(usize) -> Value| -> Value { (0..count).map(make).collect() };
    let named = |index: usize| {
        let mut model = entry.clone();
        model["name"] = json!(format!("m{index}"));
        model
    };
    let version = |index: usize| json!({ "name": format!("v{}", index + 1), "storageUri": "hf://a/b" });
    let pair = |index: usize| json!(format!("en-{index:02}"));
    let bounds = [
        ("/spec/models", many(32, &named), many(33, &named)),
        ("/spec/models/0/versions", many(8, &version), many(9, &version)),
        ("/spec/models/1/languagePairs", many(64, &pair), many(65, &pair)),
        ("/spec/models/0/name", json!("n".repeat(63)), json!("n".repeat(64))),
    ];
    for (pointer, accepted, refused) in bounds {
        api.create(&dry_run(), &serde_json::from_value(changed(pointer, accepted)).unwrap()).await.unwrap();
        let refused = serde_json::from_value(changed(pointer, refused)).unwrap();
        let error = api.create(&dry_run(), &refused).await.expect_err(pointer).to_string();
        assert!(error.contains("Too many") || error.contains("Too long"), "{pointer}: {error}");
    }
}

#[tokio::test]
async fn a_task_cannot_change_under_its_name() {
    let namespace = ControlPlane::shared().await.namespace("task").await;
    let api = api(&namespace).await;
    api.create(&PostParams::default(), &serde_json::from_value(valid()).unwrap()).await.unwrap();
    let patch = changed("/spec/models/0/task", json!("text-classification"));
    let parameters = PatchParams::default();
    let error = api.patch("video", &parameters, &Patch::Merge(&patch)).await.unwrap_err().to_string();
    assert!(
        error.contains("task cannot change under a model's name: add the new task as a model"),
        "{error}"
    );
    let mut reordered = valid();
    reordered["spec"]["models"].as_array_mut().unwrap().reverse();
    api.patch("video", &parameters, &Patch::Merge(&reordered)).await.unwrap();
}

#[tokio::test]
async fn client_side_apply_of_the_committed_files_works_and_explain_reads_well() {
    let control_plane = ControlPlane::shared().await;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../crds/generated");
    // Twice: the second time compares with the annotation that the first time wrote.
    for _ in 0..2 {
        let applied = control_plane.run("kubectl", &["apply", "-f", folder]).await;
        assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    }
    let api: Api<CustomResourceDefinition> = Api::all(control_plane.client().await);
    let definition = api.get("modeldeployments.ostler.dev").await.unwrap();
    let annotations = definition.metadata.annotations.unwrap();
    assert!(annotations["kubectl.kubernetes.io/last-applied-configuration"].len() < 262_144);

    let explained = control_plane.run("kubectl", &["explain", "mdep.spec.models.versions"]).await;
    let text = String::from_utf8_lossy(&explained.stdout);
    for words in ["pinned to the commit", "storageUri", "hf://ORGANISATION/REPOSITORY", "-required-"] {
        assert!(text.contains(words), "{words} is missing in {text}");
    }
}

#[tokio::test]
async fn kubectl_lists_and_scales_by_the_short_name() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("columns").await;
    let api = api(&namespace).await;
    api.create(&PostParams::default(), &serde_json::from_value(valid()).unwrap()).await.unwrap();
    let status = json!({ "status": {
        "loaded": "2/3", "progressPercent": 66, "versions": "whisper=v1:90,v2:10",
        "conditions": [{
            "type": "Ready", "status": "False", "reason": "Loading", "message": "m", "observedGeneration": 1,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }],
    }});
    api.patch_status("video", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    let listed = control_plane.run("kubectl", &["-n", &namespace, "get", "mdep"]).await;
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["NAME", "READY", "LOADED", "PROGRESS", "VERSIONS", "AGE"], "{text}");
    assert_eq!(lines[1][..5], ["video", "False", "2/3", "66", "whisper=v1:90,v2:10"], "{text}");

    let scaled =
        control_plane.run("kubectl", &["-n", &namespace, "scale", "mdep/video", "--replicas=3"]).await;
    assert!(scaled.status.success(), "{}", String::from_utf8_lossy(&scaled.stderr));
    assert_eq!(api.get("video").await.unwrap().data["spec"]["replicas"], 3);
}

#[tokio::test]
async fn two_appliers_each_keep_the_model_that_they_applied() {
    let namespace = ControlPlane::shared().await.namespace("appliers").await;
    let api = api(&namespace).await;
    let all = valid();
    let with = |index: usize| {
        let mut object = all.clone();
        object["spec"] = json!({ "models": [all["spec"]["models"][index]], "memory": all["spec"]["memory"] });
        object
    };
    for (manager, index) in [("speech-team", 0), ("text-team", 1)] {
        api.patch("video", &PatchParams::apply(manager), &Patch::Apply(with(index))).await.unwrap();
    }
    let names = |object: &DynamicObject| -> Vec<Value> {
        object.data["spec"]["models"].as_array().unwrap().iter().map(|model| model["name"].clone()).collect()
    };
    assert_eq!(names(&api.get("video").await.unwrap()), ["whisper", "translation"]);

    // One takes its model back; the other's stays.
    let mut none = with(1);
    none["spec"]["models"] = json!([]);
    let left = api.patch("video", &PatchParams::apply("text-team"), &Patch::Apply(none)).await.unwrap();
    assert_eq!(names(&left), ["whisper"]);
}

#[tokio::test]
async fn every_example_is_accepted() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("examples").await;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let examples: Vec<_> = files.filter(|path| path.extension().is_some_and(|it| it == "yaml")).collect();
    assert!(!examples.is_empty());
    for example in examples {
        let example = example.display().to_string();
        let arguments = ["-n", &namespace, "apply", "--dry-run=server", "-f", &example];
        let applied = control_plane.run("kubectl", &arguments).await;
        assert!(applied.status.success(), "{example}: {}", String::from_utf8_lossy(&applied.stderr));
    }
}
