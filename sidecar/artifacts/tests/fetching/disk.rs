//! Disks that are full, read-only or broken.

use std::fs;
use std::path::Path;
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

/// Row 14, while writing, on a real small file system, mounted in a namespace of the test's own: the partial file is
/// removed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_file_system_fills_up() {
    let mounted = Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", "mount -t tmpfs -o size=64k tmpfs /mnt"])
        .output()
        .expect("unshare, of the package util-linux");
    assert!(mounted.status.success(), "run as root, or allow user namespaces: {mounted:?}");
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

/// Row 17: the system calls of a fetch in their order. The contents are synced after their last write and before they
/// get their name, and the name is synced after that, so that a power loss at any point leaves the whole file or none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contents_are_synced_before_they_get_their_name() {
    let bench = bench().await;
    let log = bench.folder.path().join("calls");
    let traced = |log: &Path| {
        let mut command = Command::new("strace");
        command
            .args(["-f", "-y", "-qq", "-e", "trace=write,fsync,/^rename", "-e", "signal=none", "-o"])
            .arg(log);
        command
    };
    let can_trace = traced(&log).arg("true").status().expect("strace, of the package strace");
    assert!(can_trace.success(), "this machine does not let a process be traced: {can_trace}");
    let mut command = child(traced(&log), &bench);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{output:?}");

    let calls = fs::read_to_string(&log).unwrap();
    let calls: Vec<&str> = calls.lines().collect();
    let blobs = bench.stored().join("blobs");
    for entry in fs::read_dir(&blobs).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let partial = format!("{name}.incomplete");
        let is_call = |call: &str, kind: &str, path: &str| call.contains(kind) && call.contains(path);
        let renamed = calls.iter().position(|call| is_call(call, "rename", &partial)).unwrap();
        let last_write = calls.iter().rposition(|call| is_call(call, " write(", &partial)).unwrap_or(0);
        let synced = calls.iter().position(|call| is_call(call, "fsync(", &partial)).unwrap();
        let folder = format!("<{}>", blobs.display());
        let folder_synced = calls.iter().rposition(|call| is_call(call, "fsync(", &folder)).unwrap();
        assert!(last_write < synced && synced < renamed && renamed < folder_synced, "{name}: {calls:#?}");
    }
}
