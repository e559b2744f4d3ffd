//! The client against a hub that misbehaves in every scripted way.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::time::{Duration, Instant};

use ostler_crds::names::{Commit, RepositoryId, Revision};
use ostler_hub::{Download, HubBounds, HubClient, HubError, HubSettings};
use ostler_test_hub::{Fault, On, TestHub};

const BYTES: usize = 100_000;

fn settings(hub: &TestHub) -> HubSettings {
    let mut settings = HubSettings::new(hub.endpoint().parse().unwrap());
    settings.bounds = HubBounds {
        connect: Duration::from_secs(5),
        idle: Duration::from_secs(5),
        answer: Duration::from_secs(5),
        answer_bytes: 64 << 10,
        ..HubBounds::default()
    };
    settings
}

fn client(hub: &TestHub) -> HubClient {
    HubClient::new(settings(hub)).unwrap()
}

fn repository() -> RepositoryId {
    "tiny/model".parse().unwrap()
}

fn large_bytes() -> Vec<u8> {
    (0..BYTES).map(|index| (index % 251) as u8).collect()
}

async fn hub() -> (TestHub, Commit) {
    fill(TestHub::start().await.unwrap())
}

fn fill(hub: TestHub) -> (TestHub, Commit) {
    let files = [("config.json", b"{}".to_vec()), ("sub dir/model.bin", large_bytes())];
    let commit = hub.push("tiny/model", "main", files).unwrap();
    (hub, commit.parse().unwrap())
}

async fn read(mut download: Download) -> Result<Vec<u8>, HubError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = download.next_chunk().await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

async fn fetch(client: &HubClient, commit: &Commit, path: &str) -> Result<Vec<u8>, HubError> {
    read(client.open(&repository(), commit, path, 0).await?).await
}

#[tokio::test]
async fn a_revision_is_resolved_and_its_files_listed() {
    let (hub, commit) = hub().await;
    let client = client(&hub);
    let by_branch = client.revision(&repository(), &Revision::main()).await.unwrap();
    assert_eq!(by_branch.commit, commit);
    assert_eq!(by_branch.files[1].path, "sub dir/model.bin");
    assert_eq!(by_branch.files[1].size, BYTES as u64);
    assert!(by_branch.files[1].sha256.is_some());
    let by_commit = client.revision(&repository(), &commit.as_str().parse().unwrap()).await.unwrap();
    assert_eq!(by_commit, by_branch);
    hub.push("tiny/model", "refs/pr/1", [("other", "1")]).unwrap();
    let by_slashed = client.revision(&repository(), &"refs/pr/1".parse().unwrap()).await.unwrap();
    assert_eq!(by_slashed.files[0].path, "other");
}

#[tokio::test]
async fn files_are_read_whole_and_from_an_offset() {
    let (hub, commit) = hub().await;
    let client = client(&hub);
    assert_eq!(fetch(&client, &commit, "config.json").await.unwrap(), b"{}");
    assert_eq!(fetch(&client, &commit, "sub dir/model.bin").await.unwrap(), large_bytes());
    let rest = client.open(&repository(), &commit, "sub dir/model.bin", 70_000).await.unwrap();
    assert_eq!((rest.offset(), rest.declared_size()), (70_000, Some(BYTES as u64)));
    assert_eq!(read(rest).await.unwrap(), large_bytes()[70_000..]);
    hub.fault(On::file("sub dir/model.bin"), Fault::new().ignoring_ranges());
    let whole = client.open(&repository(), &commit, "sub dir/model.bin", 70_000).await.unwrap();
    assert_eq!(whole.offset(), 0);
}

#[tokio::test]
async fn an_offset_at_the_end_is_refused_by_its_name() {
    let (hub, commit) = hub().await;
    let error =
        client(&hub).open(&repository(), &commit, "sub dir/model.bin", BYTES as u64).await.unwrap_err();
    assert!(matches!(error, HubError::RangeRefused { .. }), "{error}");
}

#[tokio::test]
async fn row_03_no_error_page_is_taken_for_a_file() {
    let (hub, commit) = hub().await;
    let client = client(&hub);
    for status in
        [201, 204, 304, 400, 401, 403, 404, 405, 408, 410, 416, 418, 429, 451, 500, 502, 503, 504, 599]
    {
        for on in [On::resolve("sub dir/model.bin"), On::storage("sub dir/model.bin")] {
            hub.clear_faults();
            hub.fault(on, Fault::status(status));
            let error = client.open(&repository(), &commit, "sub dir/model.bin", 0).await.unwrap_err();
            assert_eq!(error.is_retryable(), retryable(status, &error), "{status}: {error}");
        }
        hub.clear_faults();
        hub.fault(On::listing(), Fault::status(status));
        client.revision(&repository(), &Revision::main()).await.unwrap_err();
    }
}

/// A refusal from storage means a signed address that ran out, so asking again helps.
fn retryable(status: u16, error: &HubError) -> bool {
    match status {
        408 | 429 | 500..=599 => true,
        401 | 403 | 404 | 410 => matches!(error, HubError::HubUnavailable { .. }),
        _ => false,
    }
}

#[tokio::test]
async fn row_09_refusals_have_their_reasons() {
    let (hub, commit) = hub().await;
    hub.push("tiny/gated", "main", [("a", "1")]).unwrap();
    hub.gate("tiny/gated").unwrap();
    let client = client(&hub);
    let reason = |result: Result<_, HubError>| result.map(|_: ()| ()).unwrap_err().reason();
    let none = "tiny/none".parse().unwrap();
    assert_eq!(reason(client.revision(&none, &Revision::main()).await.map(drop)), "RepositoryNotFound");
    let branch = "none".parse().unwrap();
    assert_eq!(reason(client.revision(&repository(), &branch).await.map(drop)), "RevisionNotFound");
    assert_eq!(reason(client.open(&repository(), &commit, "none", 0).await.map(drop)), "FileNotFound");
    let gated: RepositoryId = "tiny/gated".parse().unwrap();
    let at = client.revision(&gated, &Revision::main()).await.unwrap().commit;
    assert_eq!(reason(client.open(&gated, &at, "a", 0).await.map(drop)), "GatedRepository");
    assert_eq!(reason(client.open(&gated, &at, "../a", 0).await.map(drop)), "UnsafePath");
}

#[tokio::test]
async fn row_01_retry_after_is_passed_on() {
    let (hub, _) = hub().await;
    hub.fault(On::listing(), Fault::status(429).header("retry-after", "17").times(1));
    hub.fault(On::listing(), Fault::status(503).header("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT"));
    let client = client(&hub);
    let limited = client.revision(&repository(), &Revision::main()).await.unwrap_err();
    assert_eq!((limited.reason(), limited.retry_after()), ("RateLimited", Some(Duration::from_secs(17))));
    let past = client.revision(&repository(), &Revision::main()).await.unwrap_err();
    assert_eq!((past.reason(), past.retry_after()), ("HubUnavailable", Some(Duration::ZERO)));
}

#[tokio::test]
async fn row_05_no_wait_is_endless() {
    let (hub, commit) = hub().await;
    let mut settings = settings(&hub);
    settings.bounds.idle = Duration::from_millis(300);
    settings.bounds.answer = Duration::from_millis(600);
    settings.bounds.rate_window = Duration::from_millis(400);
    settings.bounds.minimum_rate = 10_000;
    let client = HubClient::new(settings).unwrap();
    let path = "sub dir/model.bin";
    let faults = [
        Fault::new().delayed(Duration::from_secs(60)),
        Fault::new().stalling_after(0),
        Fault::new().stalling_after(50_000),
        Fault::new().trickling(1, Duration::from_millis(50)),
        Fault::new().trickling(100, Duration::from_millis(50)),
    ];
    for fault in faults {
        hub.clear_faults();
        hub.fault(On::file(path), fault);
        let start = Instant::now();
        let error = fetch(&client, &commit, path).await.unwrap_err();
        assert_eq!(error.reason(), "HubStalled", "{error}");
        assert!(error.is_retryable() && start.elapsed() < Duration::from_secs(3));
    }
    hub.clear_faults();
    hub.fault(On::listing(), Fault::new().trickling(1, Duration::from_millis(50)));
    let error = client.revision(&repository(), &Revision::main()).await.unwrap_err();
    assert_eq!(error.reason(), "HubStalled");
}

#[tokio::test]
async fn row_04_a_broken_body_is_an_error_where_its_length_was_declared() {
    let (hub, commit) = hub().await;
    hub.fault(On::file("sub dir/model.bin"), Fault::new().truncated_at(70_000));
    let error = fetch(&client(&hub), &commit, "sub dir/model.bin").await.unwrap_err();
    assert!(matches!(error, HubError::Interrupted { .. }), "{error}");
    assert!(error.is_retryable());
}

#[tokio::test]
async fn a_cut_listing_may_be_asked_for_again() {
    let (hub, _) = hub().await;
    hub.fault(On::listing(), Fault::new().truncated_at(100).without_header("content-length").times(1));
    hub.fault(On::listing(), Fault::new().truncated_at(100).times(1));
    let client = client(&hub);
    for _ in 0..2 {
        let error = client.revision(&repository(), &Revision::main()).await.unwrap_err();
        assert_eq!((error.reason(), error.is_retryable()), ("HubUnavailable", true), "{error}");
    }
    client.revision(&repository(), &Revision::main()).await.unwrap();
}

#[tokio::test]
async fn row_13_lying_answers_are_malformed() {
    let (hub, commit) = hub().await;
    let client = client(&hub);
    let path = "sub dir/model.bin";
    for (on, fault) in [
        (On::resolve(path), Fault::new().header("x-linked-size", "99999")),
        (On::resolve(path), Fault::new().header("x-linked-size", "many")),
        (On::resolve(path), Fault::new().header("x-repo-commit", &"0".repeat(40))),
        (On::resolve(path), Fault::new().without_header("location")),
        (On::storage(path), Fault::new().header("content-encoding", "gzip")),
    ] {
        hub.clear_faults();
        hub.fault(on, fault);
        let error = client.open(&repository(), &commit, path, 0).await.unwrap_err();
        assert_eq!(error.reason(), "MalformedAnswer", "{error}");
    }
    for body in ["<html>", "{}", "{\"sha\": \"../..\", \"siblings\": []}", &"1".repeat(100_000)] {
        hub.clear_faults();
        hub.fault(On::listing(), Fault::new().body(body.to_owned()));
        let error = client.revision(&repository(), &Revision::main()).await.unwrap_err();
        assert_eq!(error.reason(), "MalformedAnswer", "{error}");
    }
    hub.clear_faults();
    let other = hub.push("tiny/model", "other", [("a", "1")]).unwrap();
    let answer = format!("{{\"sha\": \"{other}\", \"siblings\": []}}");
    hub.fault(On::listing(), Fault::new().body(answer));
    let error = client.revision(&repository(), &commit.as_str().parse().unwrap()).await.unwrap_err();
    assert_eq!(error.reason(), "MalformedAnswer", "{error}");
}

#[tokio::test]
async fn row_12_a_redirect_elsewhere_needs_to_be_allowed() {
    let (hub, commit) = fill(TestHub::start_with_storage_at([127, 0, 0, 2].into()).await.unwrap());
    let folder = tempfile::tempdir().unwrap();
    let token_file = folder.path().join("token");
    std::fs::write(&token_file, "hf_secret\n").unwrap();
    let refusing = HubSettings { token_file: Some(token_file), ..settings(&hub) };
    let allowing = HubSettings { allowed_redirect_hosts: vec!["127.0.0.2".to_owned()], ..refusing.clone() };
    let path = "sub dir/model.bin";
    let error = fetch(&HubClient::new(refusing).unwrap(), &commit, path).await.unwrap_err();
    assert_eq!(error.reason(), "RedirectRefused");
    assert!(!error.to_string().contains("signature"), "a signed address is a credential: {error}");
    assert!(hub.requests().iter().all(|request| !request.at_storage_listener));

    assert_eq!(fetch(&HubClient::new(allowing).unwrap(), &commit, path).await.unwrap(), large_bytes());
    let requests = hub.requests();
    for request in &requests {
        let expected = (!request.at_storage_listener).then_some("Bearer hf_secret");
        assert_eq!(request.authorization.as_deref(), expected);
    }
    assert!(requests.iter().any(|request| request.at_storage_listener));
}

#[tokio::test]
async fn row_12_hostile_redirects_are_refused() {
    let (hub, commit) = hub().await;
    let client = client(&hub);
    for location in [
        "http://169.254.169.254/latest/meta-data",
        "http://127.0.0.2:1/a",
        "http://localhost:1/a",
        "file:///etc/passwd",
        "http://user:secret@127.0.0.1:1/a",
    ] {
        hub.clear_faults();
        hub.fault(On::resolve("config.json"), Fault::redirect(location));
        let error = fetch(&client, &commit, "config.json").await.unwrap_err();
        assert_eq!(error.reason(), "RedirectRefused", "{location}: {error}");
        assert!(!error.to_string().contains("secret"));
    }
    hub.clear_faults();
    hub.fault(On::resolve("config.json"), Fault::redirect("config.json"));
    assert_eq!(fetch(&client, &commit, "config.json").await.unwrap_err().reason(), "RedirectRefused");
}

#[tokio::test]
async fn row_12_a_rotated_token_is_read_again_and_never_shown() {
    let (hub, _) = hub().await;
    hub.require_token("tiny/model", "hf_second").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let token_file = folder.path().join("token");
    let client =
        HubClient::new(HubSettings { token_file: Some(token_file.clone()), ..settings(&hub) }).unwrap();
    let missing = client.revision(&repository(), &Revision::main()).await.unwrap_err();
    assert_eq!(missing.reason(), "TokenUnreadable");
    std::fs::write(&token_file, "hf_first").unwrap();
    let refused = client.revision(&repository(), &Revision::main()).await.unwrap_err();
    assert_eq!(refused.reason(), "RepositoryNotFound");
    std::fs::write(&token_file, "hf_second").unwrap();
    client.revision(&repository(), &Revision::main()).await.unwrap();
    for text in [format!("{client:?}"), format!("{refused:?} {refused}"), format!("{missing:?} {missing}")] {
        assert!(!text.contains("hf_first") && !text.contains("hf_second"), "{text}");
    }
}

#[tokio::test]
async fn row_11_transport_failures_have_distinct_reasons() {
    let (hub, _) = hub().await;
    let port = hub.endpoint().rsplit(':').next().unwrap().to_owned();
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let table = [
        (format!("https://127.0.0.1:{port}"), "TlsFailed"),
        (format!("http://127.0.0.1:{closed}"), "HubUnavailable"),
        ("http://no-such-host.invalid".to_owned(), "DnsFailed"),
    ];
    for (endpoint, reason) in table {
        let settings = HubSettings { endpoint: endpoint.parse().unwrap(), ..settings(&hub) };
        let client = HubClient::new(settings).unwrap();
        let error = client.revision(&repository(), &Revision::main()).await.unwrap_err();
        assert_eq!(error.reason(), reason, "{endpoint}: {error:?}");
    }
}

#[test]
fn endpoints_are_checked() {
    for endpoint in ["ftp://a", "https://user:secret@a", "https://a?b", "https://a#b", "data:x"] {
        let error = HubClient::new(HubSettings::new(endpoint.parse().unwrap())).unwrap_err();
        assert_eq!(error.reason(), "HubMisconfigured", "{endpoint}");
        assert!(!error.to_string().contains("secret"));
    }
}

/// An image without root certificates can use a Hub that speaks plain HTTP. Another process, because the certificates
/// are found through the environment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_http_needs_no_root_certificates() {
    let this = std::env::current_exe().unwrap();
    let output = tokio::process::Command::new(this)
        .args(["--exact", "a_revision_is_resolved_and_its_files_listed"])
        .env("SSL_CERT_FILE", "/dev/null")
        .env("SSL_CERT_DIR", "/nonexistent")
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
