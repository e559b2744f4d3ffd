//! Making room in the cache: what goes, what stays, and what a removal that is cut short leaves behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use ostler_artifacts::{ArtifactError, Cache, CacheEvent, CollectionPolicy, FetchPolicy, Snapshot, fetch};
use ostler_crds::names::Commit;

use crate::processes::child;
use crate::support::*;

/// Room for one commit and a half.
const LIMIT: u64 = BYTES as u64 * 3 / 2;

/// A bench with a second commit, of which only the large file differs, and a cache that holds one of the two.
struct Two {
    bench: Bench,
    second: Commit,
    events: Arc<Mutex<Vec<CacheEvent>>>,
}

async fn two() -> Two {
    let mut bench = bench().await;
    let mut next = files();
    next[1].1 = second_bytes();
    let second = bench.hub.push("tiny/model", "main", next).unwrap().parse().unwrap();
    let events = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&events);
    bench.cache = bounded(&bench.cache, LIMIT, Duration::ZERO)
        .watched(Arc::new(move |event| heard.lock().unwrap().push(*event)));
    Two { bench, second, events }
}

fn second_bytes() -> Vec<u8> {
    large_bytes().iter().map(|byte| byte ^ 1).collect()
}

/// The same cache, which may take so many bytes and in which nothing was used too lately to go.
fn bounded(cache: &Cache, limit_bytes: u64, grace: Duration) -> Cache {
    let policy = FetchPolicy { limit_bytes: Some(limit_bytes), reserve_bytes: 0, ..policy() };
    cache.clone().with_policy(policy).with_collection(Some(CollectionPolicy { keep_free_percent: 50, grace }))
}

impl Two {
    async fn fetch_second(&self) -> Result<Snapshot, ArtifactError> {
        fetch(&self.bench.client, &self.bench.cache, &repository(), &self.second, &all, |_| {}).await
    }

    fn snapshot(&self, commit: &Commit) -> PathBuf {
        self.bench.stored().join("snapshots").join(commit.as_str())
    }

    /// Nothing is left of the first commit but what the second one shares with it.
    fn assert_first_is_gone(&self) {
        let stored = self.bench.stored();
        assert!(!self.snapshot(&self.bench.commit).exists());
        assert!(!self.bench.large_blob().exists());
        for folder in ["listings", "packed", "named", "removing", "in-use", "verified"] {
            let names: Vec<_> = fs::read_dir(stored.join(".ostler").join(folder))
                .into_iter()
                .flatten()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            let large = self.bench.large_blob();
            let digest = large.file_name().unwrap().to_str().unwrap();
            let is_of_first =
                |name: &&String| name.contains(self.bench.commit.as_str()) || name.contains(digest);
            assert_eq!(names.iter().find(is_of_first), None, "in {folder}");
        }
    }
}

fn assert_second(snapshot: &Snapshot) {
    assert!(fs::read(snapshot.folder.join(LARGE)).unwrap() == second_bytes());
    assert!(fs::read(snapshot.folder.join(SMALL)).unwrap() == files()[0].1);
}

#[tokio::test]
async fn a_fetch_that_lacks_room_takes_that_of_an_older_commit() {
    let two = two().await;
    two.bench.fetch().await.unwrap();
    let packed = two.bench.cache.packed_of_commit(&repository(), &two.bench.commit);
    fs::create_dir_all(&packed).unwrap();
    fs::write(packed.join("x.packed"), "packed").unwrap();
    let reference = two.bench.stored().join("refs/main");
    fs::create_dir_all(reference.parent().unwrap()).unwrap();
    fs::write(&reference, two.bench.commit.as_str()).unwrap();
    assert_second(&two.fetch_second().await.unwrap());
    two.assert_first_is_gone();
    assert!(!reference.exists() && !packed.exists());
    let events = two.events.lock().unwrap().clone();
    let [CacheEvent::Removed(removal)] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((removal.kind, removal.for_fetch), ("commit", true));
    assert!(removal.bytes >= BYTES as u64);
    // And the other way round: what was removed is fetched like anything else.
    assert_whole(&two.bench.fetch().await.unwrap());
}

#[tokio::test]
async fn without_a_policy_nothing_is_removed() {
    let two = two().await;
    two.bench.fetch().await.unwrap();
    let cache = two.bench.cache.clone().with_collection(None);
    let error = fetch(&two.bench.client, &cache, &repository(), &two.second, &all, |_| {}).await.unwrap_err();
    assert_eq!(error.reason(), "DiskFull");
    cache.collect().unwrap();
    assert_whole(&two.bench.fetch().await.unwrap());
}

/// Row 14: where even all that may go is too little, nothing goes.
#[tokio::test]
async fn row_14_nothing_is_removed_in_vain() {
    let two = two().await;
    two.bench.fetch().await.unwrap();
    let cache = bounded(&two.bench.cache, BYTES as u64 - 1, Duration::ZERO);
    let error = fetch(&two.bench.client, &cache, &repository(), &two.second, &all, |_| {}).await.unwrap_err();
    assert_eq!(error.reason(), "DiskFull", "{error}");
    assert_whole(&two.bench.fetch().await.unwrap());
    assert!(two.events.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_a_plan_names_or_was_used_lately_goes_only_for_a_fetch() {
    let two = two().await;
    two.bench.fetch().await.unwrap();
    let lately = bounded(&two.bench.cache, LIMIT, Duration::from_secs(3600));
    lately.collect().unwrap();
    assert_whole(&two.bench.fetch().await.unwrap());
    two.bench.cache.mark_named(&repository(), &two.bench.commit).unwrap();
    two.bench.cache.collect().unwrap();
    assert_whole(&two.bench.fetch().await.unwrap());
    assert_second(&two.fetch_second().await.unwrap());
    two.assert_first_is_gone();
    // The second was used without a plan that names it: there is no room to keep it while it is idle.
    two.bench.cache.collect().unwrap();
    assert!(!two.snapshot(&two.second).exists());
}

fn age(path: &Path, age: Duration) {
    fs::File::options().append(true).open(path).unwrap().set_modified(SystemTime::now() - age).unwrap();
}

/// Transfers of others that are fresh stay, and so does what their lock's holder receives; old ones go.
#[tokio::test]
async fn fresh_transfers_of_others_stay_and_old_ones_go() {
    let two = two().await;
    two.bench.fetch().await.unwrap();
    let blobs = two.bench.stored().join("blobs");
    let hour = Duration::from_secs(3600);
    let names = ["1", "2", "3"].map(|digit| digit.repeat(64));
    let partials = names.each_ref().map(|name| blobs.join(format!("{name}.incomplete")));
    for partial in &partials {
        fs::write(partial, vec![0; 50_000]).unwrap();
    }
    age(&partials[1], 2 * hour);
    age(&partials[2], 2 * hour);
    let locks = two.bench.cache.root().join(".locks/models--tiny--model");
    let lock = fs::File::create(locks.join(format!("{}.lock", names[2]))).unwrap();
    lock.lock().unwrap();
    bounded(&two.bench.cache, 1000, hour).collect().unwrap();
    assert_eq!(partials.each_ref().map(|partial| partial.exists()), [true, false, true]);
}

/// Copies of weights go like commits, and stay while somebody reads them.
#[tokio::test]
async fn copies_go_unless_they_are_read() {
    let two = two().await;
    let cache = bounded(&two.bench.cache, 1000, Duration::ZERO);
    let converted = cache.root().join(".ostler-converted/a.safetensors");
    let packed = cache.packed_of_folder(Path::new("/models/a"), "sha256:1").join("x.packed");
    for path in [&converted, &packed] {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, vec![0; 10_000]).unwrap();
    }
    let held = cache.hold_copies().unwrap();
    cache.collect().unwrap();
    assert!(converted.exists() && packed.exists());
    drop(held);
    cache.collect().unwrap();
    assert!(!converted.exists() && !packed.exists());
}

/// Row 20: what is open or mapped when it is removed can be read to its end, because it is unlinked, never truncated.
#[tokio::test]
async fn row_20_what_is_open_when_it_is_removed_is_read_to_its_end() {
    use std::io::Read;
    let two = two().await;
    two.bench.fetch().await.unwrap();
    let mut open = fs::File::open(two.bench.large_blob()).unwrap();
    let mut bytes = vec![0; 1000];
    open.read_exact(&mut bytes).unwrap();
    two.fetch_second().await.unwrap();
    two.assert_first_is_gone();
    open.read_to_end(&mut bytes).unwrap();
    assert!(bytes == large_bytes());
}

/// Row 21: a commit that somebody has loaded is never removed, here or from another process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_21_what_is_in_use_is_never_removed() {
    let two = two().await;
    two.bench.fetch().await.unwrap();
    let held = two.bench.cache.hold(&repository(), &two.bench.commit).unwrap();
    assert_eq!(two.fetch_second().await.unwrap_err().reason(), "DiskFull");
    two.bench.cache.check(&repository(), &two.bench.commit, &all, |_| true).unwrap();
    let mut command = this_program(&two, "collecting::collecting_child");
    let status = tokio::task::spawn_blocking(move || command.status().unwrap()).await.unwrap();
    assert!(status.success());
    assert_whole(&two.bench.fetch().await.unwrap());
    drop(held);
    assert_second(&two.fetch_second().await.unwrap());
    two.assert_first_is_gone();
}

/// Row 21: threads that load, and processes that remove, race: what is held and was there stays there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_21_loads_and_removals_race() {
    let two = two().await;
    let is_over = Arc::new(AtomicBool::new(false));
    let loads = {
        let (cache, commit, is_over) =
            (two.bench.cache.clone(), two.bench.commit.clone(), Arc::clone(&is_over));
        let folder = two.snapshot(&commit);
        std::thread::spawn(move || {
            let (mut found, mut lost) = (0, 0);
            while !is_over.load(Ordering::Relaxed) {
                let held = cache.hold(&repository(), &commit).unwrap();
                match cache.check(&repository(), &commit, &all, |_| true) {
                    Ok(()) => {
                        found += 1;
                        for _ in 0..20 {
                            assert_whole(&Snapshot { folder: folder.clone(), commit: commit.clone() });
                        }
                    }
                    Err(error) => {
                        assert_eq!(error.reason(), "CacheLost");
                        lost += 1;
                    }
                }
                drop(held);
                std::thread::yield_now();
            }
            (found, lost)
        })
    };
    let mut removed = 0;
    for round in 0..60 {
        // What is in use makes one of the two wait for its room.
        let fetched = if round % 2 == 0 { two.bench.fetch().await } else { two.fetch_second().await };
        match fetched {
            Ok(_) => removed += 1,
            Err(error) => assert_eq!(error.reason(), "DiskFull", "{error}"),
        }
    }
    is_over.store(true, Ordering::Relaxed);
    let (found, lost) = tokio::task::spawn_blocking(move || loads.join().unwrap()).await.unwrap();
    assert!(found > 0 && removed > 1, "found {found}, lost {lost}, fetched {removed}");
}

/// Killed at each of the system calls that remove something, a removal leaves a cache that works: the other commit is
/// whole, the removed one is whole or gone or fetched again, and the next collection takes away the rest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_that_is_killed_leaves_a_cache_that_works() {
    let two = two().await;
    let mut killed = 0;
    for call in ["unlink", "unlinkat", "rename", "rmdir", "fsync", "mkdir"] {
        for number in 1..40 {
            two.bench.empty();
            let roomy = bounded(&two.bench.cache, 1 << 30, Duration::ZERO);
            for commit in [&two.bench.commit, &two.second] {
                fetch(&two.bench.client, &roomy, &repository(), commit, &all, |_| {}).await.unwrap();
            }
            let packed = roomy.packed_of_commit(&repository(), &two.bench.commit);
            fs::create_dir_all(&packed).unwrap();
            fs::write(packed.join("x.packed"), "packed").unwrap();
            // The second one is in use, so the first one goes.
            let held = roomy.hold(&repository(), &two.second).unwrap();
            let mut command = Command::new("strace");
            command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
            command.args(["-e", &format!("inject={call}:signal=SIGKILL:when={number}")]);
            let mut command = of_child(command, &two, "collecting::collecting_child");
            let status = tokio::task::spawn_blocking(move || command.status().unwrap()).await.unwrap();
            two.bench.hub.forget_requests();
            let second = Snapshot { folder: two.snapshot(&two.second), commit: two.second.clone() };
            assert_second(&second);
            roomy.check(&repository(), &two.second, &all, |_| true).unwrap();
            assert_eq!(two.bench.transfers(), 0);
            let first = two.snapshot(&two.bench.commit);
            // Where the snapshot is there, so is all that it links to.
            for path in published(&two.bench.stored()) {
                assert!(path.exists(), "{} leads to nothing after {call} {number}", path.display());
            }
            assert!(!first.exists() || first.join(LARGE).exists());
            // What the kill has left is taken away by the next collection.
            bounded(&two.bench.cache, 1000, Duration::ZERO).collect().unwrap();
            two.assert_first_is_gone();
            drop(held);
            let again =
                fetch(&two.bench.client, &roomy, &repository(), &two.bench.commit, &all, |_| {}).await;
            assert_whole(&again.unwrap());
            if status.success() {
                break;
            }
            killed += 1;
        }
    }
    assert!(killed >= 10, "killed at {killed} calls only: is strace allowed to trace?");
}

fn of_child(command: Command, two: &Two, test: &str) -> Command {
    let mut command = child(command, &two.bench, test);
    command.stdout(Stdio::null());
    command
}

fn this_program(two: &Two, test: &str) -> Command {
    of_child(Command::new(std::env::current_exe().unwrap()), two, test)
}

/// What another process does that makes room; without its variables it is no child, and there is nothing to do.
#[test]
fn collecting_child() {
    let Some(root) = crate::processes::child_cache() else { return };
    bounded(&Cache::open(root).unwrap(), 1000, Duration::ZERO).collect().unwrap();
}
