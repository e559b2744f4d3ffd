//! What a fetch does before its first byte: looks at what is here, and makes sure of room for the rest.

use crate::blob::{Listed, Presence};
use crate::blocking;
use crate::cache::Cache;
use crate::error::ArtifactError;
use crate::events::{CacheEvent, FoundBy};
use crate::in_use::InUse;
use crate::inspect::inspect;
use crate::inventory::Wanted;
use crate::layout::Layout;
use crate::plan::{self, Part, Plan};
use crate::promises::Promise;
use crate::transfer::Source;
use crate::verified::Stamp;

/// What a fetch may go by.
pub(crate) struct Prepared {
    pub(crate) plan: Plan,
    /// Room for the plan's parts, in their order.
    pub(crate) promise: Promise,
    /// Until it is dropped, nothing is removed from the repository.
    pub(crate) held: Option<InUse>,
}

/// Looks at what is here of the chosen files, and makes sure of room for the rest.
pub(crate) async fn prepare(
    cache: &Cache,
    source: &Source<'_>,
    files: &[Listed],
) -> Result<Prepared, ArtifactError> {
    let disk_full = |detail| ArtifactError::DiskFull { path: cache.root().to_owned(), detail };
    let held = hold(source.layout).await?;
    let plan = inspect_all(cache, source.layout, plan::distinct(files)).await?;
    let lacking = match promise(cache, source, &plan).await? {
        Ok(promise) => return Ok(Prepared { plan, promise, held }),
        Err(lacking) => lacking,
    };
    if cache.collection().is_none() {
        return Err(disk_full(lacking.detail));
    }
    // An older commit of the same repository is the likeliest to go, so the repository is let go meanwhile.
    drop(held);
    let (owned, wanted) = (cache.clone(), wanted(source, &plan));
    blocking::run(move |cancellation| owned.make_room_for(lacking.bytes, &wanted, cancellation)).await?;
    let held = hold(source.layout).await?;
    let plan = inspect_all(cache, source.layout, plan::distinct(files)).await?;
    let promise = promise(cache, source, &plan).await?;
    let promise = promise
        .map_err(|lacking| disk_full(format!("{}, and all else is in use or too little", lacking.detail)))?;
    Ok(Prepared { plan, promise, held })
}

/// What is about to be used, and so does not go to make room for itself.
pub(crate) fn wanted(source: &Source<'_>, plan: &Plan) -> Wanted {
    let blobs = plan.parts.iter().map(|part| part.blob.name().to_owned()).collect();
    Wanted { layout: source.layout.clone(), commit: source.commit.clone(), blobs }
}

/// Keeps everybody from removing something of the repository. A cache that cannot be written to has nobody who does.
async fn hold(layout: &Layout) -> Result<Option<InUse>, ArtifactError> {
    let path = layout.fetching();
    blocking::run(move |_| match InUse::share(&path) {
        Ok(held) => Ok(Some(held)),
        Err(error @ ArtifactError::LockStalled { .. }) => Err(error),
        Err(error) => {
            tracing::debug!(%error, "the repository is not held");
            Ok(None)
        }
    })
    .await
}

async fn inspect_all(cache: &Cache, layout: &Layout, files: Vec<Listed>) -> Result<Plan, ArtifactError> {
    let (cache, layout) = (cache.clone(), layout.clone());
    blocking::run(move |cancellation| {
        let mut parts = Vec::with_capacity(files.len());
        for Listed { path, blob } in files {
            // Taken before the look, so that a change during the look is a change.
            let stamp = Stamp::of(&layout.blob(&blob));
            let presence = inspect(&layout, &blob, cancellation)?;
            match presence {
                Presence::Verified => cache.verified().remember(layout.blob(&blob), stamp),
                Presence::Corrupt => {
                    tracing::warn!(path, contents = blob.name(), "damaged in the cache: fetched again");
                    cache.tell(&CacheEvent::Damaged(FoundBy::Fetch));
                }
                Presence::Missing { .. } => {}
            }
            parts.push(Part { path, blob, presence });
        }
        Ok(plan::plan(parts))
    })
    .await
}

/// What a plan lacks.
struct Lacking {
    /// How much is to be free.
    bytes: u64,
    /// The sentence that says so.
    detail: String,
}

/// Promises the plan its room, beside what other fetches still write, or says how much is missing.
async fn promise(
    cache: &Cache,
    source: &Source<'_>,
    plan: &Plan,
) -> Result<Result<Promise, Lacking>, ArtifactError> {
    let part = |part: &Part| (source.layout.blob(&part.blob), part.missing_bytes());
    let parts = plan.parts.iter().map(part).collect();
    let (cache, needed) = (cache.clone(), plan.needed_bytes);
    blocking::run(move |_| {
        cache.promises().promise(parts, |promised| {
            if needed == 0 {
                return Ok(None);
            }
            let kept = cache.policy().reserve_bytes;
            let detail = plan::missing_room(needed, promised, cache.room()?.free_bytes, kept);
            let bytes = needed.saturating_add(promised).saturating_add(kept);
            Ok(detail.map(|detail| Lacking { bytes, detail }))
        })
    })
    .await
}
