//! `POST /translate` of LibreTranslate's API.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use ostler_crds::names::Task;
use ostler_inference::engine::{Job, Output, TextFormat, TranslateJob, Translation};
use ostler_inference::text::html::HtmlDocument;
use serde::Serialize;

use super::answers::Work;
use super::api::{self, Api};
use super::caller::Caller;
use super::detect::classify;
use super::error::ApiError;
use super::language_choice::{Detection, detected, is_same, is_served, translator};
use super::libretranslate_body::read_fields;
use super::model_choice;
use super::provenance::Credit;
use super::translate_form::{Source, parse_translate};
use crate::routing;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    translated_text: OneOrMany<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detected_language: Option<OneOrMany<Detection>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alternatives: Option<OneOrMany<Vec<String>>>,
}

/// One text goes back as one, a list as a list.
#[derive(Serialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    fn of(mut values: Vec<T>, is_list: bool) -> Self {
        match values.pop() {
            Some(value) if !is_list => Self::One(value),
            last => {
                values.extend(last);
                Self::Many(values)
            }
        }
    }
}

/// Translates one text or many.
pub(super) async fn translate(
    State(api): State<Api>,
    caller: Caller,
    request: Request,
) -> Result<Response, ApiError> {
    let fields = read_fields(request, &api.app.limits).await?;
    let request = parse_translate(&fields, &api.app.limits)?;
    let texts = request.texts.texts;
    let (sources, detections) = match request.source {
        Source::Language(language) => (vec![language; texts.len()], None),
        Source::Auto => {
            let proses = proses(&texts, request.format);
            let (labels, _) = classify(&api, &caller, None, proses.clone()).await?;
            let plan = api.app.manager.plan();
            let detections: Option<Vec<_>> = detected(&plan, &proses, &labels).into_iter().collect();
            let detections = detections.ok_or_else(|| ApiError::InvalidParameter {
                parameter: "source".to_owned(),
                message: "the language could not be detected; name it".to_owned(),
            })?;
            (detections.iter().map(|detection| detection.language.clone()).collect(), Some(detections))
        }
    };
    let job = Batch {
        api: &api,
        caller: &caller,
        model: request.model.as_deref().or(caller.model.as_deref()),
        target: &request.target,
        split_sentences: request.split_sentences,
        format: request.format,
        alternatives: request.alternatives,
    };
    let (translated, used) = job.translate(texts, &sources).await?;
    let is_list = request.texts.is_list;
    let (texts, others) = translated.into_iter().map(|one| (one.text, one.alternatives)).unzip();
    let answer = Answer {
        translated_text: OneOrMany::of(texts, is_list),
        alternatives: (request.alternatives > 0).then(|| OneOrMany::of(others, is_list)),
        detected_language: detections.map(|detections| OneOrMany::of(detections, is_list)),
    };
    let mut response = Json(answer).into_response();
    api.credit(&mut response, &used);
    Ok(response)
}

/// The texts of one request, which may be in several languages.
struct Batch<'request> {
    api: &'request Api,
    caller: &'request Caller,
    model: Option<&'request str>,
    target: &'request str,
    split_sentences: bool,
    format: TextFormat,
    alternatives: usize,
}

/// What readers see of the texts, which is what their language is told by.
fn proses(texts: &[String], format: TextFormat) -> Vec<String> {
    let prose = |text: &String| match format {
        TextFormat::Plain => text.clone(),
        // What cannot be read is refused where it is translated.
        TextFormat::Html => HtmlDocument::parse(text).map_or_else(|_| text.clone(), |html| html.prose()),
    };
    texts.iter().map(prose).collect()
}

impl Batch<'_> {
    /// Translates texts, each from its language, with one job for each language.
    async fn translate(
        &self,
        texts: Vec<String>,
        sources: &[String],
    ) -> Result<(Vec<Translation>, Vec<Credit>), ApiError> {
        let mut by_source: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, source) in sources.iter().enumerate() {
            by_source.entry(source).or_default().push(index);
        }
        let requests = by_source.keys().map(|source| self.route(source)).collect::<Result<Vec<_>, _>>()?;
        let parts = by_source.into_iter().zip(requests);
        let parts = parts.filter_map(|((source, indexes), request)| Some((source, indexes, request?)));
        let mut works = Vec::new();
        // Nothing is computed for a client that is to come back for another part.
        for (source, indexes, request) in parts {
            let work = Work::new(self.job(&texts, source, &indexes), &[("texts", "q")]);
            works.push((indexes, self.api.kept_or_loaded(self.caller, &request, work).await?, request));
        }
        let own = |text: &String| Translation { text: text.clone(), alternatives: Vec::new() };
        let mut answers: Vec<Translation> = texts.iter().map(own).collect();
        let mut used = Vec::new();
        for (indexes, work, request) in works {
            let answered = self.api.answer(request, work).await?;
            let (output, credit) = answered.into_parts();
            let Output::Translations(translated) = output else {
                return Err(api::wrong_output(Task::Translation));
            };
            if translated.len() != indexes.len() {
                return Err(api::wrong_output(Task::Translation));
            }
            for (index, text) in indexes.into_iter().zip(translated) {
                answers[index] = text;
            }
            used.push(credit);
        }
        Ok((answers, used))
    }

    /// The job for the texts of one language.
    fn job(&self, texts: &[String], source: &str, indexes: &[usize]) -> Job {
        Job::Translate(TranslateJob {
            texts: indexes.iter().map(|&index| texts[index].clone()).collect(),
            source: Some(source.to_owned()),
            target: Some(self.target.to_owned()),
            beams: None,
            split_sentences: self.split_sentences,
            format: self.format,
            alternatives: self.alternatives,
        })
    }

    /// Who translates from a language; nobody needs to where a text is in the target language already.
    fn route(&self, source: &str) -> Result<Option<routing::Request>, ApiError> {
        let plan = self.api.app.manager.plan();
        let header = self.caller.version.as_deref();
        let (model, version) = match self.model {
            Some(model) => {
                let choice = model_choice::parse(model, header)?;
                (Some(choice.model), choice.version)
            }
            None => (None, model_choice::join(None, header)?),
        };
        if is_same(source, self.target) && is_served(&plan, source) {
            return Ok(None);
        }
        let translator = translator(&plan, model.as_ref(), source, self.target)?;
        let request = routing::Request {
            model: translator.model,
            language_pair: translator.language_pair,
            version,
            subject: self.caller.subject(None),
        };
        self.api.check_route(&request)?;
        Ok(Some(request))
    }
}
