//! A ModelDeployment in somebody's own chart: Helm waits for it as for its own kinds.

use std::time::Duration;

use ostler_e2e::command::CommandError;
use serde_json::Value;

use crate::world::{Space, translator};

/// Installs a chart that holds just this object, and waits.
fn install(space: &Space<'_>, manifest: &Value, limit: Duration) -> Result<String, CommandError> {
    let chart = tempfile::tempdir().unwrap();
    std::fs::create_dir(chart.path().join("templates")).unwrap();
    std::fs::write(chart.path().join("Chart.yaml"), "apiVersion: v2\nname: pipeline\nversion: 0.1.0\n")
        .unwrap();
    std::fs::write(chart.path().join("templates/models.yaml"), manifest.to_string()).unwrap();
    let (folder, limit) = (chart.path().to_string_lossy(), format!("--timeout={}s", limit.as_secs()));
    space.world.access.helm(&["install", "pipeline", &folder, "--namespace", &space.name, "--wait", &limit])
}

pub(crate) fn helm_waits_until_the_models_are_loaded(space: &Space<'_>) {
    install(space, &translator("words", 2), Duration::from_secs(120)).unwrap();
    let status = space.get(&["mdep", "words"])["status"].clone();
    let ready = status["conditions"].as_array().unwrap().iter().find(|one| one["type"] == "Ready").unwrap();
    assert_eq!(ready["status"], "True", "Helm returned too early: {status}");
    assert_eq!(status["readyReplicas"], 2);
    space.world.access.helm(&["uninstall", "pipeline", "--namespace", &space.name, "--wait"]).unwrap();
}

pub(crate) fn helm_fails_for_a_missing_model(space: &Space<'_>) {
    let mut manifest = translator("words", 1);
    manifest["spec"]["models"][0]["versions"][0]["storageUri"] = "hf://ostler/no-such-model".into();
    let error = install(space, &manifest, Duration::from_secs(20)).unwrap_err();
    let status = space.get(&["mdep", "words"])["status"].clone();
    let text = status.to_string();
    assert!(text.contains("no-such-model"), "the status names what is missing: {text} (Helm said {error})");
    space.world.access.helm(&["uninstall", "pipeline", "--namespace", &space.name]).unwrap();
}
