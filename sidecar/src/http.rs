//! The interfaces of a sidecar: OpenAI's audio and embeddings APIs, whisper-asr-webservice's detection of languages,
//! LibreTranslate's API, vLLM's score API, and the status pages.
//!
//! Handlers read a request into typed values (the `*_form` and `*_choice` modules, all pure), acquire a version
//! through the [`Manager`](crate::manager::Manager), run the job and write the answer. Failures are
//! [`error::ApiError`]s until the layer of their protocol gives them its shape. Nothing here changes any state of
//! the process.

use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;

use api::Api;
use caller::RequestId;
use error::ApiError;

use crate::metrics::Metrics;
use crate::state::AppState;

mod admission;
mod answers;
mod api;
mod body;
mod caller;
mod detect;
mod embed;
mod embeddings;
mod embeddings_form;
mod error;
mod excerpt;
mod fields;
#[cfg(test)]
mod fixtures;
mod flights;
mod headers;
mod health;
mod held_loads;
mod json_body;
mod language_choice;
mod languages;
mod libretranslate_body;
mod load_comments;
mod model_choice;
mod models;
mod multipart;
mod prefer;
mod progress;
mod provenance;
mod respond_async;
mod score;
mod score_form;
pub mod server;
mod speech;
mod speech_form;
mod speech_language;
mod speech_stream;
mod speech_upload;
mod spoken;
mod subtitles;
mod transcript_body;
mod transcript_events;
mod translate;
mod translate_form;
mod version_progress;

/// The serving listener: what clients call.
pub fn app(state: AppState) -> Router {
    let api = Api::new(state.clone());
    let openai = Router::new()
        .route("/v1/audio/transcriptions", post(speech::transcriptions))
        .route("/v1/audio/translations", post(speech::translations))
        .route("/v1/embeddings", post(embeddings::embeddings))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{model}", get(models::one));
    let libretranslate = Router::new()
        .route("/translate", post(translate::translate))
        .route("/detect", post(detect::detect))
        .route("/languages", get(languages::languages));
    let vllm = Router::new().route("/score", post(score::score)).route("/v1/score", post(score::score));
    // FastAPI's errors have a `detail`, and so have problem documents.
    let whisper_asr = Router::new().route("/detect-language", post(speech_language::detect_language));
    let openai = guard(openai.merge(whisper_asr), &api).layer(middleware::map_response(error::as_problem));
    let libretranslate =
        guard(libretranslate, &api).layer(middleware::map_response(error::as_libretranslate));
    let vllm = guard(vllm, &api).layer(middleware::map_response(error::as_vllm));
    // Streams of progress last as long as their clients like, so no deadline and no place among the requests.
    let metrics = state.metrics.clone();
    let progress = progress_pages(state);
    finish(openai.merge(libretranslate).merge(vllm).merge(progress), metrics)
}

/// The status listener: what the kubelet, Prometheus and people look at.
pub fn status_app(state: AppState) -> Router {
    let metrics = state.metrics.clone();
    let router = Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .with_state(state.clone())
        .merge(progress_pages(state));
    finish(router, metrics)
}

/// Where everybody may see how far loads are.
fn progress_pages(state: AppState) -> Router {
    Router::new()
        .route("/progress", get(progress::progress))
        .route("/progress/{version}", get(version_progress::of_version))
        .route("/progress/{version}/{pair}", get(version_progress::of_pair))
        .layer(middleware::map_response(error::as_problem))
        .with_state(state)
}

/// What every endpoint of a protocol has: a place among the requests, a deadline, a panic that ends no process.
fn guard(router: Router<Api>, api: &Api) -> Router {
    router
        .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
        .layer(CatchPanicLayer::custom(error::from_panic))
        .layer(middleware::from_fn_with_state(api.clone(), admit))
        .with_state(api.clone())
}

/// What every request has: an id, a line in the log, a place in the metrics, an answer to an unknown path.
fn finish(router: Router, metrics: Metrics) -> Router {
    router
        .fallback(|| async { error::as_problem(ApiError::UnknownEndpoint.into_response()).await })
        .layer(middleware::from_fn_with_state(metrics, record))
        .layer(CatchPanicLayer::custom(error::from_panic))
        .layer(middleware::from_fn(caller::identify))
}

/// Lets a request in where there is a place, and cuts it off at the deadline.
async fn admit(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let place = match api.admission.request(api.app.limits.request_time) {
        Ok(place) => place,
        Err(error) => return error.into_response(),
    };
    request.extensions_mut().insert(place.clone());
    let outcome = tokio::time::timeout_at(place.deadline(), next.run(request)).await;
    outcome.unwrap_or_else(|_| place.too_late().into_response())
}

/// What the kubelet and Prometheus ask every few seconds; at the usual level it would bury everything else.
const POLLED: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// Logs and counts a request by its route and never by its path, since a path is the client's text.
async fn record(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("unknown", MatchedPath::as_str).to_owned();
    let method = request.method().clone();
    let id = request.extensions().get::<RequestId>().map_or("", |id| id.0.as_str()).to_owned();
    let span = tracing::info_span!("request", %method, route = route.as_str(), request_id = id);
    let mut entry = Entry { metrics, route, started: Instant::now(), status: CLIENT_GONE };
    async move {
        let response = next.run(request).await;
        entry.status = response.status().as_u16();
        drop(entry);
        response
    }
    .instrument(span)
    .await
}

/// The status of a request whose client went away before the answer, as nginx counts it; nobody receives it.
const CLIENT_GONE: u16 = 499;

/// A request's line in the log and place in the metrics, written when the request ends, however it ends.
struct Entry {
    metrics: Metrics,
    route: String,
    started: Instant,
    status: u16,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let elapsed = self.started.elapsed();
        self.metrics.observe_request(&self.route, self.status, elapsed);
        let (status, milliseconds) = (self.status, elapsed.as_millis() as u64);
        if POLLED.contains(&self.route.as_str()) {
            tracing::debug!(status, milliseconds, "request ended");
        } else {
            tracing::info!(status, milliseconds, "request ended");
        }
    }
}

#[cfg(test)]
mod tests;
