//! `GET /progress`: what is loaded and how far transfers are, as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures::{Stream, stream};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::manager::Manager;
use crate::snapshot::Snapshot;
use crate::state::AppState;

/// How soon a stream notices that the process is about to end, so that it never holds up the shutdown.
const LOOK_FOR_SHUTDOWN: Duration = Duration::from_millis(500);

/// One event at once, then one for each change, each with the whole snapshot as JSON.
pub(super) async fn progress(
    State(app): State<AppState>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>> + use<>> {
    let mut changes = app.manager.watch();
    changes.mark_changed();
    let events = stream::unfold((app.manager, changes), |(manager, mut changes)| async move {
        let snapshot = next(&manager, &mut changes).await?;
        // A snapshot is plain values; one that JSON cannot hold would end the stream rather than be faked.
        let event = Event::default().event("progress").json_data(&*snapshot).ok()?;
        Some((Ok(event), (manager, changes)))
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}

/// The next snapshot; `None` once the process is about to end.
pub(super) async fn next(
    manager: &Manager,
    changes: &mut watch::Receiver<Arc<Snapshot>>,
) -> Option<Arc<Snapshot>> {
    while !manager.is_draining() {
        match timeout(LOOK_FOR_SHUTDOWN, changes.changed()).await {
            Ok(Ok(())) => return Some(Arc::clone(&changes.borrow_and_update())),
            Ok(Err(_)) => return None,
            Err(_) => {}
        }
    }
    None
}
