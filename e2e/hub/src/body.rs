//! Streams a file's bytes, in pieces, through the faults of its answer.

use std::io::SeekFrom;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::stream::try_unfold;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use crate::contents::Contents;
use crate::fault::Fault;

/// How much of a file is in memory for each request.
const PIECE: usize = 64 << 10;

enum Source {
    File(File),
    Bytes(Bytes),
}

struct Stream {
    source: Source,
    /// The position in the file of the next byte.
    position: u64,
    /// The position after the last byte to send.
    end: u64,
    /// The bytes of the body so far.
    sent: u64,
    stall_after: Option<u64>,
    trickle: Option<(usize, Duration)>,
    flip_at: Option<u64>,
    counter: Arc<AtomicU64>,
}

/// A body of `length` bytes of a file from `start` on, changed as the fault says.
pub(crate) async fn body(
    contents: &Contents,
    start: u64,
    length: u64,
    fault: &Fault,
    counter: Arc<AtomicU64>,
) -> std::io::Result<Body> {
    let source = match contents {
        Contents::Bytes(bytes) => Source::Bytes(bytes.clone()),
        Contents::Path(path) => {
            let mut file = File::open(path).await?;
            file.seek(SeekFrom::Start(start)).await?;
            Source::File(file)
        }
    };
    let length = fault.truncate_at.map_or(length, |bytes| bytes.min(length));
    let stream = Stream {
        source,
        position: start,
        end: start + length,
        sent: 0,
        stall_after: fault.stall_after,
        trickle: fault.trickle,
        flip_at: fault.flip_at,
        counter,
    };
    Ok(Body::from_stream(try_unfold(stream, |mut stream| async move {
        let piece = stream.next().await?;
        Ok::<_, std::io::Error>(piece.map(|piece| (piece, stream)))
    })))
}

impl Stream {
    async fn next(&mut self) -> std::io::Result<Option<Bytes>> {
        let mut wanted = self.end - self.position;
        if let Some(stall_after) = self.stall_after {
            if self.sent >= stall_after {
                std::future::pending::<()>().await;
            }
            wanted = wanted.min(stall_after - self.sent);
        }
        if let Some((piece, pause)) = self.trickle {
            if self.sent > 0 {
                tokio::time::sleep(pause).await;
            }
            wanted = wanted.min(piece as u64);
        }
        let wanted = wanted.min(PIECE as u64) as usize;
        if wanted == 0 {
            // Lets the connection flush, so that a truncated answer reaches the client up to where it ends.
            tokio::task::yield_now().await;
            return Ok(None);
        }
        let piece = self.read(wanted).await?;
        if piece.is_empty() {
            return Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the file became shorter"));
        }
        let piece = self.flipped(piece);
        self.position += piece.len() as u64;
        self.sent += piece.len() as u64;
        self.counter.store(self.sent, Ordering::Relaxed);
        Ok(Some(piece))
    }

    async fn read(&mut self, wanted: usize) -> std::io::Result<Bytes> {
        match &mut self.source {
            Source::Bytes(bytes) => {
                let start = (self.position as usize).min(bytes.len());
                Ok(bytes.slice(start..(start + wanted).min(bytes.len())))
            }
            Source::File(file) => {
                let mut buffer = vec![0; wanted];
                let read = file.read(&mut buffer).await?;
                buffer.truncate(read);
                Ok(buffer.into())
            }
        }
    }

    fn flipped(&self, piece: Bytes) -> Bytes {
        let index = self.flip_at.and_then(|at| at.checked_sub(self.position));
        match index {
            Some(index) if index < piece.len() as u64 => {
                let mut piece = piece.to_vec();
                piece[index as usize] ^= 1;
                piece.into()
            }
            _ => piece,
        }
    }
}
