//! Disks that are full, read-only or broken.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use ostler_artifacts::{Cache, FetchPolicy, fetch};
use ostler_crds::names::Commit;
use ostler_test_hub::{Fault, On};

use crate::processes::{CHILD, child};
use crate::support::*;

/// Row 14, before the first byte.
#[tokio::test]
async fn row_14_too_little_room_is_noticed_before_anything_is_received() {
    let bench = bench().await;
    let cache = bench.cache.clone().with_policy(FetchPolicy { reserve_bytes: u64::MAX / 2, ..policy() });
    let error = fetch(&bench.client, &cache, &repository(), &bench.commit, &all, |_| {}).await.unwrap_err();
    assert_eq!((error.reason(), error.is_retryable()), ("DiskFull", false));
    assert_eq!(bench.transfers(), 0);
}

/// Row 14, for two at once that fit one by one: the second does not begin what the first will have no room for.
#[tokio::test]
async fn row_14_room_that_a_running_fetch_still_needs_is_not_promised_again() {
    let bench = bench().await;
    let other: Commit = bench.hub.push("tiny/other", "main", files()).unwrap().parse().unwrap();
    let limit_bytes = Some(policy().reserve_bytes + BYTES as u64 * 3 / 2);
    let cache = bench.cache.clone().with_policy(FetchPolicy { limit_bytes, ..policy() });
    bench.hub.fault(On::file(LARGE), Fault::new().trickling(20_000, Duration::from_millis(50)));

    let begun = async {
        received(&bench, 1).await;
        let repository = "tiny/other".parse().unwrap();
        fetch(&bench.client, &cache, &repository, &other, &all, |_| {}).await.unwrap_err()
    };
    let repository = repository();
    let first = fetch(&bench.client, &cache, &repository, &bench.commit, &all, |_| {});
    let (first, refused) = tokio::join!(first, begun);
    assert_whole(&first.unwrap());
    assert_eq!(refused.reason(), "DiskFull");
    assert!(refused.to_string().contains("more by fetches that run"), "{refused}");
    assert_eq!(bench.transfers(), 1);
}

/// Row 14, while writing, on a real small file system, mounted in a namespace of the test's own: the partial file is
/// removed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_14_a_small_file_system_fills_up() {
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
    let mut command = child(command, &bench, CHILD);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("reason=DiskFull"), "{output:?}");
    assert!(!text.contains("incomplete"), "{output:?}");
}

/// Runs a child on small file systems mounted one after the other in a namespace of its own, and another child once each of
/// them has grown. Gives what the two printed.
async fn in_small_file_systems(bench: &Bench, mounts: &[String]) -> Vec<(String, String)> {
    let root = bench.cache.root().display();
    let script = format!(
        "for options in {}; do
            mount -t tmpfs -o $options tmpfs {root} || exit 1
            \"$@\"
            echo GROWN
            mount -o remount,size=4m,nr_inodes=1000 {root} || exit 1
            \"$@\"
            umount {root} || exit 1
            echo END
        done",
        mounts.join(" ")
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-c", &script, "sh"]);
    let mut command = child(command, bench, CHILD);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let two =
        |run: &str| run.split_once("GROWN\n").map(|(first, grown)| (first.to_owned(), grown.to_owned()));
    let runs: Vec<_> = text.split("END\n").filter_map(two).collect();
    assert_eq!(runs.len(), mounts.len(), "{output:?}");
    runs
}

/// Row 14 at every step on the way: on file systems from far too small to large enough, in pages and in inodes, a fetch
/// succeeds or says that the disk is full, and once there is room, the next one succeeds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_14_a_file_system_of_any_size_is_full_or_large_enough() {
    let bench = bench().await;
    let pages = (1..=64).map(|pages| format!("size={}k", 4 * pages));
    let inodes = (2..=24).map(|inodes| format!("nr_inodes={inodes}"));
    let mounts: Vec<String> = pages.chain(inodes).collect();
    let (mut full, mut whole) = (0, 0);
    let is_whole = |run: &str| run.contains("1 passed") && !run.contains("reason=");
    for (mount, (first, grown)) in mounts.iter().zip(in_small_file_systems(&bench, &mounts).await) {
        if first.contains("reason=DiskFull") {
            full += 1;
        } else {
            assert!(is_whole(&first), "{mount}: {first}");
            whole += 1;
        }
        assert!(is_whole(&grown), "{mount}: {grown}");
    }
    assert!(full > 20 && whole > 5, "{full} were full and {whole} large enough");
}

/// Row 15.
#[tokio::test]
async fn row_15_a_cache_that_cannot_be_written_to_is_named() {
    let bench = bench().await;
    fs::write(bench.stored(), "").unwrap();
    let error = bench.fetch().await.unwrap_err();
    assert_eq!((error.reason(), error.is_retryable()), ("CacheFailed", false), "{error}");
    assert!(error.to_string().contains("models--tiny--model"), "{error}");
    assert_eq!(Cache::open("/proc/none".into()).unwrap_err().reason(), "CacheFailed");
}

/// Row 15: a file system that became read-only serves what it holds, and has its reason for what it does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_15_a_read_only_file_system_serves_what_it_holds_and_is_named_for_the_rest() {
    let bench = bench().await;
    let root = bench.cache.root().display().to_string();
    let script = format!(
        "mount -t tmpfs -o size=4m tmpfs {root} || exit 1
        mount -o remount,ro {root} && \"$@\"; echo EMPTY
        mount -o remount,rw {root} && \"$@\"; echo FILLED
        mount -o remount,ro {root} && \"$@\"; echo HELD"
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-c", &script, "sh"]);
    let mut command = child(command, &bench, CHILD);
    let start = std::time::Instant::now();
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(10));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (empty, rest) = text.split_once("EMPTY").unwrap();
    let (filled, held) = rest.split_once("FILLED").unwrap();
    assert!(empty.contains("reason=CacheUnwritable"), "{output:?}");
    assert!(!filled.contains("reason=") && !held.contains("reason=") && held.contains("HELD"), "{output:?}");
    assert_eq!(bench.transfers(), 1);
}

/// Row 15: a disk that fails at any of its calls, reading or writing, gives a reason and leaves nothing wrong under a
/// final name; when it is well again, so is the cache.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_15_a_disk_that_fails_at_any_call_is_named() {
    let bench = bench().await;
    let mut failed = 0;
    for call in ["write", "fsync", "rename", "symlink", "openat", "mkdir"] {
        for number in 1..=12 {
            bench.empty();
            let mut command = Command::new("strace");
            command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
            command.args(["-e", &format!("inject={call}:error=EIO:when={number}")]);
            // Only what is called for a path of the cache fails.
            for path in ["blobs", "snapshots", ".ostler/listings", ".ostler/verified"] {
                command.arg("-P").arg(bench.stored().join(path));
            }
            command.arg("-P").arg(bench.large_partial()).arg("-P").arg(bench.large_blob());
            let mut command = child(command, &bench, CHILD);
            let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(text.contains("1 passed"), "{call} {number}: {output:?}");
            failed += usize::from(text.contains("reason=CacheFailed"));
            for path in published(&bench.stored()) {
                let bytes = fs::read(&path).unwrap();
                assert!(
                    files().iter().any(|(_, right)| *right == bytes),
                    "{call} {number}: {}",
                    path.display()
                );
            }
            assert_whole(&bench.fetch().await.unwrap());
        }
    }
    assert!(failed >= 5, "{failed} fetches met the failing disk: is strace allowed to trace?");
}

/// Row 17: the system calls of a fetch in their order. The contents are synced after their last write and before they
/// get their name, and the name is synced after that, so that a power loss at any point leaves the whole file or none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_17_contents_are_synced_before_they_get_their_name() {
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
    let mut command = child(traced(&log), &bench, CHILD);
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
