//! The hub for tests answers as huggingface.co does, and its faults reach the client.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use ostler_test_hub::{Fault, On, TestHub};
use reqwest::{Client, Response, redirect::Policy};
use serde_json::Value;

fn client() -> Client {
    Client::builder().redirect(Policy::none()).no_proxy().build().unwrap()
}

async fn get(url: &str) -> Response {
    client().get(url).send().await.unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

fn large_bytes() -> Vec<u8> {
    (0..1000_u32).flat_map(u32::to_le_bytes).collect()
}

async fn hub() -> (TestHub, String) {
    let hub = TestHub::start().await.unwrap();
    let commit = hub
        .push("tiny/model", "main", [("config.json", b"{}".to_vec()), ("sub/model.bin", large_bytes())])
        .unwrap();
    (hub, commit)
}

#[tokio::test]
async fn a_listing_gives_commit_sizes_and_digests() {
    let (hub, commit) = hub().await;
    let url = format!("{}/api/models/tiny/model/revision/main?blobs=true", hub.endpoint());
    let listing: Value = get(&url).await.json().await.unwrap();
    assert_eq!(listing["sha"], commit.as_str());
    assert_eq!(listing["siblings"][0]["rfilename"], "config.json");
    assert_eq!(listing["siblings"][0]["blobId"], "9e26dfeeb6e641a33dae4961196235bdb965b21b");
    assert_eq!(listing["siblings"][1]["lfs"]["size"], 4000);
    let plain: Value = get(&format!("{}/api/models/tiny/model", hub.endpoint())).await.json().await.unwrap();
    assert_eq!(plain["sha"], commit.as_str());
    assert!(plain["siblings"][0].get("size").is_none());
}

#[tokio::test]
async fn a_small_file_is_answered_with_its_blob_id() {
    let (hub, commit) = hub().await;
    let response = get(&format!("{}/tiny/model/resolve/main/config.json", hub.endpoint())).await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "x-repo-commit"), commit);
    assert_eq!(header(&response, "etag"), "\"9e26dfeeb6e641a33dae4961196235bdb965b21b\"");
    assert_eq!(response.text().await.unwrap(), "{}");
    let url = format!("{}/tiny/model/resolve/main/config.json", hub.endpoint());
    let head = client().head(url).send().await.unwrap();
    assert_eq!(header(&head, "content-length"), "2");
}

#[tokio::test]
async fn a_large_file_is_redirected_and_ranged() {
    let (hub, commit) = hub().await;
    let response = get(&format!("{}/tiny/model/resolve/{commit}/sub/model.bin", hub.endpoint())).await;
    assert_eq!(response.status(), 302);
    assert_eq!(header(&response, "x-linked-size"), "4000");
    let location = header(&response, "location").to_owned();
    assert_eq!(get(&location).await.bytes().await.unwrap(), large_bytes());
    let part = client().get(&location).header("range", "bytes=3990-").send().await.unwrap();
    assert_eq!(part.status(), 206);
    assert_eq!(header(&part, "content-range"), "bytes 3990-3999/4000");
    assert_eq!(part.bytes().await.unwrap(), large_bytes()[3990..]);
    let beyond = client().get(&location).header("range", "bytes=4000-").send().await.unwrap();
    assert_eq!(beyond.status(), 416);
    let unsigned = location.split('?').next().unwrap();
    assert_eq!(get(unsigned).await.status(), 403);
    assert_eq!(hub.count(&On::file("sub/model.bin")), 2);
}

#[tokio::test]
async fn refusals_carry_the_hubs_codes() {
    let (hub, _) = hub().await;
    hub.push("tiny/gated", "main", [("a", "1")]).unwrap();
    hub.gate("tiny/gated").unwrap();
    hub.push("tiny/private", "main", [("a", "1")]).unwrap();
    hub.require_token("tiny/private", "hf_x").unwrap();
    let table = [
        ("/api/models/tiny/none", 404, "RepoNotFound"),
        ("/api/models/tiny/model/revision/none", 404, "RevisionNotFound"),
        ("/tiny/model/resolve/main/none", 404, "EntryNotFound"),
        ("/tiny/gated/resolve/main/a", 401, "GatedRepo"),
        ("/api/models/tiny/private", 401, "RepoNotFound"),
    ];
    for (path, status, code) in table {
        let response = get(&format!("{}{path}", hub.endpoint())).await;
        assert_eq!((response.status().as_u16(), header(&response, "x-error-code")), (status, code), "{path}");
        assert!(response.json::<Value>().await.unwrap()["error"].is_string());
    }
    let url = format!("{}/tiny/private/resolve/main/a", hub.endpoint());
    assert_eq!(client().get(url).bearer_auth("hf_x").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn faults_reach_the_client() {
    let (hub, _) = hub().await;
    let url = format!("{}/tiny/model/resolve/main/config.json", hub.endpoint());
    hub.fault(On::file("config.json"), Fault::status(503).header("retry-after", "7").times(1))
        .fault(On::file("config.json"), Fault::new().truncated_at(1).times(1))
        .fault(
            On::file("config.json"),
            Fault::new().truncated_at(1).without_header("content-length").times(1),
        )
        .fault(On::file("config.json"), Fault::new().flipping(1).times(1));
    let unavailable = get(&url).await;
    assert_eq!((unavailable.status().as_u16(), header(&unavailable, "retry-after")), (503, "7"));
    assert!(get(&url).await.bytes().await.is_err());
    assert_eq!(get(&url).await.text().await.unwrap(), "{");
    assert_eq!(get(&url).await.text().await.unwrap(), "{|");
    assert_eq!(get(&url).await.text().await.unwrap(), "{}");
}

#[tokio::test]
async fn storage_can_be_at_another_address() {
    let hub = TestHub::start_with_storage_at([127, 0, 0, 2].into()).await.unwrap();
    hub.push("tiny/model", "main", [("model.bin", large_bytes())]).unwrap();
    let response = get(&format!("{}/tiny/model/resolve/main/model.bin", hub.endpoint())).await;
    let location = header(&response, "location").to_owned();
    assert!(location.starts_with("http://127.0.0.2:"));
    assert_eq!(get(&location).await.bytes().await.unwrap(), large_bytes());
    assert!(hub.requests()[1].at_storage_listener);
    hub.shut_down().await.unwrap();
}
