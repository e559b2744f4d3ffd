//! The verification in the background: what it finds, and when it rests.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use ostler_artifacts::{Cache, CacheEvent, FoundBy, Scrub, ScrubPolicy};

use crate::support::*;

type Events = Arc<Mutex<Vec<CacheEvent>>>;

fn policy() -> ScrubPolicy {
    ScrubPolicy {
        interval: Duration::from_secs(3600),
        bytes_per_second: 1 << 30,
        first_wait: Duration::ZERO,
        longest_wait: Duration::from_millis(10),
    }
}

/// A cache with one snapshot that was verified so long ago that it is due, and what it tells.
async fn due() -> (Bench, Cache, Events) {
    let bench = bench().await;
    bench.fetch().await.unwrap();
    let notes = bench.stored().join(".ostler/verified");
    for entry in fs::read_dir(notes).unwrap() {
        let file = fs::File::options().append(true).open(entry.unwrap().path()).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(7200)).unwrap();
    }
    let events = Events::default();
    let heard = Arc::clone(&events);
    let cache = bench.cache.clone().watched(Arc::new(move |event| heard.lock().unwrap().push(*event)));
    (bench, cache, events)
}

/// Changes a published file behind everybody's back, with the times that it had and a note that says it is right.
fn rot(path: &Path, note: &Path) {
    let modified = fs::metadata(path).unwrap().modified().unwrap();
    let mut bytes = fs::read(path).unwrap();
    bytes[77] ^= 1;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(path, &bytes).unwrap();
    fs::File::options().append(true).open(path).unwrap().set_modified(modified).unwrap();
    let checksum = twox_hash::XxHash3_64::oneshot(&bytes);
    let noted = fs::metadata(note).unwrap().modified().unwrap();
    fs::write(note, format!("{{\"size\":{},\"xxh3\":\"{checksum:016x}\"}}", bytes.len())).unwrap();
    fs::File::options().append(true).open(note).unwrap().set_modified(noted).unwrap();
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(20), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Row 16: what the fast checksum cannot know of is found in full, taken away, and fetched again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_16_the_scrub_finds_what_the_fast_checksum_does_not() {
    let (bench, cache, events) = due().await;
    let blob = bench.large_blob();
    let note = bench
        .stored()
        .join(".ostler/verified")
        .join(format!("{}.json", blob.file_name().unwrap().to_str().unwrap()));
    rot(&blob, &note);
    assert!(
        bench.cache.check(&repository(), &bench.commit, &all, |_| true).is_ok(),
        "the note says that it is right"
    );
    let scrub = Scrub::start(cache, policy(), || true).unwrap();
    wait_until("the damage is found", || !blob.exists());
    // Those that are right are noted, and not looked at again.
    wait_until("all is looked at", || events.lock().unwrap().len() >= 3);
    std::thread::sleep(Duration::from_millis(100));
    drop(scrub);
    let events = events.lock().unwrap().clone();
    assert_eq!(events.len(), 3, "{events:?}");
    assert!(
        events.contains(&CacheEvent::Damaged(FoundBy::Scrub)) && events.contains(&CacheEvent::Scrubbed(9))
    );
    assert!(!note.exists());
    bench.hub.forget_requests();
    assert_whole(&bench.fetch().await.unwrap());
    assert_eq!(bench.transfers(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scrub_rests_while_others_work_and_ends_at_once() {
    let (_bench, cache, events) = due().await;
    let is_quiet = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&is_quiet);
    let scrub = Scrub::start(cache, policy(), move || asked.load(Ordering::Relaxed)).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert!(events.lock().unwrap().is_empty());
    is_quiet.store(true, Ordering::Relaxed);
    wait_until("it goes on", || events.lock().unwrap().len() == 3);
    is_quiet.store(false, Ordering::Relaxed);
    let start = Instant::now();
    drop(scrub);
    assert!(start.elapsed() < Duration::from_secs(1));
}

/// Two processes, here two scrubs, do not read the same twice, and the pace of one is that of the volume.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_scrubs_for_all_at_its_pace() {
    let (_bench, cache, events) = due().await;
    let slow = ScrubPolicy { bytes_per_second: BYTES as u64, ..policy() };
    let start = Instant::now();
    let scrubs = [0, 1].map(|_| Scrub::start(cache.clone(), slow.clone(), || true).unwrap());
    wait_until("all is looked at", || events.lock().unwrap().len() >= 3);
    assert!(start.elapsed() >= Duration::from_millis(900), "{:?}", start.elapsed());
    std::thread::sleep(Duration::from_millis(100));
    drop(scrubs);
    assert_eq!(events.lock().unwrap().len(), 3);
}
