//! Disks that are full, read-only or broken.

use std::fs;
use std::process::Command;
use std::time::Duration;

use ostler_artifacts::{Cache, FetchPolicy, fetch};
use ostler_test_hub::{Fault, On};

use crate::processes::child;
use crate::support::*;

/// Row 14, before the first byte.
#[tokio::test]
async fn too_little_room_is_noticed_before_anything_is_received() {
    let bench = bench().await;
    let cache = bench.cache.clone().with_policy(FetchPolicy { reserve_bytes: u64::MAX / 2, ..policy() });
    let error = fetch(&bench.client, &cache, &repository(), &bench.commit, &all, |_| {}).await.unwrap_err();
    assert_eq!((error.reason(), error.is_retryable()), ("DiskFull", false));
    assert_eq!(bench.transfers(), 0);
}

/// Row 14, while writing, on a real small file system, where this machine lets a test mount one in a namespace of
/// its own: the partial file is removed. (A unit test has the same error on every machine.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_file_system_fills_up() {
    let can_mount = Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", "mount -t tmpfs -o size=64k tmpfs /mnt"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !can_mount {
        return;
    }
    let bench = bench().await;
    bench.hub.fault(On::file(LARGE), Fault::new().trickling(10_000, Duration::from_millis(50)));
    let root = bench.cache.root().display().to_string();
    // Another program takes the room while the file is received.
    let script = format!(
        "mount -t tmpfs -o size=400k tmpfs {root} || exit 1
        (while ! test -s {root}/models--tiny--model/blobs/*.incomplete; do sleep 0.02; done
         head -c 1M /dev/zero > {root}/filler) 2> /dev/null &
        \"$@\"; wait; ls {root}/models--tiny--model/blobs"
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-c", &script, "sh"]);
    let mut command = child(command, &bench);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("reason=DiskFull"), "{output:?}");
    assert!(!text.contains("incomplete"), "{output:?}");
}

/// Row 15.
#[tokio::test]
async fn a_cache_that_cannot_be_written_to_is_named() {
    let bench = bench().await;
    fs::write(bench.stored(), "").unwrap();
    let error = bench.fetch().await.unwrap_err();
    assert_eq!((error.reason(), error.is_retryable()), ("CacheFailed", false), "{error}");
    assert!(error.to_string().contains("models--tiny--model"), "{error}");
    assert_eq!(Cache::open("/proc/none".into()).unwrap_err().reason(), "CacheFailed");
}
