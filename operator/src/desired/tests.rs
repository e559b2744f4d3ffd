use ostler_crds::names::LongForm;
use ostler_crds::serving_plan::{PlannedPreloadByUsage, ServingPlan};
use serde_json::{Value, json};

use super::*;
use crate::fixtures::{ModelBuilder, deployment, model, pinned, plan, settings};

const KNOWN: [(&str, char); 1] = [("a/b:main", '1')];

fn whisper() -> ModelBuilder {
    model("whisper").version("v1", "hf://a/b")
}

fn built(deployment: &ValidatedDeployment) -> Resources<Prepared> {
    let pins = pinned(deployment, None, &KNOWN);
    build(deployment, &plan(deployment, &KNOWN).to_json().unwrap(), &pins, &settings())
}

fn manifests(deployment: &ValidatedDeployment) -> Vec<Value> {
    built(deployment).into_ordered().into_iter().map(|prepared| prepared.manifest).collect()
}

fn pod_spec(deployment: &ValidatedDeployment) -> Value {
    built(deployment).deployment.manifest["spec"]["template"]["spec"].clone()
}

#[test]
fn the_simplest_deployment() {
    insta::assert_yaml_snapshot!(manifests(&deployment().model(whisper()).validated()));
}

#[test]
fn a_deployment_with_everything() {
    let template = json!({
        "metadata": {"labels": {"team": "video", "ostler.dev/deployment": "mine"}, "annotations": {"note": "hello"}},
        "spec": {
            "serviceAccountName": "pipeline",
            "securityContext": {"fsGroup": 1000},
            "containers": [
                {"name": "app", "image": "app:1"},
                {"name": "ostler-sidecar", "env": [{"name": "RUST_LOG", "value": "debug"}],
                 "volumeMounts": [{"name": "models", "mountPath": "/models"}]},
            ],
            "initContainers": [{"name": "prepare", "image": "prepare:1"}],
            "volumes": [{"name": "models", "emptyDir": {}}],
            "tolerations": [{"key": "spot", "operator": "Exists"}],
        },
    });
    let everything = deployment()
        .model(whisper())
        .spec("gpu", json!({
            "count": 2, "productNames": ["NVIDIA-H200"], "minMemory": "16Gi", "minComputeCapability": "8.6",
        }))
        .spec("cache", json!({"persistentVolumeClaim": {"claimName": "models"}}))
        .spec("hub", json!({"tokenSecretRef": {"name": "hf", "key": "token"}}))
        .spec("sidecar", json!({
            "image": "mirror/sidecar:2",
            "resources": {"requests": {"cpu": "2"}, "limits": {"memory": "4Gi"}},
            "env": [{"name": "HTTPS_PROXY", "value": "http://proxy"}, {"name": "POD_UID", "value": "forged"}],
        }))
        .spec("template", template)
        .validated();
    let resources = built(&everything);
    assert!(resources.account.is_none());
    insta::assert_yaml_snapshot!([&resources.role_binding.manifest, &resources.deployment.manifest]);
}

#[test]
fn models_versions_and_weights_leave_the_pod_template_alone() {
    let before = deployment().model(whisper().version("v2", "hf://a/b")).validated();
    let after = deployment()
        .model(whisper().weighted("v2", "hf://a/b", 50))
        .model(model("more").version("v1", "hf://a/b"));
    let (before, after) = (built(&before), built(&after.validated()));
    assert_eq!(before.deployment, after.deployment);
    assert_ne!(before.plan, after.plan);
}

#[test]
fn what_needs_a_new_pod_changes_the_pod_template() {
    let plain = || deployment().model(whisper());
    let changes = [
        plain().spec("memory", json!({"host": "2Gi"})),
        plain().spec("memory", json!({"host": "1Gi", "evictAbove": 90})),
        plain().spec("sidecar", json!({"image": "other"})),
        plain().spec("gpu", json!({})),
        plain().spec("template", json!({"metadata": {"annotations": {"restart": "now"}}})),
    ];
    let hash = built(&plain().validated()).deployment.hash;
    for change in changes {
        assert_ne!(built(&change.validated()).deployment.hash, hash);
    }
}

#[test]
fn no_container_but_the_sidecar_can_reach_a_token() {
    let template = json!({"spec": {
        "automountServiceAccountToken": true,
        "containers": [{"name": "app", "image": "app:1"}],
    }});
    let spec = deployment()
        .model(whisper())
        .spec("hub", json!({"tokenSecretRef": {"name": "hf", "key": "token"}}))
        .spec("template", template);
    let pod = pod_spec(&spec.validated());
    assert_eq!(pod["automountServiceAccountToken"], json!(false));
    assert_eq!(pod["containers"], json!([{"name": "app", "image": "app:1"}]));
    let mounts = pod["initContainers"][0]["volumeMounts"].to_string();
    assert!(mounts.contains("ostler-api-token") && mounts.contains("ostler-hub-token"), "{mounts}");
    assert_eq!(pod["initContainers"][0]["restartPolicy"], json!("Always"));
}

#[test]
fn a_template_without_containers_leaves_the_sidecar_alone_in_the_pod() {
    let template = json!({"spec": {"containers": [], "nodeSelector": {"disk": "fast"}}});
    let pod = pod_spec(&deployment().model(whisper()).spec("template", template).validated());
    assert_eq!(pod["containers"].as_array().map(Vec::len), Some(1));
    assert_eq!(pod["containers"][0].get("restartPolicy"), None);
    assert_eq!(pod.get("initContainers"), None);
    assert_eq!(pod["nodeSelector"], json!({"disk": "fast"}));
}

#[test]
fn an_accelerator_becomes_affinity() {
    let terms = |gpu: Value, template: Value| {
        let spec = deployment().model(whisper()).spec("gpu", gpu).spec("template", template).validated();
        let required =
            "/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
        pod_spec(&spec).pointer(required).cloned().unwrap_or_default()
    };
    let gt = |key: &str, value: &str| json!({"key": key, "operator": "Gt", "values": [value]});
    let (major, minor) = ("nvidia.com/gpu.compute.major", "nvidia.com/gpu.compute.minor");
    assert_eq!(terms(json!({}), Value::Null), Value::Null);
    assert_eq!(
        terms(json!({"minMemory": "16Gi"}), Value::Null),
        json!([{"matchExpressions": [gt("nvidia.com/gpu.memory", "16383")]}])
    );
    assert_eq!(
        terms(json!({"minComputeCapability": "8.0"}), Value::Null),
        json!([{"matchExpressions": [gt(major, "7")]}])
    );
    let same = json!({"key": major, "operator": "In", "values": ["8"]});
    let of_8_6 = [json!([gt(major, "8")]), json!([same, gt(minor, "5")])];
    assert_eq!(
        terms(json!({"minComputeCapability": "8.6"}), Value::Null),
        json!([{"matchExpressions": of_8_6[0]}, {"matchExpressions": of_8_6[1]}])
    );
    // Each alternative of the template is joined with each of ours.
    let zone = |zone: &str| json!({"key": "zone", "operator": "In", "values": [zone]});
    let theirs = json!({"spec": {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{"matchExpressions": [zone("a")]}, {"matchExpressions": [zone("b")]}],
    }}}}});
    let joined = terms(json!({"minComputeCapability": "8.6"}), theirs);
    assert_eq!(joined.as_array().map(Vec::len), Some(4));
    assert_eq!(joined[3]["matchExpressions"], json!([zone("b"), same, gt(minor, "5")]));
}

#[test]
fn a_slice_of_a_card_tolerates_the_cards_taint() {
    let spec = deployment().model(whisper()).spec("gpu", json!({"resourceName": "nvidia.com/mig-1g.10gb"}));
    let pod = pod_spec(&spec.validated());
    let keys: Vec<&Value> = pod["tolerations"].as_array().unwrap().iter().map(|one| &one["key"]).collect();
    assert_eq!(keys, ["nvidia.com/mig-1g.10gb", "nvidia.com/gpu"]);
    assert_eq!(pod["containers"][0]["resources"]["limits"]["nvidia.com/mig-1g.10gb"], json!("1"));
}

#[test]
fn a_plan_keeps_its_generation_where_no_sidecar_is_concerned() {
    let spec = deployment().model(whisper()).validated();
    let current = ServingPlan { generation: 1, ..plan(&spec, &KNOWN) };
    assert_eq!(with_generation(plan(&spec, &KNOWN), Some(&current)), current);
    let more = deployment().model(whisper().version("v2", "hf://a/b")).validated();
    assert_eq!(with_generation(plan(&more, &KNOWN), Some(&current)).generation, 3);
    assert_eq!(with_generation(plan(&more, &KNOWN), None).generation, 3);
}

#[test]
fn the_plan_says_how_long_speech_is_worked_on() {
    let long_form =
        |model: ModelBuilder| plan(&deployment().model(model).validated(), &KNOWN).models[0].long_form;
    let batched = whisper().set("longForm", json!("batched"));
    assert_eq!((long_form(whisper()), long_form(batched)), (None, Some(LongForm::Batched)));
}

#[test]
fn the_plan_says_what_is_loaded_ahead_and_no_pod_is_new_for_it() {
    let asking = |fields: Value| deployment().model(whisper()).spec("preloadByUsage", fields).validated();
    let (off, on) = (deployment().model(whisper()).validated(), asking(json!({"maxVersions": 3})));
    assert_eq!(plan(&off, &KNOWN).preload_by_usage, None);
    let expected = PlannedPreloadByUsage { max_versions: 3, max_memory_percent: 25 };
    assert_eq!(plan(&on, &KNOWN).preload_by_usage, Some(expected));
    assert_eq!(built(&off).deployment.manifest, built(&on).deployment.manifest);
}

#[test]
fn the_plans_config_map_remembers_the_repin() {
    let spec = deployment().repin("monday").model(whisper()).validated();
    let mut pins = pinned(&spec, None, &KNOWN);
    pins.repin_pending = vec!["whisper@v1".to_owned()];
    let manifest = build(&spec, "{}", &pins, &settings()).plan.manifest;
    assert_eq!(manifest["metadata"]["annotations"]["ostler.dev/observed-repin"], json!("monday"));
    assert_eq!(manifest["data"]["repin-pending.json"], json!("[\"whisper@v1\"]"));
}
