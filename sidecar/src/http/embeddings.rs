//! `POST /v1/embeddings` of OpenAI's API.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ostler_inference::engine::EmbedJob;
use serde::Serialize;

use super::api::Api;
use super::caller::Caller;
use super::embed::{Asked, Usage, embed};
use super::embeddings_form::{Encoding, parse};
use super::error::ApiError;
use super::json_body;

#[derive(Serialize)]
struct Answer {
    object: &'static str,
    data: Vec<Embedding>,
    model: String,
    usage: Usage,
}

#[derive(Serialize)]
struct Embedding {
    object: &'static str,
    index: usize,
    embedding: Numbers,
}

/// The numbers as JSON has them, or their bytes.
#[derive(Serialize)]
#[serde(untagged)]
enum Numbers {
    Floats(Vec<f32>),
    Base64(String),
}

/// The vector of each text.
pub(super) async fn embeddings(
    State(api): State<Api>,
    caller: Caller,
    request: Request,
) -> Result<Response, ApiError> {
    let fields = json_body::read(request, &api.app.limits).await?;
    let request = parse(&fields, &api.app.limits)?;
    let asked = Asked { model: Some(&request.model), user: request.user.as_deref(), texts: "input" };
    let job = EmbedJob { texts: request.texts, dimensions: request.dimensions };
    let (embeddings, used) = embed(&api, &caller, asked, job).await?;
    let encode = |(index, vector): (usize, Vec<f32>)| Embedding {
        object: "embedding",
        index,
        embedding: match request.encoding {
            Encoding::Float => Numbers::Floats(vector),
            Encoding::Base64 => Numbers::Base64(base64(&vector)),
        },
    };
    let answer = Answer {
        object: "list",
        data: embeddings.vectors.into_iter().enumerate().map(encode).collect(),
        model: request.model,
        usage: Usage::of(&embeddings.tokens),
    };
    let mut response = Json(answer).into_response();
    api.credit(&mut response, &[used]);
    Ok(response)
}

/// The 32-bit floats in little-endian order, as OpenAI's clients decode them.
fn base64(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
    STANDARD.encode(bytes)
}
