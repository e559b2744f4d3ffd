//! The check before a load: that the files are still here, and still what they were when they were published.

use ostler_crds::names::{Commit, RepositoryId};

use crate::blob::{Listed, Presence};
use crate::blocking::Cancellation;
use crate::cache::Cache;
use crate::error::ArtifactError;
use crate::events::{CacheEvent, FoundBy};
use crate::fetch::{FileEntry, Select};
use crate::inspect::inspect;
use crate::layout::{Layout, pointer_target};
use crate::listing;
use crate::lock;
use crate::plan;
use crate::publish;
use crate::verified::Stamp;

impl Cache {
    /// Checks the files of a commit that `select` chooses: all must be there, and those that `is_read` says of must have
    /// the fast checksum that was noted when they were published. What the fetch before has just verified and nobody
    /// has touched is not read again. A damaged file is removed, so that nobody takes it for whole. Hold the commit
    /// meanwhile; call it on a blocking thread.
    ///
    /// # Errors
    /// `CacheLost` where a file is missing or damaged: fetch it again. `CacheFailed` where it cannot be read.
    pub fn check(
        &self,
        repository: &RepositoryId,
        commit: &Commit,
        select: Select<'_>,
        is_read: impl Fn(&str) -> bool,
    ) -> Result<(), ArtifactError> {
        let layout = self.layout(repository);
        let subject = || format!("{repository} at {commit}");
        let lost =
            |path: &str, problem| ArtifactError::Lost { path: path.to_owned(), subject: subject(), problem };
        let listed = listing::read(&layout, commit).unwrap_or_else(|| listing::of_snapshot(&layout, commit));
        let entries: Vec<FileEntry> =
            listed.iter().map(|file| FileEntry { path: file.path.clone(), size: file.blob.size() }).collect();
        let chosen = select(&entries).and_then(|chosen| plan::choose(&listed, &chosen));
        let Ok(files) = chosen else { return Err(lost("its listing", MISSING)) };
        for file in &files {
            let pointer = layout.pointer(commit, &file.path);
            let target = std::fs::read_link(&pointer);
            if !target.is_ok_and(|target| target == pointer_target(&file.path, &file.blob)) {
                return Err(lost(&file.path, MISSING));
            }
        }
        for Listed { path, blob } in plan::distinct(&files) {
            if !is_read(&path) {
                if std::fs::metadata(layout.blob(&blob)).is_ok_and(|it| it.len() == blob.size()) {
                    continue;
                }
                return Err(lost(&path, MISSING));
            }
            if self.verified().take(&layout.blob(&blob)) {
                continue;
            }
            let stamp = Stamp::of(&layout.blob(&blob));
            match inspect(&layout, &blob, &Cancellation::default())? {
                Presence::Verified => {}
                Presence::Missing { .. } => return Err(lost(&path, MISSING)),
                Presence::Corrupt => {
                    self.remove_damaged(&layout, blob.name(), stamp, FoundBy::Load)?;
                    return Err(lost(&path, DAMAGED));
                }
            }
        }
        Ok(())
    }

    /// Takes contents that were found damaged when they had this stamp away from their name, unless somebody has
    /// replaced them meanwhile. The note that says what they were goes too.
    pub(crate) fn remove_damaged(
        &self,
        layout: &Layout,
        name: &str,
        stamp: Option<Stamp>,
        found_by: FoundBy,
    ) -> Result<(), ArtifactError> {
        let path = layout.blobs().join(name);
        tracing::warn!(
            contents = name,
            repository = layout.display_name(),
            ?found_by,
            "damaged in the cache: removed, and fetched again when it is needed"
        );
        self.tell(&CacheEvent::Damaged(found_by));
        // Whoever holds the lock is about to replace them.
        let Some(_lock) = lock::try_lock(&layout.lock_of(name))? else { return Ok(()) };
        if Stamp::of(&path) != stamp {
            return Ok(());
        }
        publish::remove(&path)?;
        publish::remove(&layout.record_of(name))
    }
}

const MISSING: &str = "missing";
const DAMAGED: &str = "damaged";
