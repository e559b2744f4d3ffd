//! `GET /languages` of LibreTranslate's API.

use axum::Json;
use axum::extract::State;

use super::api::Api;
use super::language_choice::{ServedLanguage, served};

/// What can be translated, and into what.
pub(super) async fn languages(State(api): State<Api>) -> Json<Vec<ServedLanguage>> {
    Json(served(&api.app.manager.plan(), &api.app.manager.snapshot()))
}
