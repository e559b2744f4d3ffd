//! A download that is killed at each of its system calls, from the first byte to the last name.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use ostler_test_hub::{Fault, On};

use crate::processes::{CHILD, child};
use crate::support::*;

/// What a download does to the disk and the network. Threads have their own counts of each, as strace counts them.
const CALLS: [&str; 13] = [
    "openat",
    "mkdir",
    "flock",
    "recvfrom",
    "write",
    "fsync",
    "rename",
    "renameat2",
    "symlink",
    "fchmod",
    "unlink",
    "close",
    "statx",
];

/// Those that programs call for many things beside: only what touches the cache counts.
const FILTERED: [&str; 4] = ["openat", "write", "close", "statx"];

/// More than a call is met in a download.
const MOST: usize = 60;

/// Whether each call is met, or of the most frequent ones, each of the first and some of the others.
fn is_looked_at(number: usize) -> bool {
    std::env::var_os("OSTLER_SOAK").is_some() || number <= 12 || number.is_multiple_of(7)
}

/// Everything below a folder, and the folder.
fn tree(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    let mut next = 0;
    while let Some(path) = found.get(next).cloned() {
        next += 1;
        if fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir()) {
            found.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    found
}

/// The paths that a download touches, those of its transfers included: what a whole one has left tells them.
fn touched(bench: &Bench) -> Vec<PathBuf> {
    let paths = tree(bench.cache.root());
    let is_content = |path: &&PathBuf| path.parent().is_some_and(|folder| folder.ends_with("blobs"));
    let partials: Vec<PathBuf> =
        paths.iter().filter(is_content).map(|path| path.with_extension("incomplete")).collect();
    paths.into_iter().chain(partials).collect()
}

/// A download in another process that is killed where it makes such a call for the time of a number.
fn killed_at(bench: &Bench, call: &str, number: usize, paths: &[PathBuf]) -> Output {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
    command.args(["-e", &format!("inject={call}:signal=SIGKILL:when={number}")]);
    if FILTERED.contains(&call) {
        for path in paths {
            command.arg("-P").arg(path);
        }
    }
    child(command, bench, CHILD).output().unwrap()
}

/// Nothing under a final name is anything but what the hub has, every link leads somewhere, and no lock is held.
fn assert_sound(bench: &Bench, place: &str) {
    for path in published(&bench.stored()) {
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{place}: {}: {error}", path.display()));
        assert!(files().iter().any(|(_, right)| *right == bytes), "{place}: {}", path.display());
    }
    let locks = tree(&bench.cache.root().join(".locks")).into_iter();
    let holds = tree(&bench.stored().join(".ostler/in-use")).into_iter();
    for path in locks.chain(holds).filter(|path| path.is_file()) {
        File::open(&path)
            .unwrap()
            .try_lock()
            .unwrap_or_else(|error| panic!("{place}: {}: {error}", path.display()));
    }
}

/// What a download is to find when it is run: nothing wrong, then everything, by one more process.
async fn assert_finishes(bench: &Bench, place: &str) {
    bench.hub.clear_faults();
    let mut command = child(Command::new(std::env::current_exe().unwrap()), bench, CHILD);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && !text.contains("reason="), "{place}: {output:?}");
    // It asserts itself that each file has its own bytes; and so does everybody who looks.
    let blobs = bench.stored().join("blobs");
    let names: Vec<_> = fs::read_dir(blobs).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), files().len(), "{place}: {names:?}");
    assert_sound(bench, place);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_that_is_killed_at_any_call_leaves_nothing_wrong_and_is_finished_by_the_next_process() {
    let bench = std::sync::Arc::new(bench().await);
    bench.fetch().await.unwrap();
    let paths = touched(&bench);
    let (mut killed, mut resumed, mut whole) = (BTreeMap::new(), 0, 0);
    for call in CALLS {
        for number in (1..=MOST).filter(|number| is_looked_at(*number)) {
            bench.empty();
            let _ = fs::remove_dir_all(bench.cache.root().join(".locks"));
            // In pieces, so that a kill may fall between any two.
            bench.hub.fault(On::file(LARGE), Fault::new().trickling(16_000, Duration::from_millis(1)));
            let (owned, watched) = (std::sync::Arc::clone(&bench), paths.clone());
            let run = move || killed_at(&owned, call, number, &watched);
            let output = tokio::task::spawn_blocking(run).await.unwrap();
            let place = format!("{call} {number}");
            if output.status.success() {
                let text = String::from_utf8_lossy(&output.stdout);
                assert!(text.contains("1 passed") && !text.contains("reason="), "{place}: {output:?}");
                break;
            }
            *killed.entry(call).or_insert(0) += 1;
            assert_sound(&bench, &place);
            resumed += usize::from(bench.large_partial().metadata().is_ok_and(|partial| partial.len() > 0));
            whole += usize::from(bench.large_blob().exists());
            assert_finishes(&bench, &place).await;
        }
    }
    println!("killed at {killed:?}; {resumed} had a part of the file, {whole} the whole one");
    let count: i32 = killed.values().sum();
    assert!(count >= 60 && killed.len() >= 8, "killed at {killed:?} only: is strace allowed to trace?");
    assert!(resumed >= 5 && whole >= 5, "{resumed} had a part of the file, {whole} the whole one");
}
