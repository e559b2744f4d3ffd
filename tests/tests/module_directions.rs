//! Holds the code to its three ideas: decisions are pure, imports go one way, and nothing goes in circles.
//!
//! It reads sources as text. A test module (`tests.rs`, or what follows `#[cfg(test)]`) may do as it likes.
#![expect(clippy::unwrap_used, reason = "functions that only tests call may fail like the tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The crates, and their modules that decide: each with its folder of children, if it has one.
const PURE: [(&str, &[&str]); 9] = [
    (
        "crds/src",
        &[
            "names",
            "serving_plan",
            "status",
            "model_deployment",
            "model_replica",
            "definitions",
            "checked",
            "quantity",
        ],
    ),
    (
        "operator/src",
        &[
            "validate",
            "validated",
            "pins",
            "weights",
            "desired",
            "resources",
            "status",
            "observed",
            "reported",
        ],
    ),
    ("sidecar/src", &["routing", "residency", "target", "prediction"]),
    ("sidecar/src/result_cache", &["question", "size", "store"]),
    (
        "sidecar/src/http",
        &[
            "embeddings_form",
            "excerpt",
            "fields",
            "language_choice",
            "model_choice",
            "provenance",
            "score_form",
            "speech_form",
            "subtitles",
            "transcript_body",
            "transcript_events",
            "translate_form",
        ],
    ),
    (
        "sidecar/hub/src",
        &["address", "file_path", "head", "rate", "redirect", "repository_revision", "retry_after"],
    ),
    ("sidecar/artifacts/src", &["blob", "collection", "layout", "plan", "retry"]),
    ("sidecar/inference/src", &["engine", "generate", "text", "languages"]),
    (
        "sidecar/inference/bench/src",
        &[
            "agreement",
            "args",
            "contender",
            "document",
            "floor",
            "machine",
            "protocol",
            "report",
            "rows",
            "shapes",
            "statistics",
            "verdict",
        ],
    ),
];

/// What a decision may not touch: clocks, files, the environment, chance, the network, logs, an async runtime.
/// An address is a value; a socket is not.
const FORBIDDEN: [&str; 16] = [
    "tokio::",
    "async fn",
    "async move",
    "async |",
    "std::fs",
    "std::env",
    "TcpStream",
    "UdpSocket",
    "ToSocketAddrs",
    "SystemTime::now",
    "Instant::now",
    "Timestamp::now",
    "rand::rng",
    "tracing::",
    "kube::Client",
    "reqwest",
];

/// Every crate whose modules must not import each other in a circle.
const CRATES: [&str; 12] = [
    "crds/src",
    "operator/src",
    "sidecar/src",
    "sidecar/hub/src",
    "sidecar/artifacts/src",
    "sidecar/inference/kernels/src",
    "sidecar/inference/src",
    "sidecar/inference/bench/src",
    "e2e/src",
    "e2e/hub/src",
    "tests/src",
    "tests/fuzz/src",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every source file below a folder with its code: no tests, no comments.
fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let is_tests = path.file_name().is_some_and(|name| name == "tests");
            if !is_tests {
                found.extend(sources(&path));
            }
            continue;
        }
        let is_rust = path.extension().is_some_and(|extension| extension == "rs");
        let is_for_tests = path.file_stem().is_some_and(|stem| stem == "tests" || stem == "fixtures");
        if is_rust && !is_for_tests {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
            found.push((path, lines.collect::<Vec<_>>().join("\n")));
        }
    }
    found
}

/// The top-level module of a crate that a file belongs to: `residency` for `residency/budget.rs`.
fn module_of(source_folder: &Path, file: &Path) -> String {
    let relative = file.strip_prefix(source_folder).unwrap();
    let first = relative.components().next().unwrap().as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// The top-level modules of its own crate that a piece of code names after `crate::`.
fn imports(code: &str, modules: &BTreeSet<String>) -> BTreeSet<String> {
    let is_part_of_a_name = |character: char| character.is_alphanumeric() || character == '_';
    let mut found = BTreeSet::new();
    for (start, _) in code.match_indices("crate::") {
        // `ostler_crate::` would be another crate's name.
        if code[..start].ends_with(is_part_of_a_name) {
            continue;
        }
        let rest = &code[start + "crate::".len()..];
        // Either one path, or a braced list of paths whose first segments count.
        let firsts: Vec<&str> = match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or_default().split(',').map(str::trim).collect(),
            None => vec![rest],
        };
        for first in firsts {
            let name: String = first.chars().take_while(|character| is_part_of_a_name(*character)).collect();
            if modules.contains(&name) {
                found.insert(name);
            }
        }
    }
    found
}

#[test]
fn decisions_touch_no_clock_file_network_log_or_chance() {
    let mut faults = Vec::new();
    let mut checked = 0;
    for (crate_folder, modules) in PURE {
        let folder = root().join(crate_folder);
        for (file, code) in sources(&folder) {
            if !modules.contains(&module_of(&folder, &file).as_str()) {
                continue;
            }
            checked += 1;
            for word in FORBIDDEN {
                if code.contains(word) {
                    faults.push(format!("{} uses {word}", file.display()));
                }
            }
        }
        for module in modules {
            let exists = folder.join(format!("{module}.rs")).exists() || folder.join(module).exists();
            assert!(exists, "{crate_folder} has no module {module}: take it from the list");
        }
    }
    assert!(checked > 20, "only {checked} files were found");
    assert!(faults.is_empty(), "decisions must be pure:\n{}", faults.join("\n"));
}

#[test]
fn no_modules_of_a_crate_import_each_other_in_a_circle() {
    for crate_folder in CRATES {
        let folder = root().join(crate_folder);
        let files = sources(&folder);
        let modules: BTreeSet<String> = files.iter().map(|(file, _)| module_of(&folder, file)).collect();
        let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (file, code) in &files {
            let from = module_of(&folder, file);
            let to = imports(code, &modules).into_iter().filter(|to| *to != from);
            edges.entry(from.clone()).or_default().extend(to);
        }
        // Take away whatever imports nothing that is left, until nothing is left: what remains goes in circles.
        loop {
            let leaves: Vec<String> =
                edges.iter().filter(|(_, to)| to.is_empty()).map(|(from, _)| from.clone()).collect();
            if leaves.is_empty() {
                break;
            }
            for leaf in &leaves {
                edges.remove(leaf);
                edges.values_mut().for_each(|to| {
                    to.remove(leaf);
                });
            }
        }
        assert!(edges.is_empty(), "modules of {crate_folder} import each other in a circle: {edges:?}");
    }
}

#[test]
fn crates_depend_in_one_direction() {
    // Each crate with the crates of the project that it may depend on.
    let allowed: [(&str, &[&str]); 9] = [
        ("crds", &[]),
        ("sidecar/hub", &["ostler-crds"]),
        ("sidecar/artifacts", &["ostler-crds", "ostler-hub"]),
        ("sidecar/inference/kernels", &[]),
        ("sidecar/inference", &["ostler-crds", "ostler-kernels"]),
        ("sidecar/inference/bench", &["ostler-crds", "ostler-inference", "ostler-kernels"]),
        ("sidecar", &["ostler-crds", "ostler-hub", "ostler-artifacts", "ostler-inference"]),
        ("operator", &["ostler-crds", "ostler-hub"]),
        ("e2e/hub", &[]),
    ];
    for (folder, allowed) in allowed {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        let dependencies = manifest.split("[dependencies]").nth(1).unwrap_or_default();
        let dependencies = dependencies.split("\n[").next().unwrap_or_default();
        for line in dependencies.lines().filter(|line| line.starts_with("ostler-")) {
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
            assert!(allowed.contains(&name), "{folder} must not depend on {name}");
        }
    }
}

#[test]
fn inference_has_no_async_runtime_and_no_network() {
    let manifest = fs::read_to_string(root().join("sidecar/inference/Cargo.toml")).unwrap();
    for name in ["tokio", "reqwest", "hyper", "axum", "kube"] {
        let is_dependency = manifest.lines().any(|line| line.starts_with(name));
        assert!(!is_dependency, "sidecar/inference is pure compute and must not depend on {name}");
    }
}
