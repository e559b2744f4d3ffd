//! The check before a load.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

use ostler_artifacts::{CacheEvent, FoundBy};

use crate::support::*;

/// Row 16: a load finds what rotted since, takes it away, and the next fetch brings it back.
#[tokio::test]
async fn row_16_a_load_finds_bit_rot() {
    let bench = bench().await;
    bench.fetch().await.unwrap();
    let events = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&events);
    let cache = bench.cache.clone().watched(Arc::new(move |event| heard.lock().unwrap().push(*event)));
    let check = || cache.check(&repository(), &bench.commit, &all, |_| true);
    check().unwrap();
    check().unwrap();
    for place in [0, BYTES / 2, BYTES - 1] {
        let blob = bench.large_blob();
        let mut bytes = large_bytes();
        bytes[place] ^= 4;
        fs::set_permissions(&blob, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(&blob, bytes).unwrap();
        let error = check().unwrap_err();
        assert_eq!((error.reason(), error.is_retryable()), ("CacheLost", true));
        assert!(error.to_string().contains(LARGE) && error.to_string().contains("damaged"), "{error}");
        assert!(!blob.exists());
        let missing = check().unwrap_err();
        assert!(missing.to_string().contains("missing"), "{missing}");
        bench.hub.forget_requests();
        assert_whole(&bench.fetch().await.unwrap());
        assert_eq!(bench.transfers(), 1);
    }
    assert_eq!(*events.lock().unwrap(), [CacheEvent::Damaged(FoundBy::Load); 3]);
}

/// Row 16: what a load does not read must be there, and is not read for the check either.
#[tokio::test]
async fn row_16_what_is_not_read_is_only_looked_for() {
    let bench = bench().await;
    bench.fetch().await.unwrap();
    let blob = bench.large_blob();
    let check = |reads_large: bool| {
        bench.cache.check(&repository(), &bench.commit, &all, |path| reads_large || path != LARGE)
    };
    fs::set_permissions(&blob, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&blob, vec![0; BYTES]).unwrap();
    check(false).unwrap();
    fs::write(&blob, vec![0; BYTES - 1]).unwrap();
    assert_eq!(check(false).unwrap_err().reason(), "CacheLost", "it is shorter than it was");
    fs::write(&blob, vec![0; BYTES]).unwrap();
    assert!(check(true).unwrap_err().to_string().contains("damaged"));
    assert!(check(false).unwrap_err().to_string().contains("missing"));
}

/// Row 16: an overwrite between the fetch and the load that follows it is found too.
#[tokio::test]
async fn row_16_an_overwrite_right_after_the_fetch_is_found() {
    let bench = bench().await;
    bench.fetch().await.unwrap();
    let blob = bench.large_blob();
    fs::set_permissions(&blob, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&blob, vec![0; BYTES]).unwrap();
    let error = bench.cache.check(&repository(), &bench.commit, &all, |_| true).unwrap_err();
    assert_eq!(error.reason(), "CacheLost");
}
