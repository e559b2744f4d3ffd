//! The Helm chart as rendered: complete, least in what it allows, and deaf to values that it does not know.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ostler_e2e::binaries;
use ostler_e2e::command::{CommandError, output};
use serde::Deserialize as _;
use serde_json::{Value, json};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn helm(arguments: &[&str]) -> Result<String, CommandError> {
    output(binaries::ensure()?.join("helm"), arguments)
}

fn template(settings: &[&str]) -> Result<Vec<Value>, CommandError> {
    let chart = format!("{ROOT}/charts/ostler");
    let mut arguments = vec!["template", "ostler", &chart, "--namespace", "ostler-system"];
    for setting in settings {
        arguments.extend(["--set-json", setting]);
    }
    let text = helm(&arguments)?;
    let documents = serde_yaml_ng::Deserializer::from_str(&text);
    Ok(documents
        .map(|document| Value::deserialize(document).unwrap())
        .filter(|value| !value.is_null())
        .collect())
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

fn strings(value: &Value) -> BTreeSet<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[test]
fn the_chart_lints_clean() {
    let report = helm(&["lint", "--strict", &format!("{ROOT}/charts/ostler")]).unwrap();
    assert!(!report.contains("[WARNING]") && !report.contains("[ERROR]"), "{report}");
}

#[test]
fn the_definitions_are_those_that_the_types_generate() {
    let mut names = BTreeSet::new();
    for file in Path::new(ROOT).join("crds/generated").read_dir().unwrap() {
        let file = file.unwrap().path();
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let copy =
            std::fs::read_to_string(format!("{ROOT}/charts/ostler/files/crds/{name}")).unwrap_or_default();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), copy, "run `make crds`: {name} has changed");
        names.insert(name);
    }
    assert_eq!(names.len(), 2);
}

#[test]
fn the_definitions_are_installed_unchanged_but_for_the_policy_that_keeps_them() {
    let objects = template(&[]).unwrap();
    let mut definitions: BTreeMap<String, Value> = BTreeMap::new();
    for definition in of_kind(&objects, "CustomResourceDefinition") {
        let mut definition = definition.clone();
        let metadata = definition["metadata"].as_object_mut().unwrap();
        assert_eq!(metadata.remove("annotations").unwrap(), json!({"helm.sh/resource-policy": "keep"}));
        let plural = definition["spec"]["names"]["plural"].as_str().unwrap().to_owned();
        definitions.insert(plural, definition);
    }
    assert_eq!(definitions.len(), 2);
    for (plural, definition) in definitions {
        let text =
            std::fs::read_to_string(format!("{ROOT}/crds/generated/ostler.dev_{plural}.yaml")).unwrap();
        assert_eq!(serde_yaml_ng::from_str::<Value>(&text).unwrap(), definition);
    }
    let without = template(&["crds.install=false"]).unwrap();
    assert!(of_kind(&without, "CustomResourceDefinition").is_empty());
}

#[test]
fn the_operator_meets_the_restricted_standard() {
    let objects = template(&[]).unwrap();
    let deployment = of_kind(&objects, "Deployment")[0];
    assert_eq!(deployment["spec"]["replicas"], 2);
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    for container in pod["containers"].as_array().unwrap() {
        let context = &container["securityContext"];
        assert_eq!(context["allowPrivilegeEscalation"], false);
        assert_eq!(context["readOnlyRootFilesystem"], true);
        assert_eq!(context["capabilities"]["drop"], json!(["ALL"]));
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            assert!(container[probe].is_object(), "{probe} is missing");
        }
    }
}

#[test]
fn nothing_reads_secrets_or_hands_out_another_role() {
    let objects = template(&[]).unwrap();
    let roles = of_kind(&objects, "ClusterRole").into_iter().chain(of_kind(&objects, "Role"));
    for rule in roles.flat_map(|role| role["rules"].as_array().unwrap()) {
        let (resources, verbs) = (strings(&rule["resources"]), strings(&rule["verbs"]));
        assert!(!resources.contains("secrets") && !resources.contains("*"), "{rule}");
        assert!(
            !verbs.contains("*") && !verbs.contains("escalate") && !verbs.contains("impersonate"),
            "{rule}"
        );
        if verbs.contains("bind") {
            assert_eq!(rule["resourceNames"], json!(["ostler-sidecar"]));
        }
    }
}

#[test]
fn a_sidecar_may_read_plans_and_write_reports_and_no_more() {
    let objects = template(&[]).unwrap();
    let roles = of_kind(&objects, "ClusterRole");
    let role = roles.iter().find(|role| role["metadata"]["name"] == "ostler-sidecar").unwrap();
    let rules: BTreeMap<String, BTreeSet<&str>> = role["rules"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|rule| {
            strings(&rule["resources"]).into_iter().map(|name| (name.to_owned(), strings(&rule["verbs"])))
        })
        .collect();
    let expected = [
        ("configmaps", vec!["get", "list", "watch"]),
        ("modelreplicas", vec!["create", "get", "patch", "update"]),
        ("modelreplicas/status", vec!["get", "patch", "update"]),
    ];
    let expected: BTreeMap<_, _> =
        expected.into_iter().map(|(name, verbs)| (name.to_owned(), verbs.into_iter().collect())).collect();
    assert_eq!(rules, expected);
}

#[test]
fn settings_reach_the_operator() {
    let settings = [
        r#"hub.endpoint="http://hub.models:8080""#,
        r#"sidecar.image={"repository": "localhost/sidecar", "tag": "7"}"#,
        r#"sidecar.hostPathPrefix="/var/cache/models""#,
        "sidecar.allowPickle=false",
        r#"hub.redirectHosts=["*.hf.co"]"#,
        r#"hub.tokenSecret.name="hub""#,
        r#"networkPolicy.sidecarNamespaces=["models"]"#,
    ];
    let objects = template(&settings).unwrap();
    let container = &of_kind(&objects, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0];
    let arguments = strings(&container["args"]);
    for expected in [
        "--hub-endpoint=http://hub.models:8080",
        "--sidecar-image=localhost/sidecar:7",
        "--host-path-prefix=/var/cache/models",
        "--hub-redirect-host=*.hf.co",
        "--hub-token-file=/etc/ostler/hub-token/token",
        "--allow-pickle=false",
    ] {
        assert!(arguments.contains(expected), "{arguments:?} lacks {expected}");
    }
    let volumes = &of_kind(&objects, "Deployment")[0]["spec"]["template"]["spec"]["volumes"];
    assert_eq!(volumes[0]["secret"]["secretName"], "hub");
    let policies = of_kind(&objects, "NetworkPolicy");
    assert!(policies.iter().any(|policy| policy["metadata"]["namespace"] == "models"));
}

#[test]
fn bad_values_are_refused_by_name() {
    for (setting, word) in [
        ("operator.replicas=0", "replicas"),
        (r#"operator.replicas="two""#, "replicas"),
        ("operator.replica=2", "replica"),
        ("unknown=true", "unknown"),
        (r#"hub.endpoint="huggingface.co""#, "endpoint"),
        (r#"hub.endpoint="https://user@host""#, "endpoint"),
        (r#"sidecar.hostPathPrefix="relative/folder""#, "hostPathPrefix"),
        (r#"sidecar.image.tag="a b""#, "tag"),
        (r#"sidecar.allowPickle="yes""#, "allowPickle"),
        (r#"operator.image.pullPolicy="Sometimes""#, "pullPolicy"),
        (r#"operator.nodeSelector={"gpu": true}"#, "nodeSelector"),
        (r#"networkPolicy.sidecarNamespaces=["a", "a"]"#, "sidecarNamespaces"),
    ] {
        let error = template(&[setting]).expect_err(setting).to_string();
        assert!(error.contains(word), "{setting}: {error}");
    }
}
