//! Receives one blob: under its lock, resumed, tried again within bounds, verified, published.

use ostler_crds::names::{Commit, RepositoryId};
use ostler_hub::{Download, HubClient, HubError};
use tokio::sync::mpsc;

use crate::attempts::Attempts;
use crate::blob::Presence;
use crate::blocking;
use crate::cache::FetchPolicy;
use crate::error::ArtifactError;
use crate::inspect::inspect;
use crate::layout::Layout;
use crate::lock;
use crate::partial::{Finished, Partial};
use crate::plan::Part;
use crate::publish;

/// How many received pieces may wait for the disk.
const PIECES_IN_FLIGHT: usize = 16;

/// How often wrong contents are received before the storage is held to be damaged.
const MISMATCHES: usize = 2;

/// The most that an attempt must bring to count as progress, in bytes; of small files a hundredth is enough.
const PROGRESS: u64 = 1 << 20;

/// What the transfers of one fetch share.
pub(crate) struct Source<'a> {
    pub(crate) hub: &'a HubClient,
    pub(crate) repository: &'a RepositoryId,
    pub(crate) commit: &'a Commit,
    pub(crate) layout: &'a Layout,
    pub(crate) policy: &'a FetchPolicy,
}

/// How one attempt to receive the rest of a file ended, short of an error of the disk.
enum Ending {
    /// The body ended, where it should or before.
    Ended,
    /// The Hub failed.
    Failed(HubError),
    /// The Hub's answer cannot be the file that it lists.
    Lying(String),
}

/// Receives a blob unless another process has done so meanwhile; `set` is told how much is here.
pub(crate) async fn transfer(
    source: &Source<'_>,
    part: &Part,
    set: impl Fn(u64) + Send + Sync,
) -> Result<(), ArtifactError> {
    let (layout, blob) = (source.layout, &part.blob);
    let size = blob.size();
    let (poll, patience) = (source.policy.lock_poll, source.policy.lock_patience);
    let waiting = |length: u64| set(length.min(size));
    let lock = lock::acquire(layout.lock(blob), layout.partial(blob), poll, patience, waiting).await?;

    let (owned_layout, owned_blob) = (layout.clone(), blob.clone());
    let opened = blocking::run(move |cancellation| {
        match inspect(&owned_layout, &owned_blob, cancellation)? {
            Presence::Verified => return Ok(None),
            Presence::Corrupt => publish::remove(&owned_layout.blob(&owned_blob))?,
            Presence::Missing { .. } => {}
        }
        Partial::open(owned_layout, owned_blob, lock, cancellation).map(Some)
    })
    .await?;
    let Some(mut partial) = opened else {
        set(size);
        return Ok(());
    };

    let mut attempts = Attempts::new(&source.policy.retry);
    let mut mismatches = 0;
    loop {
        set(partial.length());
        let before = partial.length();
        let mut problem = None;
        if before < size {
            let ending;
            (partial, ending) = receive(source, part, partial, &set).await?;
            let gained = partial.length().saturating_sub(before);
            if gained > 0 && gained >= PROGRESS.min(size / 100) {
                attempts.progressed();
            }
            match ending {
                Ending::Ended if partial.length() < size => {
                    attempts.wait_after(short(source, part, &partial)).await?
                }
                Ending::Ended => {}
                Ending::Failed(error) => attempts.wait_after(error).await?,
                Ending::Lying(lie) => {
                    partial = blocking::run(move |cancellation| partial.restart(cancellation)).await?;
                    problem = Some(lie);
                }
            }
        }
        if problem.is_none() && partial.length() == size {
            match blocking::run(move |cancellation| partial.finish(cancellation)).await? {
                Finished::Published => {
                    set(size);
                    return Ok(());
                }
                Finished::Mismatch(restarted, mismatch) => {
                    partial = *restarted;
                    problem = Some(mismatch);
                }
            }
        }
        if let Some(problem) = problem {
            mismatches += 1;
            tracing::warn!(path = %part.path, repository = %source.repository, %problem, "received contents are wrong");
            if mismatches == MISMATCHES {
                return Err(ArtifactError::IntegrityMismatch {
                    path: part.path.clone(),
                    subject: format!("{} at {}", source.repository, source.commit),
                    problem,
                });
            }
        }
    }
}

/// A body that ended before the file's listed size, with nothing else wrong.
fn short(source: &Source<'_>, part: &Part, partial: &Partial) -> HubError {
    HubError::HubUnavailable {
        retry_after: None,
        subject: format!("{} of {} at {}", part.path, source.repository, source.commit),
        detail: format!("the body ended after {} of {} bytes", partial.length(), part.blob.size()),
        source: None,
    }
}

async fn receive(
    source: &Source<'_>,
    part: &Part,
    mut partial: Partial,
    set: &(impl Fn(u64) + Send + Sync),
) -> Result<(Partial, Ending), ArtifactError> {
    let size = part.blob.size();
    let mut download =
        match source.hub.open(source.repository, source.commit, &part.path, partial.length()).await {
            Ok(download) => download,
            Err(HubError::RangeRefused { offset, .. }) => {
                let lie = format!("the hub's file ends before byte {offset}, expected {size} bytes");
                return Ok((partial, Ending::Lying(lie)));
            }
            Err(error) => return Ok((partial, Ending::Failed(error))),
        };
    if let Some(declared) = download.declared_size().filter(|declared| *declared != size) {
        return Ok((partial, Ending::Lying(format!("the hub declares {declared} bytes, expected {size}"))));
    }
    if download.offset() != partial.length() {
        // The server does not know ranges and sends the whole file.
        partial = blocking::run(move |cancellation| partial.restart(cancellation)).await?;
    }
    let (sender, pieces) = mpsc::channel(PIECES_IN_FLIGHT);
    let mut received = partial.length();
    let writer = blocking::run(move |_| partial.fill(pieces));
    let reader = async move {
        // The sender is dropped with this block, which ends the writer.
        let sender = sender;
        loop {
            let piece = tokio::select! {
                piece = next_piece(&mut download) => piece,
                // The writer has failed; its error is the one that counts.
                () = sender.closed() => return Ending::Ended,
            };
            match piece {
                Err(error) => return Ending::Failed(error),
                Ok(None) => return Ending::Ended,
                Ok(Some(piece)) => {
                    received += piece.len() as u64;
                    if received > size {
                        return Ending::Lying(format!("the body is longer than {size} bytes"));
                    }
                    if sender.send(piece).await.is_err() {
                        return Ending::Ended;
                    }
                    set(received);
                }
            }
        }
    };
    let (written, ending) = tokio::join!(writer, reader);
    Ok((written?, ending))
}

/// The next piece that holds bytes.
async fn next_piece(download: &mut Download) -> Result<Option<bytes::Bytes>, HubError> {
    loop {
        match download.next_chunk().await? {
            Some(piece) if piece.is_empty() => {}
            piece => return Ok(piece),
        }
    }
}
