//! `POST /score` as vLLM answers it for encoders: how alike the texts of each pair are.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use ostler_inference::embed::cosine_similarity;
use ostler_inference::engine::EmbedJob;
use serde::Serialize;

use super::api::Api;
use super::caller::Caller;
use super::embed::{Asked, Usage, embed};
use super::error::ApiError;
use super::json_body;
use super::score_form::{ScoreRequest, parse};

#[derive(Serialize)]
struct Answer {
    id: String,
    object: &'static str,
    created: u64,
    model: String,
    data: Vec<Score>,
    usage: Usage,
}

#[derive(Serialize)]
struct Score {
    index: usize,
    object: &'static str,
    score: f32,
}

/// The cosine similarity of each pair.
pub(super) async fn score(
    State(api): State<Api>,
    caller: Caller,
    request: Request,
) -> Result<Response, ApiError> {
    let fields = json_body::read(request, &api.app.limits).await?;
    let ScoreRequest { texts, firsts, names, model, user } = parse(&fields, &api.app.limits)?;
    let asked = Asked { model: model.as_deref(), user: user.as_deref(), texts: names.0 };
    let (embeddings, used) = embed(&api, &caller, asked, EmbedJob { texts, dimensions: None }).await?;
    let (left, right) = embeddings.vectors.split_at_checked(firsts).ok_or(ApiError::Internal)?;
    // One text on the left stands against each on the right.
    let pairs = left.iter().cycle().zip(right).enumerate();
    let answer = Answer {
        id: format!("score-{}", caller.request_id),
        object: "list",
        created: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        model: model.unwrap_or_else(|| used.provenance.model.to_string()),
        data: pairs
            .map(|(index, (left, right))| Score {
                index,
                object: "score",
                score: cosine_similarity(left, right),
            })
            .collect(),
        usage: Usage::of(&embeddings.tokens),
    };
    let mut response = Json(answer).into_response();
    api.credit(&mut response, &[used]);
    Ok(response)
}
