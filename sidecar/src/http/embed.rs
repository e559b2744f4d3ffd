//! Texts into vectors, for the endpoints that give them out or compare them.

use ostler_crds::names::Task;
use ostler_inference::engine::{EmbedJob, Embeddings, Job, Output};
use serde::Serialize;

use super::answers::Work;
use super::api::{self, Api};
use super::caller::Caller;
use super::error::ApiError;
use super::language_choice::of_tasks;
use super::model_choice;
use super::provenance::Credit;
use crate::routing;

/// Which sentence encoder is asked, and for whom.
pub(super) struct Asked<'request> {
    /// `name`, `name@version` or `name@commit`; `None` takes the plan's first sentence encoder.
    pub(super) model: Option<&'request str>,
    /// The subject of the version split, where the header names none.
    pub(super) user: Option<&'request str>,
    /// The endpoint's name for the texts of an [`EmbedJob`].
    pub(super) texts: &'static str,
}

/// The vector of each text, and what gave them.
///
/// # Errors
/// Those of acquiring and running, and [`ApiError::UnknownModel`] where the plan has no sentence encoder.
pub(super) async fn embed(
    api: &Api,
    caller: &Caller,
    asked: Asked<'_>,
    job: EmbedJob,
) -> Result<(Embeddings, Credit), ApiError> {
    let (model, version) =
        model_choice::optional(asked.model.or(caller.model.as_deref()), caller.version.as_deref())?;
    let plan = api.app.manager.plan();
    let capable = of_tasks(&plan, &Task::EMBEDDING, model.as_ref())?;
    let model = capable.first().map(|model| model.name.clone()).ok_or(ApiError::Internal)?;
    let request =
        routing::Request { model, language_pair: None, version, subject: caller.subject(asked.user) };
    let count = job.texts.len();
    let work = Work::new(Job::Embed(job), &[("texts", asked.texts)]);
    let work = api.kept_or_loaded(caller, &request, work).await?;
    match api.answer(request, work).await?.into_parts() {
        (Output::Embeddings(embeddings), credit) if embeddings.vectors.len() == count => {
            Ok((embeddings, credit))
        }
        _ => Err(api::wrong_output(Task::FeatureExtraction)),
    }
}

/// What OpenAI's and vLLM's clients read about tokens.
#[derive(Serialize)]
pub(super) struct Usage {
    prompt_tokens: usize,
    total_tokens: usize,
}

impl Usage {
    /// The tokens of all texts together.
    pub(super) fn of(tokens: &[usize]) -> Self {
        let sum = tokens.iter().sum();
        Self { prompt_tokens: sum, total_tokens: sum }
    }
}
