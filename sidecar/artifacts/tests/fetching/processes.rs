//! Several processes on one cache. The other processes are this very test program, started again for one test.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ostler_artifacts::{Cache, fetch};
use ostler_hub::HubClient;
use ostler_test_hub::{Fault, On};

use crate::support::*;

const ENDPOINT: &str = "OSTLER_TEST_CHILD_ENDPOINT";
const CACHE: &str = "OSTLER_TEST_CHILD_CACHE";
const COMMIT: &str = "OSTLER_TEST_CHILD_COMMIT";

/// The test that fetches as a child process.
pub(crate) const CHILD: &str = "processes::child_process";

/// What a child process does; without its variables it is no child, and there is nothing to do.
#[tokio::test]
async fn child_process() {
    let (Ok(endpoint), Ok(root), Ok(commit)) =
        (std::env::var(ENDPOINT), std::env::var(CACHE), std::env::var(COMMIT))
    else {
        return;
    };
    let client = HubClient::new(settings(&endpoint)).unwrap();
    let cache = Cache::open(root.into())
        .unwrap()
        .with_policy(ostler_artifacts::FetchPolicy { reserve_bytes: 0, ..policy() });
    let result = fetch(&client, &cache, &repository(), &commit.parse().unwrap(), &all, |_| {}).await;
    match result {
        Ok(snapshot) => assert_whole(&snapshot),
        Err(error) => println!("reason={}", error.reason()),
    }
}

/// The cache that a child process is to work on.
pub(crate) fn child_cache() -> Option<std::path::PathBuf> {
    std::env::var_os(CACHE).map(Into::into)
}

/// A command that runs one test of this program as a child process on a bench; its arguments are appended to those that
/// are there.
pub(crate) fn child(mut command: Command, bench: &Bench, test: &str) -> Command {
    if command.get_program() != std::env::current_exe().unwrap() {
        command.arg(std::env::current_exe().unwrap());
    }
    command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(ENDPOINT, bench.hub.endpoint())
        .env(CACHE, bench.cache.root())
        .env(COMMIT, bench.commit.as_str())
        .stdin(Stdio::null());
    command
}

fn this_program() -> Command {
    Command::new(std::env::current_exe().unwrap())
}

/// Row 18: eight processes, one transfer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_18_of_eight_processes_one_transfers() {
    let bench = bench().await;
    // Slow enough that all are there before the first is done.
    bench.hub.fault(On::file(LARGE), Fault::new().trickling(20_000, Duration::from_millis(100)));
    let children: Vec<_> =
        (0..8).map(|_| child(this_program(), &bench, CHILD).stdout(Stdio::null()).spawn().unwrap()).collect();
    let codes = tokio::task::spawn_blocking(|| {
        children.into_iter().map(|mut child| child.wait().unwrap().success()).collect::<Vec<_>>()
    });
    assert_eq!(codes.await.unwrap(), [true; 8]);
    assert_eq!(bench.transfers(), 1);
}

/// A file that is worth reporting of: progress is told for each megabyte.
const HUGE: usize = 6 << 20;

/// What a child does that shows its progress; without its variables it is no child, and there is nothing to do.
#[tokio::test]
async fn watching_child() {
    let (Ok(endpoint), Ok(root), Ok(commit)) =
        (std::env::var(ENDPOINT), std::env::var(CACHE), std::env::var(COMMIT))
    else {
        return;
    };
    let client = HubClient::new(settings(&endpoint)).unwrap();
    let cache = Cache::open(root.into()).unwrap().with_policy(policy());
    let show = |transfer: ostler_artifacts::Transfer| println!("completed={}", transfer.completed_bytes);
    fetch(&client, &cache, &repository(), &commit.parse().unwrap(), &all, show).await.unwrap();
}

/// Row 18: each of eight processes shows how far the one that transfers has come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_18_each_of_eight_processes_shows_the_progress_of_the_one_that_transfers() {
    let mut bench = bench().await;
    let huge = bench.hub.push("tiny/model", "main", [(LARGE, vec![7; HUGE])]).unwrap();
    bench.commit = huge.parse().unwrap();
    bench.hub.fault(On::file(LARGE), Fault::new().trickling(HUGE / 40, Duration::from_millis(50)));
    let children: Vec<_> = (0..8)
        .map(|_| {
            let mut command = child(this_program(), &bench, "processes::watching_child");
            command.stdout(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let outputs = tokio::task::spawn_blocking(|| {
        children.into_iter().map(|child| child.wait_with_output().unwrap()).collect::<Vec<_>>()
    });
    for output in outputs.await.unwrap() {
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let completed: Vec<usize> =
            text.lines().filter_map(|line| line.split_once("completed=")?.1.trim().parse().ok()).collect();
        let between = completed.iter().filter(|bytes| (1..HUGE).contains(bytes)).count();
        assert!(between >= 3 && completed.last() == Some(&HUGE), "{completed:?}");
        assert!(completed.is_sorted(), "{completed:?}");
    }
    assert_eq!(bench.transfers(), 1);
}

/// Row 18 within one process: the waiter sees the other's progress.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_18_a_waiter_sees_the_progress_of_the_one_it_waits_for() {
    let bench = std::sync::Arc::new(bench().await);
    bench.hub.fault(On::file(LARGE), Fault::new().stalling_after(150_000).times(1));
    let first = tokio::spawn({
        let bench = std::sync::Arc::clone(&bench);
        async move { bench.fetch().await }
    });
    received(&bench, 150_000).await;
    let (second, transfers) = bench.fetch_with_progress().await;
    assert_whole(&second.unwrap());
    assert_whole(&first.await.unwrap().unwrap());
    assert!(transfers[0].completed_bytes >= 150_000, "{transfers:?}");
    assert_eq!(bench.transfers(), 2, "the stalled one and its continuation");
}

/// Row 19: the lock of a killed process is free at once, and its transfer goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_19_the_lock_of_a_killed_process_is_taken_over() {
    let bench = bench().await;
    let stalled = Fault::new().stalling_after(130_000).times(1);
    bench.hub.fault(On::file(LARGE), stalled);
    let mut holder = child(this_program(), &bench, CHILD).stdout(Stdio::null()).spawn().unwrap();
    received(&bench, 130_000).await;
    holder.kill().unwrap();
    holder.wait().unwrap();
    let start = Instant::now();
    assert_whole(&bench.fetch().await.unwrap());
    assert!(start.elapsed() < Duration::from_secs(5));
    let requests = bench.hub.requests();
    assert!(requests.iter().any(|request| request.range.as_deref() == Some("bytes=130000-")));
}
