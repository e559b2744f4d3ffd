//! Clients that ask again as soon as they have their answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ostler_tests::percentile::{percentile, sorted};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::Failure;

/// What clients saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Milliseconds of each request that was answered with 200, sorted.
    pub(crate) milliseconds: Vec<f64>,
    /// Other answers, by status; 0 where there was none.
    pub(crate) others: BTreeMap<u16, usize>,
    pub(crate) elapsed: Duration,
}

impl Seen {
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        percentile(&self.milliseconds, percent)
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.milliseconds.len() as f64 / self.elapsed.as_secs_f64()
    }

    /// Median and 99th percentile, and what else there was.
    pub(crate) fn describe(&self) -> String {
        let mut text = format!("p50 {:.1} ms, p99 {:.1} ms", self.percentile(50), self.percentile(99));
        if !self.others.is_empty() {
            text += &format!(", not answered: {:?}", self.others);
        }
        text
    }
}

/// A body for `/translate` with one short text.
pub(crate) fn translation(model: &str) -> Value {
    json!({"q": "The dog sees the sun and the old house", "source": "en", "target": "de", "model": model})
}

/// Lets `clients` ask `/translate` at `url` for so long; `body` says what the client of a number asks in a round.
pub(crate) async fn ask(
    url: &str,
    clients: usize,
    time: Duration,
    body: impl Fn(usize, usize) -> Value + Send + Sync + 'static,
) -> Result<Seen, Failure> {
    let (client, body) = (Client::new(), Arc::new(body));
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for number in 0..clients {
        let (client, url, body) = (client.clone(), url.to_owned(), Arc::clone(&body));
        tasks.spawn(async move {
            let mut seen = Seen::default();
            for round in 0.. {
                if started.elapsed() >= time {
                    break;
                }
                let asked = Instant::now();
                let answer = client.post(&url).json(&body(number, round)).send().await;
                let status = match answer {
                    Ok(answer) => {
                        let status = answer.status().as_u16();
                        if answer.bytes().await.is_ok() { status } else { 0 }
                    }
                    Err(_) => 0,
                };
                if status == 200 {
                    seen.milliseconds.push(asked.elapsed().as_secs_f64() * 1e3);
                } else {
                    *seen.others.entry(status).or_default() += 1;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
            seen
        });
    }
    let mut all = Seen::default();
    while let Some(seen) = tasks.join_next().await {
        let seen = seen?;
        all.milliseconds.extend(seen.milliseconds);
        seen.others.into_iter().for_each(|(status, count)| *all.others.entry(status).or_default() += count);
    }
    all.elapsed = started.elapsed();
    all.milliseconds = sorted(std::mem::take(&mut all.milliseconds));
    if all.milliseconds.is_empty() {
        return Err(format!("no request was answered: {:?}", all.others).into());
    }
    Ok(all)
}
