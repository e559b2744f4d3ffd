//! Models that do not fit: into the budget, into what the system really has, and what comes back when they go.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ostler_test_hub::models;
use reqwest::StatusCode;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};

use crate::cgroup::Cgroup;
use crate::log::lines;
use crate::process::{Sidecar, footprint, header, model, room_for_halves, shipped, translator};

const MEGABYTE: u64 = 1 << 20;

/// How soon a fallback must answer.
const FALLBACK: Duration = Duration::from_secs(5);

/// Row 22: what a model takes is known from its header, so that one over the budget is refused before a weight of it is
/// in memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_22_a_model_over_the_budget_is_refused_from_its_header() {
    let folder = tempfile::tempdir().unwrap();
    let large = models::write(&folder.path().join("large"), 8).unwrap();
    let weights = std::fs::metadata(large.join("model.safetensors")).unwrap().len();
    assert!(weights > 100 * MEGABYTE);
    let served = vec![model("large", "translation", &large, json!({}))];
    let sidecar = Sidecar::start(folder.path(), served, "48M").await;
    let before = sidecar.memory().peak;
    let answer = sidecar.translate("large", "one").await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(!header(&answer, "retry-after").is_empty());
    let text = answer.text().await.unwrap();
    assert!(text.contains("memory.host"), "{text}");
    let version = sidecar.version("large").await;
    assert_eq!(version["state"], "FailedToLoad", "{version}");
    let failure = &version["lastFailure"];
    assert_eq!((&failure["location"], &failure["reason"]), (&json!("Memory"), &json!("TooLarge")));
    assert_eq!(sidecar.metric("ostler_version_failure", "reason=\"TooLarge\"").await, 1.0);
    assert!(lines(&sidecar, "loading").is_empty());
    let grown = sidecar.memory().peak - before;
    assert!(grown < weights / 4, "{grown} bytes were taken for a refusal");
}

/// A model whose chosen version is in the folder, with the shipped one to fall back to.
fn with_fallback(large: &Path, fields: Value) -> Value {
    let uri = |folder: &Path| format!("file://{}", folder.display());
    let small = shipped("opus-mt-en-de");
    let mut fields = fields;
    fields["defaultVersion"] = json!("large");
    fields["fallback"] = json!(["small"]);
    fields["versions"] = json!([
        {"name": "small", "storageUri": uri(&small)},
        {"name": "large", "storageUri": uri(large), "dtype": "float32"},
    ]);
    model("translation", "translation", large, fields)
}

/// Asks for the version that cannot be loaded: the fallback answers soon, and says why.
async fn assert_fallback(sidecar: &mut Sidecar, reason: &str) {
    let started = Instant::now();
    let answer = sidecar.translate("translation", "hello model seven").await;
    let elapsed = started.elapsed();
    assert_eq!(answer.status(), StatusCode::OK, "{}", sidecar.log_text());
    assert_eq!(header(&answer, "x-ostler-version"), "small");
    let why = header(&answer, "x-ostler-fallback");
    assert!(why.starts_with("large;") && why.contains(&format!("reason={reason}")), "{why}");
    assert!(elapsed < FALLBACK, "the fallback took {elapsed:?}");
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["translatedText"], "hallo modell sieben");
    assert!(sidecar.is_alive());
    assert_eq!(sidecar.status("/healthz").await.0, StatusCode::OK);
}

/// A cgroup, or nothing, said loudly, where this machine lets nobody make one.
fn cgroup(limit_bytes: u64) -> Option<Cgroup> {
    match Cgroup::new(limit_bytes) {
        Ok(cgroup) => Some(cgroup),
        Err(error) => {
            println!(
                "\n*** NOT SHOWN HERE: no cgroup with a limit of memory can be made ({error}); run as root. \
                 What a limit of the process's own does is shown beside it. ***\n"
            );
            None
        }
    }
}

/// What a process that has loaded nothing takes, and what is always left free, generously.
const REST: u64 = 160 * MEGABYTE;

/// Row 23: a load that the cgroup has no room for, whatever the budget says, is refused before it begins. Nobody is
/// killed, and the fallback answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_23_a_load_that_the_cgroup_has_no_room_for_is_refused_and_the_fallback_answers() {
    let limit = footprint(&shipped("opus-mt-en-de")).peak() + REST;
    let Some(cgroup) = cgroup(limit) else { return };
    let folder = tempfile::tempdir().unwrap();
    let large = models::write(&folder.path().join("large"), 16).unwrap();
    assert!(footprint(&large).resident_bytes > limit, "the weights alone are over the limit of {limit}");
    let served = vec![with_fallback(&large, json!({}))];
    let mut sidecar = Sidecar::start_in(Some(&cgroup), folder.path(), served, "16Gi").await;
    let warm = sidecar.translate("translation@small", "stop").await;
    assert_eq!(warm.status(), StatusCode::OK, "{}", sidecar.log_text());
    assert_fallback(&mut sidecar, "NotEnoughFree").await;
    assert!(lines(&sidecar, "loading").iter().all(|(_, version)| version.ends_with("@small")));
    assert_eq!(cgroup.kills(), 0);
}

/// Row 23, of loads at once: each of them has room alone, and the second waits until there is room for it too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_23_loads_that_only_fit_alone_are_not_begun_together() {
    let folder = tempfile::tempdir().unwrap();
    // Half of it is more than what the rest is too generous by.
    let large = models::write(&folder.path().join("large"), 24).unwrap();
    let limit = room_for_halves(3, footprint(&large)) + REST;
    let Some(cgroup) = cgroup(limit) else { return };
    let served = ["a", "b"].map(|name| translator(name, &large, json!({}))).to_vec();
    let mut sidecar = Sidecar::start_in(Some(&cgroup), folder.path(), served, "16Gi").await;
    sidecar
        .until("memory is measured", async |it| it.metric("ostler_memory_limit_bytes", "").await > 0.0)
        .await;
    let (a, b) = tokio::join!(sidecar.translate("a", "stop"), sidecar.translate("b", "stop"));
    let statuses = [a.status(), b.status()];
    assert!(statuses.contains(&StatusCode::OK), "{statuses:?}\n{}", sidecar.log_text());
    let is_declared = |status: &StatusCode| [200, 503].contains(&status.as_u16());
    assert!(statuses.iter().all(is_declared), "{statuses:?}");
    assert!(sidecar.is_alive());
    assert_eq!(cgroup.kills(), 0, "{}", sidecar.log_text());
    // Whoever came second has begun when the first had left.
    let (loads, ends) = (lines(&sidecar, "loading"), lines(&sidecar, "unloading"));
    assert!(
        loads.len() == 1 || ends.first().is_some_and(|(end, _)| *end <= loads[1].0),
        "{loads:?} {ends:?}"
    );
}

/// A pickle that asks for all the values that one may have, in a stream as torch wrote it before 1.6.
fn greedy_pickle(folder: &Path) -> PathBuf {
    let example = shipped("opus-mt-en-fr");
    std::fs::create_dir_all(folder).unwrap();
    for name in ["config.json", "generation_config.json", "source.spm", "target.spm", "vocab.json"] {
        std::fs::copy(example.join(name), folder.join(name)).unwrap();
    }
    let magic = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.";
    let system = b"\x80\x02}(X\x0d\x00\x00\x00little_endian\x88u.";
    // A tuple in a tuple in a tuple in a tuple, and then the next.
    let tuples = b")\x85\x85\x85".repeat(999_000);
    std::fs::write(
        folder.join("pytorch_model.bin"),
        [&magic[..], system, b"\x80\x04", &tuples, b"."].concat(),
    )
    .unwrap();
    folder.to_owned()
}

/// Row 23, of the child that converts pickles: when memory runs out it goes, and not the server, though that is larger.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_23_a_greedy_child_is_killed_and_the_server_lives() {
    let Some(cgroup) = cgroup(16 << 30) else { return };
    let folder = tempfile::tempdir().unwrap();
    let kept = models::write(&folder.path().join("kept"), 6).unwrap();
    let greedy = greedy_pickle(&folder.path().join("greedy"));
    let keep = json!({"keep": true});
    let served = vec![translator("kept", &kept, keep.clone()), with_fallback(&greedy, keep)];
    let mut sidecar = Sidecar::start_in(Some(&cgroup), folder.path(), served, "8Gi").await;
    for warm in ["kept", "translation@small"] {
        assert_eq!(sidecar.translate(warm, "stop").await.status(), StatusCode::OK, "{}", sidecar.log_text());
    }
    // Far less than the child asks for, which is far less than the server has.
    cgroup.limit(sidecar.memory().resident + 64 * MEGABYTE).unwrap();
    assert_fallback(&mut sidecar, "Unsafe").await;
    assert_eq!(cgroup.kills(), 1, "{}", sidecar.version("translation@large").await);
    assert_eq!(sidecar.translate("kept", "stop").await.status(), StatusCode::OK);
}

/// Row 23, where it is the system that refuses memory in the middle of a load: that is an error like others, which is
/// tried again later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_23_memory_that_the_system_refuses_during_a_load_is_an_error_like_others() {
    let folder = tempfile::tempdir().unwrap();
    let large = models::write(&folder.path().join("large"), 8).unwrap();
    let served = vec![with_fallback(&large, json!({}))];
    let mut sidecar = Sidecar::start(folder.path(), served, "4Gi").await;
    assert_eq!(sidecar.translate("translation@small", "stop").await.status(), StatusCode::OK);
    let process = Pid::from_raw(i32::try_from(sidecar.process_id()).unwrap());
    let limit = |bytes| Rlimit { current: Some(bytes), maximum: None };
    prlimit(process, Resource::Data, limit(sidecar.memory().data + 48 * MEGABYTE)).unwrap();
    assert_fallback(&mut sidecar, "OutOfMemory").await;
    assert_eq!(lines(&sidecar, "loaded").len(), 1);
    let failure = sidecar.version("translation@large").await["lastFailure"].clone();
    assert!(failure["retryAt"].is_string(), "{failure}");
    prlimit(process, Resource::Data, limit(64 << 30)).unwrap();
    // What was refused is tried again, though its requests have been answered.
    sidecar
        .until("the large version is loaded", async |it| {
            drop(it.translate("translation", "stop").await);
            it.version("translation@large").await["state"] == "Loaded"
        })
        .await;
}

async fn reserved(sidecar: &Sidecar) -> u64 {
    sidecar.metric("ostler_memory_reserved_bytes", "").await as u64
}

/// What a model took is the system's again when it is unloaded, because nobody used it or for another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resident_memory_falls_when_a_model_is_evicted() {
    let folder = tempfile::tempdir().unwrap();
    let large = models::write(&folder.path().join("large"), 8).unwrap();
    let (weights, budget) = (footprint(&large).resident_bytes, room_for_halves(3, footprint(&large)));
    assert!(weights > 200 * MEGABYTE);
    let served = vec![
        translator("idle", &large, json!({"idleSeconds": 1})),
        translator("first", &large, json!({})),
        translator("second", &large, json!({})),
    ];
    let sidecar = Sidecar::start(folder.path(), served, &budget.to_string()).await;
    let before = sidecar.memory().resident;

    assert_eq!(sidecar.translate("idle", "one").await.status(), StatusCode::OK);
    let loaded = sidecar.memory().resident;
    assert!(loaded > before + weights * 9 / 10, "{before} {loaded}, of {weights}");
    sidecar.until("it is unloaded", async |it| reserved(it).await == 0).await;
    sidecar.until("its memory is free", async |it| it.memory().resident < before + weights / 8).await;

    assert_eq!(sidecar.translate("first", "one").await.status(), StatusCode::OK);
    // The budget has room for one, and the first one stays for its minimum residency.
    assert_eq!(sidecar.translate("second", "one").await.status(), StatusCode::OK);
    assert_eq!(lines(&sidecar, "unloading").last().unwrap().1, "first@v1");
    let most = before + weights + weights / 8;
    sidecar.until("only the second is in memory", async |it| it.memory().resident < most).await;
    // The two were never in memory together.
    let peak = sidecar.memory().peak;
    assert!(peak < before + weights * 3 / 2, "{peak} at most, {before} before and {weights} of weights");
}
