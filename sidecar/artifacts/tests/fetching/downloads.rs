//! Fetching from a hub that fails in every scripted way.

use std::time::{Duration, Instant};

use ostler_artifacts::{Cache, RetryPolicy, fetch};
use ostler_test_hub::{Fault, On};

use crate::support::*;

#[tokio::test]
async fn a_repository_is_fetched_verified_and_published() {
    let bench = bench().await;
    let (snapshot, transfers) = bench.fetch_with_progress().await;
    let snapshot = snapshot.unwrap();
    assert_eq!(snapshot.folder, bench.stored().join("snapshots").join(bench.commit.as_str()));
    assert_whole(&snapshot);
    let total_bytes = BYTES as u64 + 9;
    assert_eq!(transfers.first().unwrap().completed_bytes, 0);
    let last = transfers.last().unwrap();
    assert_eq!((last.total_bytes, last.completed_bytes), (total_bytes, total_bytes));
    assert!(!bench.large_partial().exists());
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(bench.large_blob()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o444);
}

/// Row 1: what the Hub asks for is honoured, and handed up where it is longer than a fetch may wait.
#[tokio::test]
async fn row_01_a_rate_limit_is_waited_for_or_handed_up() {
    let bench = bench().await;
    bench.hub.fault(On::listing(), Fault::status(429).header("retry-after", "1").times(1));
    let start = Instant::now();
    assert_whole(&bench.fetch().await.unwrap());
    assert!(start.elapsed() >= Duration::from_secs(1));

    bench.hub.push("tiny/model", "main", [("other", "1")]).unwrap();
    bench.hub.fault(On::resolve(LARGE), Fault::status(429).header("retry-after", "600"));
    let fresh = Cache::open(bench.folder.path().join("fresh")).unwrap().with_policy(policy());
    let start = Instant::now();
    let error = fetch(&bench.client, &fresh, &repository(), &bench.commit, &all, |_| {}).await.unwrap_err();
    assert_eq!((error.reason(), error.retry_after()), ("RateLimited", Some(Duration::from_secs(600))));
    assert!(start.elapsed() < Duration::from_secs(2));
}

/// Row 1: many replicas spread their requests and stay within the cap.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_01_fifty_replicas_stay_within_the_request_cap() {
    let bench = bench().await;
    bench.hub.fault(On::listing(), Fault::status(429).header("retry-after", "1"));
    let retry = RetryPolicy { failures: 3, ..policy().retry };
    let replicas = (0..50).map(|replica| {
        let policy = ostler_artifacts::FetchPolicy { retry: retry.clone(), ..policy() };
        let cache = Cache::open(bench.folder.path().join(replica.to_string())).unwrap().with_policy(policy);
        let (client, commit) = (bench.client.clone(), bench.commit.clone());
        tokio::spawn(async move {
            fetch(&client, &cache, &repository(), &commit, &all, |_| {}).await.unwrap_err().reason()
        })
    });
    for reason in futures::future::join_all(replicas).await {
        assert_eq!(reason.unwrap(), "RateLimited");
    }
    assert_eq!(bench.hub.requests().len(), 50 * 3);
}

/// Rows 2 and 3: each error status of each part of the Hub either passes or has its reason, and none leaves a file.
#[tokio::test]
async fn row_03_no_error_page_becomes_a_file() {
    let bench = bench().await;
    for status in [400, 401, 403, 404, 418, 429, 500, 502, 503, 504] {
        for on in [On::listing(), On::resolve(LARGE), On::storage(LARGE)] {
            bench.empty();
            bench.hub.fault(on.clone(), Fault::status(status));
            let error = bench.fetch().await.unwrap_err();
            assert_no_large(&bench);
            bench.hub.clear_faults();
            assert_whole(&bench.fetch().await.unwrap());
            assert!(!error.reason().is_empty());
        }
    }
}

/// Row 2.
#[tokio::test]
async fn row_02_passing_trouble_is_tried_again() {
    let bench = bench().await;
    bench
        .hub
        .fault(On::listing(), Fault::status(503).times(2))
        .fault(On::file(LARGE), Fault::status(500).times(3));
    assert_whole(&bench.fetch().await.unwrap());
}

/// Row 2: a hub that stays away has its reason soon.
#[tokio::test]
async fn row_02_a_hub_that_stays_away_is_named() {
    let bench = bench().await;
    bench.hub.fault(On::any(), Fault::status(502));
    let error = bench.fetch().await.unwrap_err();
    assert_eq!(error.reason(), "HubUnavailable");
    assert!(error.is_retryable());
    assert_eq!(bench.hub.requests().len(), 4);
}

/// Row 4: cut at every hundredth, with and without a declared length, the transfer goes on where it stopped.
#[tokio::test]
async fn row_04_a_cut_body_is_resumed_at_every_offset() {
    let bench = bench().await;
    for percent in 0..100 {
        let at = BYTES as u64 * percent / 100 + percent % 3;
        let fault = Fault::new().truncated_at(at).times(1);
        let fault = if percent % 2 == 0 { fault } else { fault.without_header("content-length") };
        bench.empty();
        bench.hub.fault(On::file(LARGE), fault);
        assert_whole(&bench.fetch().await.unwrap());
        let requests = bench.hub.requests();
        let ranges: Vec<_> =
            requests.iter().filter(|request| request.part == ostler_test_hub::Part::Storage).collect();
        assert_eq!(ranges.len(), 2);
        let resumed = (at > 0).then(|| format!("bytes={at}-"));
        assert_eq!(ranges[1].range, resumed, "cut at {at}");
    }
}

/// Row 4: a body that is always cut ends with an error, not with a file.
#[tokio::test]
async fn row_04_a_body_that_never_grows_is_given_up() {
    let bench = bench().await;
    bench.hub.fault(On::file(LARGE), Fault::new().truncated_at(0).without_header("content-length"));
    let error = bench.fetch().await.unwrap_err();
    assert_eq!(error.reason(), "HubUnavailable");
    assert_no_large(&bench);
}

/// Row 5: a stall is noticed, and the next attempt goes on behind it.
#[tokio::test]
async fn row_05_a_stalled_body_is_resumed() {
    let bench = bench().await;
    bench.hub.fault(On::file(LARGE), Fault::new().stalling_after(150_000).times(1));
    assert_whole(&bench.fetch().await.unwrap());
    assert!(bench.hub.requests().iter().any(|request| request.range.as_deref() == Some("bytes=150000-")));
}

/// Row 5.
#[tokio::test]
async fn row_05_a_trickling_body_is_given_up() {
    let mut bench = bench().await;
    let mut settings = settings(&bench.hub.endpoint());
    settings.bounds.minimum_rate = 10_000;
    settings.bounds.rate_window = Duration::from_millis(200);
    bench.client = ostler_hub::HubClient::new(settings).unwrap();
    bench.hub.fault(On::file(LARGE), Fault::new().trickling(10, Duration::from_millis(20)));
    let start = Instant::now();
    let error = bench.fetch().await.unwrap_err();
    assert_eq!(error.reason(), "HubStalled");
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_no_large(&bench);
}

/// Row 6: one wrong bit is never published; a second copy may be right, two wrong ones are an error.
#[tokio::test]
async fn row_06_a_flipped_bit_is_received_again_once() {
    let bench = bench().await;
    for at in [0, 1, 99_999, BYTES as u64 - 1] {
        bench.empty();
        bench.hub.fault(On::file(LARGE), Fault::new().flipping(at).times(1));
        assert_whole(&bench.fetch().await.unwrap());
        assert_eq!(bench.transfers(), 2);
    }
    bench.empty();
    bench.hub.fault(On::file(LARGE), Fault::new().flipping(77));
    let error = bench.fetch().await.unwrap_err();
    assert_eq!((error.reason(), error.is_retryable()), ("IntegrityMismatch", false));
    assert!(error.to_string().contains(LARGE), "{error}");
    assert_eq!(bench.transfers(), 2);
    assert_no_large(&bench);
    assert_eq!(std::fs::metadata(bench.large_partial()).map_or(0, |metadata| metadata.len()), 0);
}

/// Row 6, for a file that git alone vouches for.
#[tokio::test]
async fn row_06_a_flipped_bit_of_a_small_file_is_found() {
    let bench = bench().await;
    bench.hub.fault(On::file(SMALL), Fault::new().flipping(3));
    assert_eq!(bench.fetch().await.unwrap_err().reason(), "IntegrityMismatch");
}

/// Row 7: the branch may move at any time, the pinned commit is what is fetched.
#[tokio::test]
async fn row_07_a_moving_branch_changes_nothing() {
    let bench = bench().await;
    bench.hub.push("tiny/model", "main", [(LARGE, b"\0other".to_vec())]).unwrap();
    assert_whole(&bench.fetch().await.unwrap());
    for request in bench.hub.requests() {
        assert!(request.path.contains(bench.commit.as_str()), "{}", request.path);
    }
}

/// Row 8: an answer that says it is of another commit is refused.
#[tokio::test]
async fn row_08_a_file_of_another_commit_is_refused() {
    let bench = bench().await;
    bench.hub.fault(On::resolve(LARGE), Fault::new().header("x-repo-commit", &"0".repeat(40)));
    assert_eq!(bench.fetch().await.unwrap_err().reason(), "MalformedAnswer");
    assert_no_large(&bench);
}

/// Row 9: refusals are final at once.
#[tokio::test]
async fn row_09_a_gated_repository_is_not_asked_again() {
    let bench = bench().await;
    bench.hub.gate("tiny/model").unwrap();
    let error = bench.fetch_large().await.unwrap_err();
    assert_eq!((error.reason(), error.is_retryable()), ("GatedRepository", false));
    assert_eq!(bench.hub.count(&On::resolve(LARGE)), 1);
}

/// Row 10: what is cached serves after the repository is gone.
#[tokio::test]
async fn row_10_a_deleted_repository_serves_from_the_cache() {
    let bench = bench().await;
    bench.fetch().await.unwrap();
    bench.hub.remove("tiny/model");
    assert_whole(&bench.fetch().await.unwrap());
    let empty = Cache::open(bench.folder.path().join("empty")).unwrap().with_policy(policy());
    let error = fetch(&bench.client, &empty, &repository(), &bench.commit, &all, |_| {}).await.unwrap_err();
    assert_eq!((error.reason(), error.is_retryable()), ("RepositoryNotFound", false));
}

/// Row 13: a length that is not the listed one is refused before anything is stored, a missing one does no harm.
#[tokio::test]
async fn row_13_a_lying_length_is_refused() {
    for fault in [
        Fault::new().body(vec![0; BYTES - 1]),
        Fault::new().body(vec![0; BYTES + 1]),
        Fault::new().body(vec![0; BYTES + 1]).without_header("content-length"),
        Fault::new().body(vec![0; BYTES]),
    ] {
        let bench = bench().await;
        bench.hub.fault(On::storage(LARGE), fault.without_header("x-linked-size"));
        bench.hub.fault(On::resolve(LARGE), Fault::new().without_header("x-linked-size"));
        let error = bench.fetch().await.unwrap_err();
        assert_eq!(error.reason(), "IntegrityMismatch", "{error}");
        assert_no_large(&bench);
    }
    let bench = bench().await;
    for name in ["x-linked-size", "x-linked-etag", "etag", "x-repo-commit"] {
        bench.hub.fault(On::resolve(LARGE), Fault::new().without_header(name).times(1));
        assert_whole(&bench.fetch().await.unwrap());
        std::fs::remove_dir_all(bench.stored()).unwrap();
    }
    bench.hub.fault(On::any(), Fault::new().without_header("content-length"));
    assert_whole(&bench.fetch().await.unwrap());
}

/// Rows 13 and 60: hostile names in headers and listings touch nothing outside the cache.
#[tokio::test]
async fn row_13_hostile_names_stay_outside() {
    let bench = bench().await;
    for name in ["etag", "x-linked-etag"] {
        bench.hub.fault(On::resolve(LARGE), Fault::new().header(name, "\"../../../../evil\"").times(1));
        assert_whole(&bench.fetch().await.unwrap());
        std::fs::remove_dir_all(bench.stored()).unwrap();
    }
    for path in ["../../evil", "/evil", "a/../../../evil", "evil\u{0}"] {
        let listing = serde_json::json!({
            "sha": bench.commit.as_str(),
            "siblings": [{"rfilename": path, "size": 1, "blobId": "a".repeat(40)}],
        });
        bench.hub.fault(On::listing(), Fault::new().body(listing.to_string()).times(1));
        assert_eq!(bench.fetch().await.unwrap_err().reason(), "MalformedAnswer");
    }
    let outside: Vec<_> =
        std::fs::read_dir(bench.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(outside, ["hub"]);
}

#[tokio::test]
async fn a_server_without_ranges_sends_the_whole_file_again() {
    let bench = bench().await;
    bench.hub.fault(On::file(LARGE), Fault::new().truncated_at(100_000).times(1));
    bench.hub.fault(On::file(LARGE), Fault::new().ignoring_ranges());
    assert_whole(&bench.fetch().await.unwrap());
}

#[tokio::test]
async fn choices_that_cannot_be_are_named() {
    let bench = bench().await;
    let unknown = |_: &[_]| Ok(vec!["none.bin".to_owned()]);
    let error =
        fetch(&bench.client, &bench.cache, &repository(), &bench.commit, &unknown, |_| {}).await.unwrap_err();
    assert_eq!(error.reason(), "UnsuitableRepository");
    assert!(error.to_string().contains("none.bin"), "{error}");
    let refusing = |_: &[_]| Err("it has no weights".to_owned());
    let error = fetch(&bench.client, &bench.cache, &repository(), &bench.commit, &refusing, |_| {})
        .await
        .unwrap_err();
    assert!(error.to_string().contains("it has no weights"), "{error}");
}
