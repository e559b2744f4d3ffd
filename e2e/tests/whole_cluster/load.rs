//! Requests without a pause, from outside the pods, until told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::world::{ANSWER, QUESTION};

/// The load ends by itself after this long, whatever happens to the test.
const LONGEST: Duration = Duration::from_secs(240);

/// Clients at work.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    worker: JoinHandle<Vec<String>>,
}

impl Load {
    /// Starts `clients` that each ask for a translation over and over. Every other one opens a connection for each
    /// request, as short-lived clients do; the rest keep theirs.
    pub(crate) fn start(base: &str, clients: usize) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (url, stopped, count) = (format!("{base}/translate"), Arc::clone(&stop), Arc::clone(&answered));
        let worker = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let work = (0..clients).map(|number| {
                let keep = number % 2 == 0;
                client(url.clone(), keep, Arc::clone(&stopped), Arc::clone(&count))
            });
            runtime.block_on(futures::future::join_all(work)).into_iter().flatten().collect()
        });
        Self { stop, answered, worker }
    }

    /// How many requests have been answered well.
    pub(crate) fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Stops, and tells what went wrong.
    pub(crate) fn finish(self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let failures = self.worker.join().unwrap();
        (self.answered.load(Ordering::Relaxed), failures)
    }
}

async fn client(
    url: String,
    keep_connection: bool,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
) -> Vec<String> {
    let idle = if keep_connection { 1 } else { 0 };
    let client = reqwest::Client::builder()
        .pool_max_idle_per_host(idle)
        .timeout(Duration::from_secs(60))
        .no_proxy()
        .build()
        .unwrap();
    let (started, mut failures) = (Instant::now(), Vec::new());
    while !stop.load(Ordering::Relaxed) && started.elapsed() < LONGEST {
        let began = started.elapsed();
        let request = client.post(&url).header("content-type", "application/json").body(QUESTION);
        match ask(request).await {
            Ok(()) => drop(answered.fetch_add(1, Ordering::Relaxed)),
            Err(error) => failures.push(format!("after {began:?}: {error}")),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    failures
}

async fn ask(request: reqwest::RequestBuilder) -> Result<(), String> {
    let answer = request.send().await.map_err(|error| format!("{error:?}"))?;
    let (status, text) = (answer.status(), answer.text().await.map_err(|error| format!("{error:?}"))?);
    if status.is_success() && text.contains(ANSWER) { Ok(()) } else { Err(format!("{status}: {text}")) }
}
