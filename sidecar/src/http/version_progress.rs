//! `GET /progress/{version}`: how far one version is on its way into memory, for a client that waits for it. Looking loads
//! nothing.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive};
use axum::response::{IntoResponse, Response, Sse};
use futures::stream;
use ostler_crds::serving_plan::ServingPlan;
use ostler_crds::status::VersionState;

use super::api;
use super::error::ApiError;
use super::model_choice;
use super::progress;
use crate::manager::Manager;
use crate::routing::{self, Subject, VersionChoice};
use crate::snapshot::VersionSnapshot;
use crate::state::AppState;
use crate::target::VersionKey;

/// When a client may look again, or ask again, where nothing tells how long it takes.
const USUAL_WAIT: Duration = Duration::from_secs(2);

/// The longest wait between two looks that is recommended.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The path where a version's progress is shown.
pub(super) fn path(key: &VersionKey) -> String {
    // Names, commits and language pairs hold nothing that a path would have to escape.
    let commit = key.retired.as_ref().map(|commit| format!("@{commit}")).unwrap_or_default();
    let pair = key.language_pair.as_ref().map(|pair| format!("/{pair}")).unwrap_or_default();
    format!("/progress/{}@{}{commit}{pair}", key.model, key.version)
}

/// When to look again: the time that the transfer will take, as far as that is known.
pub(super) fn retry_after(version: Option<&VersionSnapshot>) -> Duration {
    let remaining = version.and_then(|version| version.progress).map(|transfer| transfer.remaining_seconds);
    let remaining = remaining.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
    remaining.unwrap_or(USUAL_WAIT).clamp(USUAL_WAIT, LONGEST_WAIT)
}

/// A version that has one set of files.
pub(super) async fn of_version(
    State(app): State<AppState>,
    Path(version): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let key = key(&app.manager.plan(), &version, None)?;
    answer(&app.manager, key, &headers)
}

/// One language pair of a version.
pub(super) async fn of_pair(
    State(app): State<AppState>,
    Path((version, pair)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let key = key(&app.manager.plan(), &version, Some(&pair))?;
    answer(&app.manager, key, &headers)
}

/// What a path names: a version, or a commit of it; the default version where it names a model alone.
fn key(plan: &ServingPlan, version: &str, pair: Option<&str>) -> Result<VersionKey, ApiError> {
    let choice = model_choice::parse(version, None)?;
    let language_pair =
        pair.map(str::parse).transpose().map_err(|error: ostler_crds::names::NameError| {
            ApiError::UnknownLanguagePair { message: error.to_string() }
        })?;
    let model = plan.models.iter().find(|model| model.name == choice.model);
    let default = || model.map(|model| VersionChoice::Name(model.default_version.clone()));
    let request = routing::Request {
        version: choice.version.or_else(default),
        model: choice.model,
        language_pair,
        subject: Subject::Request(String::new()),
    };
    let candidates = routing::candidates(plan, &request).map_err(api::route_error)?;
    candidates.into_iter().next().ok_or(ApiError::Internal)
}

fn answer(manager: &Manager, key: VersionKey, headers: &HeaderMap) -> Result<Response, ApiError> {
    let accepts = |value: &HeaderValue| value.to_str().is_ok_and(|text| text.contains("text/event-stream"));
    if headers.get_all(header::ACCEPT).iter().any(accepts) {
        return Ok(events(manager.clone(), key));
    }
    let snapshot = manager.snapshot();
    let Some(version) = snapshot.version(&key) else { return Err(gone(&key)) };
    let mut response = Json(version).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if !is_over(version) {
        let seconds = HeaderValue::from(retry_after(Some(version)).as_secs());
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    Ok(response)
}

/// The plan has changed in this very moment.
fn gone(key: &VersionKey) -> ApiError {
    ApiError::UnknownModel { message: format!("{key} was removed from the plan") }
}

/// Whether nothing more is to be waited for.
fn is_over(version: &VersionSnapshot) -> bool {
    matches!(version.state, VersionState::Loaded | VersionState::FailedToLoad)
}

/// An event at once and one for each change of the version, until it is loaded, has failed or is removed.
fn events(manager: Manager, key: VersionKey) -> Response {
    let mut changes = manager.watch();
    changes.mark_changed();
    let last: Option<VersionSnapshot> = None;
    let events =
        stream::unfold((manager, changes, key, last), |(manager, mut changes, key, last)| async move {
            if last.as_ref().is_some_and(is_over) {
                return None;
            }
            loop {
                let snapshot = progress::next(&manager, &mut changes).await?;
                let version = snapshot.version(&key)?;
                if last.as_ref() != Some(version) {
                    let event = Event::default().event("progress").json_data(version).ok()?;
                    let last = Some(version.clone());
                    return Some((Ok::<_, Infallible>(event), (manager, changes, key, last)));
                }
            }
        });
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}
