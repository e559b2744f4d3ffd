//! Whatever lies in a cache, which others write to as well, is taken as it must be or passed over: nothing else happens.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Component, Path};
use std::time::SystemTime;

use ostler_crds::names::Commit;
use ostler_fuzz::{Seed, Target};

use crate::inventory::{self, Links, Place};
use crate::layout::{Layout, blob_name_of, pointer_target};
use crate::listing;
use crate::record::Record;

/// A folder for a cache, one for the whole run.
struct Bench {
    root: tempfile::TempDir,
    layout: Layout,
    commit: Commit,
}

thread_local! {
    static BENCH: OnceCell<Bench> = const { OnceCell::new() };
}

fn with_bench(work: impl FnOnce(&Bench) -> String) -> String {
    BENCH.with(|bench| {
        work(bench.get_or_init(|| {
            let root = tempfile::tempdir().unwrap();
            let layout = Layout::new(root.path(), &"openai/whisper-base".parse().unwrap());
            let commit: Commit = "1".repeat(40).parse().unwrap();
            for folder in [
                layout.blobs(),
                layout.listing(&commit).parent().unwrap().to_owned(),
                layout.snapshot(&commit),
            ] {
                fs::create_dir_all(folder).unwrap();
            }
            Bench { root, layout, commit }
        }))
    })
}

/// Holds a path to be below a folder, whatever names it was made of.
fn assert_below(folder: &Path, path: &Path) {
    let below = path.strip_prefix(folder).unwrap_or_else(|_| panic!("{} is elsewhere", path.display()));
    assert!(below.components().all(|step| matches!(step, Component::Normal(_))), "{}", path.display());
    assert!(below.components().next().is_some(), "{}", path.display());
}

fn check_notes(bytes: &[u8]) -> String {
    with_bench(|Bench { root, layout, commit }| {
        let path = layout.listing(commit);
        fs::write(&path, bytes).unwrap();
        let mut told = match listing::read(layout, commit) {
            None => "no listing".to_owned(),
            Some(listed) => {
                for file in &listed {
                    assert_below(&layout.snapshot(commit), &layout.pointer(commit, &file.path));
                    assert_below(&layout.blobs(), &layout.blob(&file.blob));
                    let target = pointer_target(&file.path, &file.blob);
                    assert_eq!(blob_name_of(&target), Some(file.blob.name()));
                }
                assert!(listed.len() <= bytes.len());
                listing::write(layout, commit, &listed).unwrap();
                assert_eq!(listing::read(layout, commit), Some(listed), "it is written as the same one");
                "a listing".to_owned()
            }
        };
        let path = root.path().join("record.json");
        fs::write(&path, bytes).unwrap();
        if let Some(record) = Record::read(&path) {
            record.write(&path).unwrap();
            assert_eq!(Record::read(&path), Some(record), "it is written as the same one");
            told.push_str(" a record");
        }
        told
    })
}

fn notes() -> Vec<Seed> {
    let (commit, digest) = ("1".repeat(40), "c".repeat(64));
    let listing = |path: &str, digest: &str| {
        format!("{{\"commit\":\"{commit}\",\"files\":[{{\"path\":\"{path}\",\"size\":9,\"digest\":\"{digest}\"}}]}}").into_bytes()
    };
    vec![
        ("listing", listing("1_Pooling/config.json", &digest)),
        ("path-upwards", listing("../../../x", &digest)),
        ("digest-upwards", listing("a", "../../x")),
        ("other-commit", format!("{{\"commit\":\"{}\",\"files\":[]}}", "2".repeat(40)).into_bytes()),
        ("record", b"{\"size\":9,\"xxh3\":\"0123456789abcdef\"}".to_vec()),
        ("cut", b"{\"size\":9,\"xx".to_vec()),
        ("deep", "[".repeat(4_000).into_bytes()),
    ]
}

/// Row 60 for what the cache keeps about itself.
#[test]
fn row_60_no_note_in_the_cache_leads_out_of_it() {
    ostler_fuzz::run!(Target {
        seeds: notes,
        tokens: &[
            b"\"path\":",
            b"\"digest\":",
            b"\"size\":",
            b"../",
            b"/",
            b"\\u0000",
            b"\\u002e",
            b"null",
            b"-1",
            b"1e3",
            b"{",
            b"}",
            b"\xff",
        ],
        inputs: 5_000,
        ..Target::new("notes", check_notes)
    });
}

/// Holds a name of a file in `blobs/`, and what is named after it, to be within the cache.
fn assert_name(root: &Path, layout: &Layout, name: &str) {
    assert_below(&layout.blobs(), &layout.blobs().join(name));
    assert_below(root, &layout.lock_of(name));
    assert_below(root, &layout.record_of(name));
}

/// Puts names and links into a cache: lines that begin with `>` are what links hold, the others names of files.
fn check_inventory(bytes: &[u8]) -> String {
    with_bench(|Bench { root, layout, commit }| {
        let mut made = BTreeSet::new();
        for (number, line) in bytes.split(|byte| *byte == b'\n').take(6).enumerate() {
            let (path, target) = match line.strip_prefix(b">") {
                Some(target) => (layout.snapshot(commit).join(format!("link-{number}")), Some(target)),
                // A name that is no name of a file cannot lie in a folder.
                None if line.is_empty() || line.contains(&b'/') || line == b"." || line == b".." => continue,
                None => (layout.blobs().join(OsStr::from_bytes(line)), None),
            };
            let is_made = match target {
                Some(target) => symlink(OsStr::from_bytes(target), &path).is_ok(),
                None => fs::write(&path, "x").is_ok(),
            };
            made.extend(is_made.then_some(path));
        }
        let inventory = inventory::read(root.path(), None, SystemTime::now());
        let mut told = String::new();
        assert_eq!(inventory.listing.holdings.len(), inventory.places.len());
        for (holding, place) in inventory.listing.holdings.iter().zip(&inventory.places) {
            assert!(holding.blobs.iter().all(|blob| *blob < inventory.listing.blobs.len()));
            match place {
                Place::Loose { name, .. } => {
                    assert_name(root.path(), layout, name);
                    told.push('+');
                }
                Place::Commit { commit, .. } => assert_below(root.path(), &layout.snapshot(commit)),
                Place::Copy(path) => assert_below(root.path(), path),
            }
        }
        // A removal of the commit takes along what its links name.
        Links::of(&layout.snapshot(commit))
            .blobs
            .iter()
            .for_each(|name| assert_name(root.path(), layout, name));
        listing::of_snapshot(layout, commit)
            .iter()
            .for_each(|file| assert_below(&layout.blobs(), &layout.blob(&file.blob)));
        made.iter().for_each(|path| fs::remove_file(path).unwrap());
        format!("{told} of {}", "+".repeat(made.len()))
    })
}

fn names() -> Vec<Seed> {
    let name = "a".repeat(64);
    vec![
        ("whole", format!("{name}\n>../../blobs/{name}\n").into_bytes()),
        ("transfer", format!("{name}.incomplete\n").into_bytes()),
        ("suffix-alone", b".incomplete\n".to_vec()),
        ("link-elsewhere", b">/etc/passwd\n>../../blobs/..\n>../../blobs/\n>blobs\n".to_vec()),
        ("link-to-itself", b">link-0\n>.\n".to_vec()),
        ("not-text", b"\xff\xfe\n>\xff/blobs/\xfe\n".to_vec()),
    ]
}

/// Row 60 for the names of files and links that others put into the cache.
#[test]
fn row_60_no_name_in_the_cache_leads_out_of_it() {
    ostler_fuzz::run!(Target {
        seeds: names,
        tokens: &[
            b"..",
            b"blobs/",
            b"../../blobs/",
            b".incomplete",
            b"\n",
            b">",
            b"\\",
            b"\xff",
            b" ",
            b".lock",
            b".json"
        ],
        longest: 1_000,
        inputs: 4_000,
        ..Target::new("cache-names", check_inventory)
    });
}
