//! The whole way from a pinned commit to a folder of verified files, on one screen: list, choose, prepare, transfer,
//! link.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use futures::stream::{self, StreamExt, TryStreamExt};
use ostler_crds::names::{Commit, RepositoryId, Revision};
use ostler_hub::{HubClient, HubError};

use crate::attempts::Attempts;
use crate::blob::{Listed, Presence};
use crate::blocking;
use crate::cache::Cache;
use crate::error::ArtifactError;
use crate::in_use;
use crate::layout::{Layout, pointer_target};
use crate::listing;
use crate::plan::{self, Part, Plan};
use crate::prepare::{Prepared, prepare, wanted};
use crate::progress::{Meter, Transfer};
use crate::promises::Promise;
use crate::publish;
use crate::transfer::{Source, transfer};
use crate::verified::Stamp;

/// A file that a repository holds, for choosing among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// The path in the repository.
    pub path: String,
    /// The length in bytes.
    pub size: u64,
}

/// The chosen files of a repository at a commit, all verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The folder that holds them under their paths in the repository.
    pub folder: PathBuf,
    /// The commit.
    pub commit: Commit,
}

/// Chooses files by path, or says why the repository cannot be used.
pub type Select<'a> = &'a (dyn Fn(&[FileEntry]) -> Result<Vec<String>, String> + Send + Sync);

/// Fetches the files that `select` chooses of a repository at a commit; what is in the cache and passes its checks
/// is not fetched again, and when all of it is, the network is not used. `progress` is told how far it has come.
/// Dropping the future stops the fetch; the next one goes on where it stopped.
///
/// # Errors
/// See [`ArtifactError`]; transient failures of the Hub are handed up only after bounded attempts.
pub async fn fetch(
    hub: &HubClient,
    cache: &Cache,
    repository: &RepositoryId,
    commit: &Commit,
    select: Select<'_>,
    progress: impl Fn(Transfer) + Send + Sync,
) -> Result<Snapshot, ArtifactError> {
    let layout = cache.layout(repository);
    let source = Source { hub, repository, commit, layout: &layout, policy: cache.policy() };

    let files = chosen_files(&source, select).await?;
    let Prepared { plan, promise, held } = prepare(cache, &source, &files).await?;
    transfer_all(&source, &plan, &promise, &progress).await?;
    drop(promise);
    remember_all(cache, &layout, &plan);
    link_all(&layout, commit, files).await?;
    drop(held);
    note_use(cache, &source, &plan).await?;
    Ok(Snapshot { folder: layout.snapshot(commit), commit: commit.clone() })
}

/// Notes that the commit was used, and frees what is to be kept free where the fetch has taken of it.
async fn note_use(cache: &Cache, source: &Source<'_>, plan: &Plan) -> Result<(), ArtifactError> {
    let (cache, path) = (cache.clone(), source.layout.in_use(source.commit));
    let (has_grown, fetched) = (plan.needed_bytes > 0, wanted(source, plan));
    blocking::run(move |_| {
        if let Err(error) = in_use::mark(&path) {
            tracing::debug!(%error, "the use of the commit is not noted");
        }
        // Whoever makes room already does it for all.
        if has_grown && let Err(error) = cache.collect_but(Some(&fetched)) {
            tracing::debug!(%error, "no room was made after the fetch");
        }
        Ok(())
    })
    .await
}

/// Lists the repository and chooses among its files. Where the Hub cannot be asked, what the snapshot already holds
/// is chosen from, so that a cache filled by `huggingface_hub` works without it.
async fn chosen_files(source: &Source<'_>, select: Select<'_>) -> Result<Vec<Listed>, ArtifactError> {
    let (layout, commit) = (source.layout.clone(), source.commit.clone());
    if let Some(listed) = blocking::run(move |_| Ok(listing::read(&layout, &commit))).await? {
        return choose(source, &listed, select);
    }
    let error = match listed_by_hub(source).await {
        Ok(listed) => return choose(source, &listed, select),
        Err(error) => error,
    };
    let (layout, commit) = (source.layout.clone(), source.commit.clone());
    let listed = blocking::run(move |_| Ok(listing::of_snapshot(&layout, &commit))).await?;
    match choose(source, &listed, select) {
        Ok(files) => {
            tracing::warn!(
                repository = %source.repository,
                error = &error as &dyn std::error::Error,
                "the hub cannot be asked; using what the cache holds"
            );
            Ok(files)
        }
        Err(_) => Err(error),
    }
}

async fn listed_by_hub(source: &Source<'_>) -> Result<Vec<Listed>, ArtifactError> {
    let unsuitable = |problem| ArtifactError::Unsuitable { subject: subject(source), problem };
    let revision: Revision = source
        .commit
        .as_str()
        .parse()
        .map_err(|error| unsuitable(format!("its commit is no revision: {error}")))?;
    let mut attempts = Attempts::new(&source.policy.retry);
    let answer = loop {
        match source.hub.revision(source.repository, &revision).await {
            Ok(answer) => break answer,
            Err(error) => attempts.wait_after(error).await?,
        }
    };
    let malformed = |problem| HubError::MalformedAnswer { subject: subject(source), problem };
    let listed = listing::of_hub(&answer.files).map_err(malformed)?;
    let (layout, commit, kept) = (source.layout.clone(), source.commit.clone(), listed.clone());
    blocking::run(move |_| {
        // A cache that cannot be written to may still hold everything.
        if let Err(error) = listing::write(&layout, &commit, &kept) {
            tracing::debug!(%error, "listing not kept");
        }
        Ok(())
    })
    .await?;
    Ok(listed)
}

fn choose(source: &Source<'_>, listed: &[Listed], select: Select<'_>) -> Result<Vec<Listed>, ArtifactError> {
    let entry = |file: &Listed| FileEntry { path: file.path.clone(), size: file.blob.size() };
    let entries: Vec<FileEntry> = listed.iter().map(entry).collect();
    select(&entries)
        .and_then(|chosen| plan::choose(listed, &chosen))
        .map_err(|problem| ArtifactError::Unsuitable { subject: subject(source), problem })
}

fn subject(source: &Source<'_>) -> String {
    format!("{} at {}", source.repository, source.commit)
}

async fn transfer_all(
    source: &Source<'_>,
    plan: &Plan,
    promise: &Promise,
    progress: &(dyn Fn(Transfer) + Send + Sync),
) -> Result<(), ArtifactError> {
    let present = plan.parts.iter().map(Part::present_bytes).collect();
    let meter = Meter::new(plan.total_bytes, present, progress);
    let missing = plan.parts.iter().enumerate().filter(|(_, part)| part.presence != Presence::Verified);
    let transfers: Vec<_> = missing
        .map(|(index, part)| {
            let meter = &meter;
            transfer(source, part, move |bytes| {
                promise.set_left(index, part.blob.size().saturating_sub(bytes));
                meter.set(index, bytes);
            })
        })
        .collect();
    stream::iter(transfers).buffer_unordered(source.policy.parallel.max(1)).try_collect::<()>().await
}

/// Notes that what was received was verified just now.
fn remember_all(cache: &Cache, layout: &Layout, plan: &Plan) {
    for part in plan.parts.iter().filter(|part| part.presence != Presence::Verified) {
        let path = layout.blob(&part.blob);
        let stamp = Stamp::of(&path);
        cache.verified().remember(path, stamp);
    }
}

async fn link_all(layout: &Layout, commit: &Commit, files: Vec<Listed>) -> Result<(), ArtifactError> {
    let (layout, commit) = (layout.clone(), commit.clone());
    blocking::run(move |_| {
        let mut changed = BTreeSet::new();
        for file in &files {
            let pointer = layout.pointer(&commit, &file.path);
            if publish::link(&pointer, &pointer_target(&file.path, &file.blob))? {
                changed.extend(pointer.parent().map(Path::to_owned));
            }
        }
        changed.iter().try_for_each(|folder| publish::sync_folder(folder))
    })
    .await
}
