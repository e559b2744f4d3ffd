//! Makes room in the cache: measures, lets [`crate::collection`] choose, and removes what it chose.

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use ostler_crds::names::{Commit, RepositoryId};

use crate::blocking::Cancellation;
use crate::cache::{Cache, CollectionPolicy};
use crate::collection::{Kind, Need, choose};
use crate::error::ArtifactError;
use crate::events::{CacheEvent, Removal};
use crate::in_use::{self, InUse};
use crate::inventory::{self, Inventory, Place, Wanted};
use crate::layout;
use crate::lock::{self, LockGuard};
use crate::remove::{finish_removals, remove};
use crate::room::Room;

/// How often the choice is made anew because somebody began to use what was chosen.
const ROUNDS: usize = 3;

/// A program that is just being started has the locks of whoever starts it for a moment.
const MOMENT: Duration = Duration::from_millis(500);

impl Cache {
    /// Keeps a commit in the cache as long as the answer lives, and notes its use. Call it on a blocking thread.
    ///
    /// # Errors
    /// Where the cache cannot be written to: then nothing keeps others from removing it.
    pub fn hold(&self, repository: &RepositoryId, commit: &Commit) -> Result<InUse, ArtifactError> {
        InUse::share(&self.layout(repository).in_use(commit))
    }

    /// Keeps what was made of pickles and folders in the cache as long as the answer lives. Call it on a blocking
    /// thread.
    ///
    /// # Errors
    /// As [`Cache::hold`].
    pub fn hold_copies(&self) -> Result<InUse, ArtifactError> {
        InUse::share(&layout::copies_in_use(self.root()))
    }

    /// Notes that a plan names a commit, for all processes on the cache. It holds for half an hour. Call it on a
    /// blocking thread.
    ///
    /// # Errors
    /// Where the cache cannot be written to.
    pub fn mark_named(&self, repository: &RepositoryId, commit: &Commit) -> Result<(), ArtifactError> {
        let layout = self.layout(repository);
        if layout.snapshot(commit).is_dir() { in_use::mark(&layout.named(commit)) } else { Ok(()) }
    }

    /// Frees the part of the disk that the policy keeps free, as far as what is idle allows; without a policy it does
    /// nothing. Call it on a blocking thread.
    ///
    /// # Errors
    /// Where the room cannot be measured, or the lock of whoever makes room cannot be taken.
    pub fn collect(&self) -> Result<(), ArtifactError> {
        self.collect_but(None)
    }

    /// The same, of which what was just fetched is not a part.
    pub(crate) fn collect_but(&self, fetched: Option<&Wanted>) -> Result<(), ArtifactError> {
        let Some(policy) = self.collection() else { return Ok(()) };
        let need = || {
            let room = self.room()?;
            Ok(Need::Spare(room.lacking(room.part(policy.keep_free_percent))))
        };
        self.make_room(policy, need, fetched, &Cancellation::default())
    }

    /// Makes room for so many bytes, where the policy allows and what is not in use is enough.
    pub(crate) fn make_room_for(
        &self,
        bytes: u64,
        wanted: &Wanted,
        cancellation: &Cancellation,
    ) -> Result<(), ArtifactError> {
        let Some(policy) = self.collection() else { return Ok(()) };
        let need = || Ok(Need::Fetch(self.room()?.lacking(bytes)));
        self.make_room(policy, need, Some(wanted), cancellation)
    }

    pub(crate) fn room(&self) -> Result<Room, ArtifactError> {
        Room::measure(self.root(), self.policy().limit_bytes)
    }

    fn make_room(
        &self,
        policy: CollectionPolicy,
        need: impl Fn() -> Result<Need, ArtifactError>,
        wanted: Option<&Wanted>,
        cancellation: &Cancellation,
    ) -> Result<(), ArtifactError> {
        let first = need()?;
        if matches!(first, Need::Fetch(0) | Need::Spare(0)) {
            return Ok(());
        }
        // Two that make room at once would both remove what one of them needs.
        let _alone = self.enter(is_fetch(first), cancellation)?;
        finish_removals(self.root());
        for _ in 0..ROUNDS {
            let need = need()?;
            if matches!(need, Need::Fetch(0) | Need::Spare(0)) {
                break;
            }
            let now = SystemTime::now();
            let inventory = inventory::read(self.root(), wanted, now);
            let chosen = choose(&inventory.listing, need, now, policy.grace);
            if chosen.is_empty() || self.remove_all(&inventory, &chosen, need, now) {
                break;
            }
        }
        Ok(())
    }

    /// The lock of whoever makes room. Whoever needs the room waits for others; whoever only tidies up waits a moment and
    /// leaves it to them.
    fn enter(&self, must_wait: bool, cancellation: &Cancellation) -> Result<LockGuard, ArtifactError> {
        let path = layout::collecting(self.root());
        let start = Instant::now();
        loop {
            if let Some(lock) = lock::try_lock(&path)? {
                return Ok(lock);
            }
            let waited = start.elapsed();
            if cancellation.is_cancelled() {
                return Err(ArtifactError::Cancelled);
            }
            let patience = if must_wait { self.policy().lock_patience } else { MOMENT };
            if waited >= patience {
                return Err(ArtifactError::LockStalled { path, waited });
            }
            std::thread::sleep(self.policy().lock_poll);
        }
    }

    /// Removes what was chosen. Says whether all of it is gone.
    fn remove_all(&self, inventory: &Inventory, chosen: &[usize], need: Need, now: SystemTime) -> bool {
        let mut is_all = true;
        for index in chosen {
            let (Some(place), Some(holding)) =
                (inventory.places.get(*index), inventory.listing.holdings.get(*index))
            else {
                continue;
            };
            match remove(self.root(), place) {
                Ok(Some(bytes)) => {
                    let idle = now.duration_since(holding.last_used).unwrap_or_default();
                    let removal =
                        Removal { kind: kind(holding.kind, place), for_fetch: is_fetch(need), bytes };
                    tracing::info!(
                        what = %Described(place),
                        kind = removal.kind,
                        bytes,
                        unused_for_seconds = idle.as_secs(),
                        because = if removal.for_fetch { "a fetch needs room" } else { "the disk has too little room" },
                        "removed from the cache"
                    );
                    self.tell(&CacheEvent::Removed(removal));
                }
                Ok(None) => is_all = false,
                Err(error) => {
                    is_all = false;
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, what = %Described(place), "cannot be removed from the cache");
                }
            }
        }
        is_all
    }
}

fn is_fetch(need: Need) -> bool {
    matches!(need, Need::Fetch(_))
}

fn kind(kind: Kind, place: &Place) -> &'static str {
    match (kind, place) {
        (Kind::Commit { .. }, _) => "commit",
        (Kind::Copy, _) => "copy",
        (Kind::Leftover, Place::Loose { name, .. }) if name.ends_with(layout::PARTIAL_SUFFIX) => "transfer",
        (Kind::Leftover, _) => "contents",
    }
}

struct Described<'a>(&'a Place);

impl fmt::Display for Described<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Place::Commit { layout, commit } => write!(formatter, "{} at {commit}", layout.display_name()),
            Place::Loose { layout, name } => write!(formatter, "{name} of {}", layout.display_name()),
            Place::Copy(path) => write!(formatter, "{}", path.display()),
        }
    }
}
