//! Fifty models of 20 to 300 MB behind a budget of 2 GB, asked by 64 clients as by Zipf's law.

use std::path::Path;

use ostler_test_hub::models;
use ostler_tests::percentile::{percentile, sorted};
use rand::SeedableRng;
use rand::distr::Distribution;
use rand::distr::weighted::WeightedIndex;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use crate::Failure;
use crate::arguments::Arguments;
use crate::clients::{ask, translation};
use crate::row::Row;
use crate::sidecar::Sidecar;

const MODELS: usize = 25;
const VERSIONS: usize = 2;
const CLIENTS: usize = 64;
/// Layers of the models, one after the other: 29 to 294 MB.
const LAYERS: [usize; 8] = [2, 4, 6, 8, 10, 12, 16, 20];
/// The budget.
const HOST: &str = "2G";
const BUDGET: f64 = 2000.0;

pub(crate) async fn measure(arguments: &Arguments, scratch: &Path) -> Result<Vec<Row>, Failure> {
    let folders = LAYERS
        .iter()
        .map(|layers| models::write(&scratch.join(format!("density-{layers}")), *layers))
        .collect::<Result<Vec<_>, _>>()?;
    let version = |model: usize, version: usize| {
        let folder = &folders[(model * VERSIONS + version) % folders.len()];
        json!({"name": format!("v{version}"), "storageUri": format!("file://{}", folder.display())})
    };
    let model = |model: usize| -> Value {
        let versions: Vec<Value> = (0..VERSIONS).map(|number| version(model, number)).collect();
        json!({"name": format!("m{model}"), "task": "translation", "defaultVersion": "v0", "versions": versions})
    };
    let served = (0..MODELS).map(model).collect();
    let sidecar = Sidecar::start(arguments, scratch, served, HOST, None).await?;
    // The model of rank n is asked 1/n as often as the first; ranks are spread over the sizes.
    let ranks = WeightedIndex::new((1..=MODELS * VERSIONS).map(|rank| 1.0 / rank as f64))?;
    let body = move |client: usize, round: usize| {
        let mut random = StdRng::seed_from_u64((client * 1_000_003 + round) as u64);
        let place = ranks.sample(&mut random) * 7 % (MODELS * VERSIONS);
        translation(&format!("m{}@v{}", place / VERSIONS, place % VERSIONS))
    };
    let seen = ask(&sidecar.url("/translate"), CLIENTS, arguments.time() * 5, body).await?;
    let loads = sorted(sidecar.loads()?);
    let requests = seen.milliseconds.len() + seen.others.values().sum::<usize>();
    let hits = 1.0 - loads.len() as f64 / requests as f64;
    let memory = sidecar.memory()?;
    let reserved = sidecar.metric("ostler_memory_reserved_bytes").await? / 1e6;
    Ok(vec![Row {
        what: format!(
            "50 models of 29 to 294 MB behind {HOST}, 64 clients by Zipf's law, {} s",
            seen.elapsed.as_secs()
        ),
        measured: format!(
            "{requests} requests, {:.1}/s, {}; {:.1} % began no load; {} loads: p50 {:.0} ms, p99 {:.0} ms",
            seen.per_second(),
            seen.describe(),
            hits * 100.0,
            loads.len(),
            percentile(&loads, 50),
            percentile(&loads, 99),
        ),
        beside: format!(
            "resident at most {:.0} MB of a budget of {BUDGET:.0}, {:.0} at the end with {reserved:.0} reserved",
            memory.peak, memory.resident
        ),
    }])
}
