//! Reads what is in a cache: what can be removed, what it would free, and who uses it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{DirEntry, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ostler_crds::names::Commit;

use crate::collection::{Holding, Kind, Listing, SharedBlob};
use crate::in_use::is_in_use;
use crate::layout::{self, Layout, PARTIAL_SUFFIX, blob_name_of};

/// A plan that has named a commit within this time is taken to name it still: every process marks the commits of its
/// plan anew far more often.
pub(crate) const NAMED_FOR: Duration = Duration::from_secs(30 * 60);

/// What somebody is about to fetch, so that none of it goes to make room for the rest.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) layout: Layout,
    pub(crate) commit: Commit,
    /// The names of its blobs.
    pub(crate) blobs: BTreeSet<String>,
}

/// Where a holding is.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    Commit {
        layout: Layout,
        commit: Commit,
    },
    /// A file in `blobs/` that no snapshot links to: whole contents, or a transfer.
    Loose {
        layout: Layout,
        name: String,
    },
    /// A file or folder that is only a copy.
    Copy(PathBuf),
}

/// What is in a cache, and where each of it is.
#[derive(Debug, Default)]
pub(crate) struct Inventory {
    pub(crate) listing: Listing,
    /// One for each holding of the listing.
    pub(crate) places: Vec<Place>,
}

/// Reads a whole cache. What cannot be read is left out, and so it stays.
pub(crate) fn read(root: &Path, wanted: Option<&Wanted>, now: SystemTime) -> Inventory {
    let mut inventory = Inventory::default();
    for entry in entries(root) {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| Layout::is_repository(name)) else { continue };
        let layout = Layout::of_folder(root, name);
        let wanted = wanted.filter(|wanted| wanted.layout.snapshots() == layout.snapshots());
        inventory.add_repository(&layout, wanted, now);
    }
    let are_copies_in_use = is_in_use(&layout::copies_in_use(root));
    let folders = entries(&layout::packed_of_folders(root));
    let packed = folders.iter().flat_map(|folder| entries(&folder.path()));
    for entry in packed.chain(entries(&layout::converted(root))) {
        let path = entry.path();
        let (own_bytes, last_used) = extent(&path);
        let holding =
            Holding { kind: Kind::Copy, last_used, in_use: are_copies_in_use, own_bytes, blobs: Vec::new() };
        inventory.add(holding, Place::Copy(path));
    }
    inventory
}

impl Inventory {
    fn add(&mut self, holding: Holding, place: Place) {
        self.listing.holdings.push(holding);
        self.places.push(place);
    }

    fn add_repository(&mut self, layout: &Layout, wanted: Option<&Wanted>, now: SystemTime) {
        let is_wanted = |name: &str| wanted.is_some_and(|wanted| wanted.blobs.contains(name));
        let files: BTreeMap<String, Metadata> = entries(&layout.blobs())
            .into_iter()
            .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.metadata().ok()?)))
            .collect();
        let is_fetched_from = is_in_use(&layout.fetching());
        let mut places: HashMap<&str, usize> = HashMap::new();
        for entry in entries(&layout.snapshots()) {
            let links = Links::of(&entry.path());
            let mut blobs = Vec::new();
            for name in &links.blobs {
                let Some((name, metadata)) = files.get_key_value(name) else { continue };
                let place = *places.entry(name).or_insert_with(|| {
                    let bytes = size_on_disk(metadata);
                    self.listing.blobs.push(SharedBlob { bytes, is_kept: is_wanted(name) });
                    self.listing.blobs.len() - 1
                });
                blobs.push(place);
            }
            let commit = entry.file_name().to_str().and_then(|name| name.parse::<Commit>().ok());
            let Some(commit) = commit else {
                // A snapshot of another kind is not ours to remove, so what it links to stays.
                blobs.iter().for_each(|place| self.listing.blobs[*place].is_kept = true);
                continue;
            };
            let is_named = modified(&layout.named(&commit))
                .is_some_and(|marked| now.duration_since(marked).unwrap_or_default() < NAMED_FOR);
            let use_file = layout.in_use(&commit);
            let (packed_bytes, _) = extent(&layout.packed().join(commit.as_str()));
            let is_being_fetched = wanted.is_some_and(|wanted| wanted.commit == commit);
            let holding = Holding {
                kind: Kind::Commit { is_named },
                last_used: modified(&use_file).unwrap_or(SystemTime::UNIX_EPOCH).max(links.newest),
                in_use: is_being_fetched || is_fetched_from || is_in_use(&use_file),
                own_bytes: links.own_bytes.saturating_add(packed_bytes),
                blobs,
            };
            self.add(holding, Place::Commit { layout: layout.clone(), commit });
        }
        let linked: BTreeSet<&str> = places.into_keys().collect();
        for (name, metadata) in files.iter().filter(|(name, _)| !linked.contains(name.as_str())) {
            let digest = name.strip_suffix(PARTIAL_SUFFIX).unwrap_or(name);
            let holding = Holding {
                kind: Kind::Leftover,
                last_used: metadata.modified().unwrap_or(now),
                in_use: is_wanted(digest) || is_fetched_from || is_in_use(&layout.lock_of(name)),
                own_bytes: size_on_disk(metadata),
                blobs: Vec::new(),
            };
            self.add(holding, Place::Loose { layout: layout.clone(), name: name.clone() });
        }
    }
}

/// What a snapshot's folder holds.
#[derive(Debug)]
pub(crate) struct Links {
    /// The names of the blobs that it links to.
    pub(crate) blobs: BTreeSet<String>,
    /// The bytes of files that are no links, as on systems without them.
    pub(crate) own_bytes: u64,
    /// When the newest of it was made.
    pub(crate) newest: SystemTime,
}

impl Links {
    pub(crate) fn of(snapshot: &Path) -> Self {
        let newest = modified(snapshot).unwrap_or(SystemTime::UNIX_EPOCH);
        let mut links = Self { blobs: BTreeSet::new(), own_bytes: 0, newest };
        walk(snapshot, &mut |path, metadata| {
            links.newest = links.newest.max(metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH));
            if metadata.is_symlink() {
                let target = std::fs::read_link(path).unwrap_or_default();
                links.blobs.extend(blob_name_of(&target).map(str::to_owned));
            } else if metadata.is_file() {
                links.own_bytes = links.own_bytes.saturating_add(size_on_disk(metadata));
            }
        });
        links
    }
}

/// The bytes of a file or folder on the disk, and when the newest of it was read or written, as far as the file system
/// keeps that.
pub(crate) fn extent(path: &Path) -> (u64, SystemTime) {
    let (mut bytes, mut newest) = (0_u64, SystemTime::UNIX_EPOCH);
    let mut take = |metadata: &Metadata| {
        bytes = bytes.saturating_add(size_on_disk(metadata));
        for time in [metadata.modified(), metadata.accessed()].into_iter().flatten() {
            // Reading a folder, as is done here, is no use of it.
            if !metadata.is_dir() {
                newest = newest.max(time);
            }
        }
    };
    if let Ok(metadata) = std::fs::symlink_metadata(path) {
        take(&metadata);
        if metadata.is_dir() {
            walk(path, &mut |_, metadata| take(metadata));
        }
    }
    (bytes, newest)
}

/// What a file takes of the disk, which for small ones is more and for sparse ones less than its length.
pub(crate) fn size_on_disk(metadata: &Metadata) -> u64 {
    metadata.blocks().saturating_mul(512)
}

/// When a file was changed last, if it is there.
pub(crate) fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

/// Shows everything below a folder, links as links.
fn walk(folder: &Path, show: &mut dyn FnMut(&Path, &Metadata)) {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in entries(&folder) {
            let path = entry.path();
            // Of the link, not of what it leads to.
            let Ok(metadata) = entry.metadata() else { continue };
            show(&path, &metadata);
            if metadata.is_dir() {
                folders.push(path);
            }
        }
    }
}

pub(crate) fn entries(folder: &Path) -> Vec<DirEntry> {
    std::fs::read_dir(folder).map(|entries| entries.flatten().collect()).unwrap_or_default()
}
