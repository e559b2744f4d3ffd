//! What is cached: used without the network, checked before use, shared with `huggingface_hub`'s layout.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use ostler_artifacts::{Cache, fetch};
use ostler_hub::HubClient;
use ostler_test_hub::{Fault, On};

use crate::support::*;

/// A client of a hub that is not there.
fn nobody() -> HubClient {
    HubClient::new(settings("http://127.0.0.1:9")).unwrap()
}

/// Overwrites a published blob in place, as `dd` or a failing disk would.
fn overwrite(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_complete_snapshot_needs_no_network() {
    let mut bench = bench().await;
    bench.fetch().await.unwrap();
    bench.hub.forget_requests();
    let (snapshot, transfers) = bench.fetch_with_progress().await;
    assert_whole(&snapshot.unwrap());
    assert_eq!(transfers.len(), 1, "all is here from the first report on");
    assert_eq!(transfers[0].completed_bytes, transfers[0].total_bytes);
    assert!(bench.hub.requests().is_empty());
    bench.client = nobody();
    assert_whole(&bench.fetch().await.unwrap());
}

/// Row 16: a cached file that changed is never used; it is received again, and with the Hub away that is an error.
#[tokio::test]
async fn row_16_bit_rot_is_found_and_repaired() {
    let mut bench = bench().await;
    bench.fetch().await.unwrap();
    let changes: [fn(&mut Vec<u8>); 4] = [
        |bytes| bytes[0] ^= 1,
        |bytes| bytes[BYTES - 1] ^= 128,
        |bytes| bytes.truncate(100),
        |bytes| bytes.push(0),
    ];
    for change in changes {
        overwrite(&bench.large_blob(), change);
        bench.hub.forget_requests();
        assert_whole(&bench.fetch().await.unwrap());
        assert_eq!(bench.transfers(), 1);
    }
    overwrite(&bench.large_blob(), |bytes| bytes[7] ^= 1);
    bench.client = nobody();
    assert_eq!(bench.fetch().await.unwrap_err().reason(), "HubUnavailable");
    assert!(!bench.large_blob().exists());
}

/// Row 20: a repair never touches the contents that somebody has mapped or open.
#[tokio::test]
async fn row_20_a_repair_replaces_the_file_and_leaves_open_ones_alone() {
    use std::io::Read;
    let bench = bench().await;
    bench.fetch().await.unwrap();
    overwrite(&bench.large_blob(), |bytes| bytes[0] ^= 1);
    let mut open = fs::File::open(bench.large_blob()).unwrap();
    assert_whole(&bench.fetch().await.unwrap());
    let mut bytes = Vec::new();
    open.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len(), BYTES);
    assert_ne!(bytes[0], large_bytes()[0]);
}

#[tokio::test]
async fn lost_links_and_damaged_notes_are_made_again() {
    let bench = bench().await;
    let snapshot = bench.fetch().await.unwrap();
    fs::remove_file(snapshot.folder.join(LARGE)).unwrap();
    fs::remove_file(snapshot.folder.join(SMALL)).unwrap();
    symlink("../../blobs/elsewhere", snapshot.folder.join(SMALL)).unwrap();
    bench.hub.forget_requests();
    assert_whole(&bench.fetch().await.unwrap());
    assert!(bench.hub.requests().is_empty());
    for notes in ["listings", "verified"] {
        for entry in fs::read_dir(bench.stored().join(".ostler").join(notes)).unwrap() {
            fs::write(entry.unwrap().path(), "{\"size\":").unwrap();
        }
    }
    assert_whole(&bench.fetch().await.unwrap());
    assert_eq!(bench.transfers(), 0);
}

#[tokio::test]
async fn commits_share_their_blobs() {
    let bench = bench().await;
    bench.fetch().await.unwrap();
    let mut files = files();
    files[0].1 = b"{\"a\": 2}\n".to_vec();
    let next = bench.hub.push("tiny/model", "main", files).unwrap().parse().unwrap();
    fetch(&bench.client, &bench.cache, &repository(), &next, &all, |_| {}).await.unwrap();
    assert_eq!(bench.transfers(), 1);
    assert_whole(&bench.fetch().await.unwrap());
}

/// A cancelled fetch leaves a partial file and a free lock; the next one goes on there.
#[tokio::test]
async fn a_cancelled_fetch_is_resumed() {
    let bench = bench().await;
    bench.hub.fault(On::file(LARGE), Fault::new().stalling_after(120_000).times(1));
    tokio::select! {
        fetched = bench.fetch() => panic!("not stalled: {fetched:?}"),
        () = received(&bench, 120_000) => {}
    }
    assert_no_large(&bench);
    assert_eq!(fs::metadata(bench.large_partial()).unwrap().len(), 120_000);
    assert_whole(&bench.fetch().await.unwrap());
    let requests = bench.hub.requests();
    assert!(requests.iter().any(|request| request.range.as_deref() == Some("bytes=120000-")));
}

/// What an earlier transfer left is believed only as far as its digest goes.
#[tokio::test]
async fn a_damaged_partial_file_costs_one_more_transfer() {
    let bench = bench().await;
    fs::create_dir_all(bench.stored().join("blobs")).unwrap();
    for (partial, transfers) in
        [(vec![0; 50_000], 2), (vec![0; BYTES], 1), (vec![0; BYTES + 1], 1), (vec![], 1)]
    {
        let _ = fs::remove_file(bench.large_blob());
        fs::write(bench.large_partial(), partial).unwrap();
        bench.hub.forget_requests();
        assert_whole(&bench.fetch().await.unwrap());
        assert_eq!(bench.transfers(), transfers);
    }
}

/// Files that `huggingface_hub` fetched are found, verified, and used without the network.
#[tokio::test]
async fn a_cache_filled_by_others_is_found_and_verified() {
    let mut bench = bench().await;
    let blobs = bench.stored().join("blobs");
    let snapshot = bench.stored().join("snapshots").join(bench.commit.as_str());
    let fill = || {
        fs::create_dir_all(&blobs).unwrap();
        fs::create_dir_all(snapshot.join("sub")).unwrap();
        for (path, bytes) in files() {
            let name = if path == LARGE {
                bench_name(&bytes)
            } else {
                use sha1::Digest;
                let mut hasher = sha1::Sha1::new_with_prefix(format!("blob {}\0", bytes.len()));
                hasher.update(&bytes);
                hex::encode(hasher.finalize())
            };
            fs::write(blobs.join(&name), bytes).unwrap();
            let up = if path.contains('/') { "../../../blobs" } else { "../../blobs" };
            symlink(format!("{up}/{name}"), snapshot.join(path)).unwrap();
        }
    };
    fill();
    assert_whole(&bench.fetch().await.unwrap());
    assert_eq!(bench.transfers(), 0);

    // Without the Hub, and without this project's own notes.
    fs::remove_dir_all(bench.stored()).unwrap();
    fill();
    let client = std::mem::replace(&mut bench.client, nobody());
    assert_whole(&bench.fetch().await.unwrap());

    // Damaged by others, so fetched again.
    bench.client = client;
    fs::remove_dir_all(bench.stored()).unwrap();
    fill();
    overwrite(&bench.large_blob(), |bytes| bytes[5] ^= 1);
    assert_whole(&bench.fetch().await.unwrap());
    assert_eq!(bench.transfers(), 1);
}

fn bench_name(bytes: &[u8]) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(bytes))
}

/// hf-hub's own scan of the cache finds what was fetched.
#[tokio::test]
async fn hf_hub_reads_the_cache() {
    let bench = bench().await;
    bench.fetch().await.unwrap();
    let client = hf_hub::HFClient::builder()
        .cache_dir(bench.cache.root())
        .endpoint("http://127.0.0.1:9")
        .build()
        .unwrap();
    let scan = client.scan_cache().send().await.unwrap();
    assert_eq!(scan.warnings, Vec::<String>::new());
    assert_eq!(scan.repos.len(), 1);
    assert_eq!((scan.repos[0].repo_id.as_str(), scan.repos[0].repo_type), ("tiny/model", "model"));
    let revision = &scan.repos[0].revisions[0];
    assert_eq!(revision.commit_hash, bench.commit.as_str());
    assert_eq!(revision.size_on_disk, BYTES as u64 + 9);
}

#[tokio::test]
async fn a_read_only_cache_serves_what_it_holds() {
    let bench = bench().await;
    bench.fetch().await.unwrap();
    let cache = Cache::open(bench.cache.root().to_owned()).unwrap();
    fs::remove_dir_all(bench.stored().join(".ostler")).unwrap();
    // A file in the place of the notes' folder refuses them to root too.
    fs::write(bench.stored().join(".ostler"), "").unwrap();
    let snapshot = fetch(&bench.client, &cache, &repository(), &bench.commit, &all, |_| {}).await.unwrap();
    assert_whole(&snapshot);
}
