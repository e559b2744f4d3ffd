//! Versions that leave memory while many ask for them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ostler_test_hub::models;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use crate::is_soak;
use crate::log::{lines, residencies};
use crate::process::{Sidecar, footprint, header, room_for_halves, translator};

const CLIENTS: usize = 64;
const MODELS: usize = 6;
/// Of each model, so that nobody finds its queue full.
const INSTANCES: u32 = 4;
/// What only memory may be the reason of.
const DECLARED: [&str; 3] = ["BudgetFull", "MemoryInUse", "NotEnoughFree"];

/// What one client saw.
#[derive(Default)]
struct Seen {
    answered: BTreeMap<String, String>,
    count: usize,
    refused: usize,
}

/// Asks one model after the other. Every answer is the model's own, and every refusal is a declared one.
async fn client(number: usize, sidecar: &Sidecar, time: Duration) -> Seen {
    let mut random = StdRng::seed_from_u64(number as u64);
    let mut seen = Seen::default();
    let started = Instant::now();
    while started.elapsed() < time {
        let name = format!("m{}", random.random_range(0..MODELS));
        let answer = sidecar.translate(&name, "the dog sees the sun and the old house").await;
        if answer.status() == 200 {
            assert_eq!(header(&answer, "x-ostler-model"), name);
            let body: Value = answer.json().await.unwrap();
            let text = body["translatedText"].as_str().unwrap().to_owned();
            assert_eq!(*seen.answered.entry(name).or_insert_with(|| text.clone()), text);
            seen.count += 1;
        } else {
            let (status, retry_after) = (answer.status(), header(&answer, "retry-after"));
            let text = answer.text().await.unwrap();
            assert_eq!(status, 503, "{text}");
            assert!(retry_after.parse::<u64>().unwrap() >= 1, "{text}");
            let reason = sidecar.version(&name).await["lastFailure"]["reason"].clone();
            let is_declared = reason.is_null() || DECLARED.iter().any(|declared| reason == *declared);
            assert!(is_declared, "{reason}: {text}");
            seen.refused += 1;
        }
    }
    seen
}

/// Row 24: sixty-four clients ask six models of which the budget holds a few. Whatever is evicted meanwhile, a request that
/// has a version is answered by it, and nobody sees anything but an answer or a declared 503.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_24_requests_in_flight_end_well_while_versions_are_evicted() {
    let folder = tempfile::tempdir().unwrap();
    let served = (0..MODELS).map(|number| {
        let weights = models::write(&folder.path().join(format!("m{number}")), 1 + number % 2).unwrap();
        let fields = json!({"instances": INSTANCES});
        (translator(&format!("m{number}"), &weights, fields), room_for_halves(5, footprint(&weights)))
    });
    let (served, needed): (Vec<Value>, Vec<u64>) = served.unzip();
    let budget = *needed.iter().max().unwrap();
    let sidecar = Sidecar::start(folder.path(), served, &budget.to_string()).await;
    let time = Duration::from_secs(if is_soak() { 600 } else { 25 });
    let clients = futures::future::join_all((0..CLIENTS).map(|number| client(number, &sidecar, time)));
    let memory = async {
        let started = Instant::now();
        let mut most: f64 = 0.0;
        while started.elapsed() < time {
            most = most.max(sidecar.metric("ostler_memory_reserved_bytes", "").await);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        most
    };
    let (seen, most_reserved) = tokio::join!(clients, memory);
    let (answered, refused) =
        (seen.iter().map(|it| it.count).sum::<usize>(), seen.iter().map(|it| it.refused).sum::<usize>());
    let evicted = lines(&sidecar, "unloading").len();
    println!("{answered} answered, {refused} refused, {evicted} evicted, {most_reserved} bytes at most");
    assert!(answered >= CLIENTS && evicted >= 2, "{answered} answered, {refused} refused, {evicted} evicted");
    assert!(most_reserved <= budget as f64, "{most_reserved} bytes were reserved");
    // Every client has heard the same of a model, whichever load it was of.
    let mut first: BTreeMap<&String, &String> = BTreeMap::new();
    for (name, text) in seen.iter().flat_map(|it| &it.answered) {
        assert_eq!(*first.entry(name).or_insert(text), text, "{name}");
    }
    assert_eq!(sidecar.metric("ostler_waiting_requests", "").await, 0.0);
    for (version, residency) in residencies(&sidecar) {
        assert!(residency >= MINIMUM, "{version} stayed {residency:?}");
    }
}

/// The minimum residency, less what passes between its beginning and the line of the log.
const MINIMUM: Duration = Duration::from_millis(900);
