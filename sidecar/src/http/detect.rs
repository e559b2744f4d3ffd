//! `POST /detect` of LibreTranslate's API: the language that a text is written in.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use ostler_crds::names::Task;
use ostler_inference::engine::{ClassifyJob, Job, LabelScore, Output};

use super::answers::Work;
use super::api::{self, Api};
use super::caller::Caller;
use super::error::ApiError;
use super::language_choice::{detections, of_task};
use super::libretranslate_body::read_fields;
use super::model_choice;
use super::provenance::Credit;
use super::translate_form::parse_detect;
use crate::routing;

/// The languages of a text, or of several together, most probable first.
pub(super) async fn detect(
    State(api): State<Api>,
    caller: Caller,
    request: Request,
) -> Result<Response, ApiError> {
    let fields = read_fields(request, &api.app.limits).await?;
    let request = parse_detect(&fields, &api.app.limits)?;
    let (labels, used) = classify(&api, &caller, request.model.as_deref(), request.texts.texts).await?;
    let labels: Vec<&[LabelScore]> = labels.iter().map(Vec::as_slice).collect();
    let mut response = Json(detections(&labels)).into_response();
    api.credit(&mut response, &[used]);
    Ok(response)
}

/// The labels of each text, and what gave them: the asked classifier or the plan's first.
///
/// # Errors
/// Those of acquiring and running, and [`ApiError::UnknownModel`] where the plan has no classifier.
pub(super) async fn classify(
    api: &Api,
    caller: &Caller,
    model: Option<&str>,
    texts: Vec<String>,
) -> Result<(Vec<Vec<LabelScore>>, Credit), ApiError> {
    let choice = model.map(|model| model_choice::parse(model, None)).transpose()?;
    let (model, version) = choice.map_or((None, None), |choice| (Some(choice.model), choice.version));
    let plan = api.app.manager.plan();
    let capable = of_task(&plan, Task::TextClassification, model.as_ref())?;
    let model = capable.first().map(|model| model.name.clone()).ok_or(ApiError::Internal)?;
    let request = routing::Request { model, language_pair: None, version, subject: caller.subject(None) };
    let count = texts.len();
    let job = Job::Classify(ClassifyJob { texts });
    let work = api.kept_or_loaded(caller, &request, Work::new(job, &[("texts", "q")])).await?;
    match api.answer(request, work).await?.into_parts() {
        (Output::Labels(labels), credit) if labels.len() == count => Ok((labels, credit)),
        _ => Err(api::wrong_output(Task::TextClassification)),
    }
}
