//! Two models that take turns where there is room for one.

use std::time::{Duration, Instant};

use ostler_test_hub::models;
use serde_json::json;

use crate::log::{load_times, residencies};
use crate::process::{Sidecar, footprint, header, room_for_halves, translator};

/// Row 26: two clients ask two models in turn, of which the budget holds one. A version stays its minimum residency,
/// whoever asks for the other, so that most of the time is for answers and not for loads; who would rather not wait is
/// told when to come back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_26_models_that_take_turns_are_not_loaded_all_the_time() {
    let folder = tempfile::tempdir().unwrap();
    let weights = models::write(&folder.path().join("weights"), 2).unwrap();
    let served = ["a", "b"].map(|name| translator(name, &weights, json!({}))).to_vec();
    let budget = room_for_halves(3, footprint(&weights));
    let sidecar = Sidecar::start(folder.path(), served, &budget.to_string()).await;
    let (started, time) = (Instant::now(), Duration::from_secs(15));
    let asks = async |first: usize| {
        let mut answered = 0;
        while started.elapsed() < time {
            let name = ["a", "b"][(first + answered) % 2];
            let answer = sidecar.translate(name, "stop").await;
            assert_eq!((answer.status().as_u16(), header(&answer, "x-ostler-model")), (200, name.to_owned()));
            answered += 1;
        }
        answered
    };
    let hurried = async {
        let mut told = 0;
        while started.elapsed() < time {
            for name in ["a", "b"] {
                let body = json!({"q": "stop", "source": "en", "target": "de", "model": name});
                let request =
                    sidecar.client.post(sidecar.url("/translate")).header("prefer", "respond-async");
                let answer = request.json(&body).send().await.unwrap();
                if answer.status() == 202 {
                    assert!(header(&answer, "retry-after").parse::<u64>().unwrap() >= 1);
                    told += 1;
                } else {
                    assert_eq!(answer.status(), 200);
                }
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        told
    };
    let (first, second, told) = tokio::join!(asks(0), asks(1), hurried);
    let loads = load_times(&sidecar);
    let milliseconds: f64 = loads.iter().sum();
    println!(
        "{first} and {second} answered, {told} told to come back, {} loads of {milliseconds:.0} ms together",
        loads.len()
    );
    assert!(told > 0, "nobody was told to come back");
    // A version stays ten times as long as its load took, and a second in any case.
    assert!(milliseconds < started.elapsed().as_secs_f64() * 1e3 / 5.0, "{milliseconds} ms went into loads");
    let most = 2 + started.elapsed().as_secs() as usize;
    assert!((3..=most).contains(&loads.len()), "{} loads, at most {most}", loads.len());
    for (version, residency) in residencies(&sidecar) {
        assert!(residency >= Duration::from_millis(900), "{version} stayed {residency:?}");
    }
}
