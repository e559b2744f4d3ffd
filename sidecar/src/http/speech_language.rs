//! `POST /detect-language`, as whisper-asr-webservice has it: the language that is spoken in a clip.
//!
//! Any model for speech answers it, so that one which is loaded anyway does, and nothing is loaded twice.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use ostler_crds::names::Task;
use ostler_inference::engine::{DetectLanguageJob, Job, LabelScore, Output};
use ostler_inference::languages;
use serde::Serialize;
use url::form_urlencoded;

use super::answers::Work;
use super::api::{self, Api};
use super::caller::Caller;
use super::error::ApiError;
use super::excerpt::excerpt;
use super::fields::{invalid, unsupported};
use super::language_choice::of_task;
use super::model_choice;
use super::multipart::Parts;
use super::speech_upload::receive;
use crate::routing;

/// What the file may be called: by whisper-asr-webservice, and by OpenAI's endpoints.
const FILE_NAMES: [&str; 2] = ["audio_file", "file"];

/// The fields of a job as the endpoint calls them.
const NAMES: [(&str, &str); 1] = [("samples", FILE_NAMES[0])];

/// The answer.
#[derive(Debug, Serialize)]
struct Detected<'a> {
    /// The English name in lower case.
    detected_language: &'a str,
    /// As Whisper writes it.
    language_code: &'a str,
    /// 0 to 1.
    confidence: f32,
}

/// The most probable language of the first 30 s of a clip.
pub(super) async fn detect_language(
    State(api): State<Api>,
    caller: Caller,
    request: Request,
) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    let query = form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes());
    let query: Vec<(String, String)> = query.into_owned().collect();
    let (Parts { file, fields }, room) = receive(&api, &head.headers, body, &FILE_NAMES).await?;
    let model = asked_model(query.iter().chain(&fields))?;
    let file = file.filter(|file| !file.is_empty());
    let file = file.ok_or(ApiError::MissingParameter { parameter: FILE_NAMES[0] })?;
    let (model, version) =
        model_choice::optional(model.or(caller.model.as_deref()), caller.version.as_deref())?;
    let plan = api.app.manager.plan();
    let capable = of_task(&plan, Task::AutomaticSpeechRecognition, model.as_ref())?;
    let model = capable.first().map(|model| model.name.clone()).ok_or(ApiError::Internal)?;
    let request = routing::Request { model, language_pair: None, version, subject: caller.subject(None) };
    api.check_route(&request)?;
    let job = Job::DetectLanguage(DetectLanguageJob { samples: Arc::default() });
    let work = Work::of_upload(job, file, room, &NAMES);
    let work = api.kept_or_loaded(&caller, &request, work).await?;
    let (output, credit) = api.answer(request, work).await?.into_parts();
    let Output::Languages(found) = output else {
        return Err(api::wrong_output(Task::AutomaticSpeechRecognition));
    };
    let LabelScore { label, score } = found.first().ok_or(ApiError::Internal)?;
    let name = languages::by_code(label).map_or(label.as_str(), |language| language.name);
    let detected = Detected { detected_language: name, language_code: label, confidence: *score };
    let mut response = Json(detected).into_response();
    api.credit(&mut response, &[credit]);
    Ok(response)
}

/// The model that the fields of the query or the form ask for. Pure.
///
/// # Errors
/// The first field that is wrong or unknown.
fn asked_model<'a>(fields: impl Iterator<Item = &'a (String, String)>) -> Result<Option<&'a str>, ApiError> {
    let mut model = None;
    for (name, value) in fields {
        match (name.as_str(), value.to_ascii_lowercase().as_str()) {
            ("model", _) => {
                if model.replace(value.as_str()).is_some_and(|before| before != value) {
                    return Err(invalid(name, "is given twice".to_owned()));
                }
            }
            // Whether ffmpeg is to read the file: what is sent is always a file with a header here.
            ("encode", "true" | "1") => {}
            ("encode", "false" | "0") => {
                return Err(unsupported(name, "send a file of any format and leave it out"));
            }
            ("encode", _) => {
                return Err(invalid(name, format!("{} is not \"true\" or \"false\"", excerpt(value))));
            }
            _ => {
                let message = "there is no such field; there are: audio_file, model, encode";
                return Err(invalid(&excerpt(name), message.to_owned()));
            }
        }
    }
    Ok(model.filter(|model| !model.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(pairs: &[(&str, &str)]) -> Result<Option<String>, ApiError> {
        let fields: Vec<(String, String)> =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        asked_model(fields.iter()).map(|model| model.map(str::to_owned))
    }

    #[test]
    fn the_model_may_be_left_out_and_what_is_unknown_is_refused() {
        for (pairs, expected) in [
            (&[][..], None),
            (&[("encode", "true")], None),
            (&[("encode", "True"), ("model", "whisper@v2")], Some("whisper@v2")),
            (&[("model", "whisper"), ("model", "whisper")], Some("whisper")),
            (&[("model", "")], None),
        ] {
            assert_eq!(asked(pairs).unwrap().as_deref(), expected, "{pairs:?}");
        }
        for (pairs, kind) in [
            (&[("encode", "false")][..], "UnsupportedParameter"),
            (&[("encode", "maybe")], "InvalidParameter"),
            (&[("model", "a"), ("model", "b")], "InvalidParameter"),
            (&[("language", "de")], "InvalidParameter"),
        ] {
            assert_eq!(asked(pairs).unwrap_err().kind(), kind, "{pairs:?}");
        }
    }
}
