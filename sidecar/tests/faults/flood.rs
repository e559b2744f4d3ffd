//! Ten times as many requests as can be answered, by clients that do not wait for each other.

use std::time::{Duration, Instant};

use reqwest::{Client, Request};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::is_soak;
use crate::process::{Sidecar, header, model, shipped};

const TIMES: f64 = 10.0;
/// More than this no client on this machine sends while it is measured.
const MOST_PER_SECOND: f64 = 3_000.0;
const TICK: Duration = Duration::from_millis(20);

fn request(sidecar: &Sidecar) -> Request {
    let text = "the dog sees the sun and the old house and the small model. ".repeat(12);
    let body = json!({"q": text, "source": "en", "target": "de", "model": "translation"});
    sidecar.client.post(sidecar.url("/translate")).json(&body).build().unwrap()
}

/// What one request of the flood saw.
struct Seen {
    status: u16,
    retry_after: String,
    elapsed: Duration,
}

async fn ask(client: Client, request: Request) -> Seen {
    let started = Instant::now();
    let answer = client.execute(request).await.unwrap();
    let (status, retry_after) = (answer.status().as_u16(), header(&answer, "retry-after"));
    answer.bytes().await.unwrap();
    Seen { status, retry_after, elapsed: started.elapsed() }
}

/// Answers a second of clients that wait for theirs.
async fn capacity(sidecar: &Sidecar) -> f64 {
    let (started, time) = (Instant::now(), Duration::from_secs(2));
    let client = async || {
        let mut answered = 0_u32;
        while started.elapsed() < time {
            assert_eq!(ask(sidecar.client.clone(), request(sidecar)).await.status, 200);
            answered += 1;
        }
        answered
    };
    let counts = futures::future::join_all((0..4).map(|_| client())).await;
    f64::from(counts.into_iter().sum::<u32>()) / started.elapsed().as_secs_f64()
}

/// Row 41: of ten times as many requests as can be answered some are answered as soon as others are, the rest is told to
/// come back; the queue and the memory stay bounded, and health answers within a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_41_ten_times_as_many_requests_as_can_be_answered() {
    let folder = tempfile::tempdir().unwrap();
    // One after the other, so that the flood need not be large.
    let fields = json!({"maxBatch": 1, "instances": 1});
    let served = vec![model("translation", "translation", &shipped("opus-mt-en-de"), fields)];
    let mut sidecar = Sidecar::start(folder.path(), served, "1Gi").await;
    assert_eq!(ask(sidecar.client.clone(), request(&sidecar)).await.status, 200);
    let capacity = capacity(&sidecar).await;
    let rate = (capacity * TIMES).min(MOST_PER_SECOND);
    let before = sidecar.memory();
    let time = Duration::from_secs(if is_soak() { 120 } else { 6 });
    let end = Instant::now() + time;
    let flood = async {
        let mut asked = JoinSet::new();
        let (started, mut ticks) = (Instant::now(), interval(TICK));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        while Instant::now() < end {
            ticks.tick().await;
            // Whatever becomes of those before, as many are sent as are due.
            while (asked.len() as f64) < rate * started.elapsed().as_secs_f64() {
                asked.spawn(ask(sidecar.client.clone(), request(&sidecar)));
            }
        }
        asked.join_all().await
    };
    let (seen, longest_health) = tokio::join!(flood, sidecar.health_until(end));
    let of = |status: u16| seen.iter().filter(move |it| it.status == status);
    let (answered, refused) = (of(200).count(), of(429).count());
    let longest = of(200).map(|it| it.elapsed).max().unwrap_or_default();
    println!(
        "{capacity:.0}/s can be answered; {} were sent, {answered} answered within {longest:?}, {refused} refused; \
         health within {longest_health:?}",
        seen.len()
    );
    assert_eq!(answered + refused, seen.len(), "there was another answer");
    assert!(of(429).all(|it| it.retry_after.parse::<u64>().is_ok_and(|seconds| seconds >= 1)));
    assert!(refused > seen.len() / 2, "{refused} of {} were refused", seen.len());
    // Sharing the processors with the flood itself costs a part.
    assert!(answered as f64 > capacity * time.as_secs_f64() / 5.0, "{answered} were answered");
    assert!(longest_health < Duration::from_secs(1), "health took {longest_health:?}");
    // Nobody waits behind more than sixteen others.
    let queue = Duration::from_secs_f64(17.0 / capacity);
    assert!(longest < queue * 10 + Duration::from_secs(1), "an answer took {longest:?}");
    let grown = sidecar.memory().peak.saturating_sub(before.resident);
    assert!(grown < 192 << 20, "{grown} bytes more were taken");
    assert!(sidecar.is_alive());
    let after = ask(sidecar.client.clone(), request(&sidecar)).await;
    assert!(after.status == 200 && after.elapsed < Duration::from_secs(2), "{:?}", after.elapsed);
}
