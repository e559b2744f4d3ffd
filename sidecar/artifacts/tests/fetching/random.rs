//! Random sequences of faults: whatever happens, nothing wrong is ever published, and a hub that recovers ends in a
//! whole snapshot.

use std::time::Duration;

use ostler_test_hub::{Fault, On};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::support::*;

fn fault() -> impl Strategy<Value = Fault> {
    let at = 0..BYTES as u64;
    prop_oneof![
        prop::sample::select(vec![400_u16, 401, 403, 404, 416, 429, 500, 503]).prop_map(Fault::status),
        at.clone().prop_map(|at| Fault::new().truncated_at(at)),
        at.clone().prop_map(|at| Fault::new().truncated_at(at).without_header("content-length")),
        at.clone().prop_map(|at| Fault::new().flipping(at)),
        at.clone().prop_map(|at| Fault::new().flipping(at).truncated_at(at + 1)),
        at.prop_map(|at| Fault::new().stalling_after(at)),
        Just(Fault::new().ignoring_ranges()),
        Just(Fault::new().without_header("content-length")),
        Just(Fault::new().header("content-range", "bytes 0-9/10")),
        (0..2 * BYTES).prop_map(|length| Fault::new().body(vec![7; length])),
        (0..2 * BYTES).prop_map(|length| Fault::new().body(vec![7; length]).without_header("content-length")),
        Just(Fault::redirect("http://127.0.0.2:1/")),
        Just(Fault::new()),
    ]
}

fn place() -> impl Strategy<Value = On> {
    prop::sample::select(vec![
        On::listing(),
        On::resolve(LARGE),
        On::storage(LARGE),
        On::file(SMALL),
        On::any(),
    ])
}

/// Checks every file under a final name against the repository's files.
fn assert_only_right_bytes(bench: &Bench) {
    let right: Vec<Vec<u8>> = files().into_iter().map(|(_, bytes)| bytes).collect();
    for path in published(&bench.stored()) {
        let bytes = std::fs::read(&path).unwrap();
        assert!(right.contains(&bytes), "{} holds {} wrong bytes", path.display(), bytes.len());
    }
}

#[test]
fn nothing_wrong_is_ever_published() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bench = runtime.block_on(async {
        let mut bench = bench().await;
        let mut settings = settings(&bench.hub.endpoint());
        settings.bounds.idle = Duration::from_millis(60);
        bench.client = ostler_hub::HubClient::new(settings).unwrap();
        bench
    });
    let config = ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() };
    // A fixed seed: the same sequences on each run.
    let rng = proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let faults = prop::collection::vec((place(), fault()), 1..6);
    let outcome = runner.run(&faults, |faults| {
        bench.empty();
        for (on, fault) in faults {
            bench.hub.fault(on, fault.times(1));
        }
        runtime.block_on(async {
            for _ in 0..8 {
                let fetched = bench.fetch().await;
                assert_only_right_bytes(&bench);
                match fetched {
                    Ok(snapshot) => return assert_whole(&snapshot),
                    Err(error) => assert!(!error.reason().is_empty()),
                }
            }
            panic!("the faults are used up, and still nothing is whole");
        });
        Ok(())
    });
    outcome.unwrap();
}
