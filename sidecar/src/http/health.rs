//! `GET /healthz`, `GET /readyz` and `GET /metrics` of the status listener.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ostler_crds::names::LoadPolicy;
use ostler_crds::status::VersionState;
use serde::Serialize;

use crate::snapshot::{FailureSnapshot, Snapshot};
use crate::state::AppState;
use crate::target::VersionKey;

/// The process runs and its runtime answers. Whatever the models do, restarting would not help them.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether requests should come here.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Readiness<'a> {
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    progress_percent: u8,
    /// The versions that readiness waits for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    waiting_for: Vec<Waiting<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Waiting<'a> {
    #[serde(flatten)]
    key: &'a VersionKey,
    state: VersionState,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_failure: Option<&'a FailureSnapshot>,
}

/// 200 once every `Preload` version of the first plan is up, 503 with the reason before that and when draining.
pub(super) async fn readyz(State(app): State<AppState>) -> Response {
    let snapshot = app.manager.snapshot();
    let readiness = readiness(&snapshot, app.manager.is_draining());
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

fn readiness(snapshot: &Snapshot, is_draining: bool) -> Readiness<'_> {
    let reason = match (snapshot.ready, is_draining) {
        (_, true) => Some("ShuttingDown"),
        (false, false) => Some("Loading"),
        (true, false) => None,
    };
    let is_awaited = |version: &&crate::snapshot::VersionSnapshot| {
        version.load == LoadPolicy::Preload && version.state != VersionState::Loaded
    };
    let awaited = snapshot.versions.iter().filter(is_awaited).map(|version| Waiting {
        key: &version.key,
        state: version.state,
        last_failure: version.last_failure.as_ref(),
    });
    Readiness {
        ready: reason.is_none(),
        reason,
        progress_percent: snapshot.progress_percent,
        // Readiness latches, so once it is there it waits for nothing.
        waiting_for: if snapshot.ready { Vec::new() } else { awaited.collect() },
    }
}

/// Counters and gauges in Prometheus' text format.
pub(super) async fn metrics(State(app): State<AppState>) -> Response {
    app.metrics.show_results(&app.manager.results().figures());
    let text = match app.metrics.text(&app.manager.snapshot(), app.manager.memory()) {
        Ok(text) => text,
        Err(error) => {
            tracing::error!(%error, "the metrics could not be written");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    let mut response = text.into_response();
    let content_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}
