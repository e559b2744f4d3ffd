//! `GET /v1/models` and `GET /v1/models/{model}` of OpenAI's API.

use axum::Json;
use axum::extract::{Path, State};
use ostler_crds::names::{StorageUri, Task};
use ostler_crds::serving_plan::{PlannedModel, PlannedVersion, ServingPlan};
use serde::Serialize;

use super::api::Api;
use super::error::ApiError;
use super::excerpt::excerpt;

/// OpenAI's list of models.
#[derive(Debug, Serialize)]
pub(super) struct ModelList {
    object: &'static str,
    data: Vec<Model>,
}

/// OpenAI's model object, with the task and the version's commit added.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Model {
    id: String,
    object: &'static str,
    /// Seconds since 1970; 0, since a repository's commit does not tell.
    created: u64,
    owned_by: String,
    task: Task,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
}

/// Every model, every version of it by its own id, and the commits of a version's history by theirs.
pub(super) async fn list(State(api): State<Api>) -> Json<ModelList> {
    Json(ModelList { object: "list", data: models(&api.app.manager.plan()) })
}

/// One model or one version.
pub(super) async fn one(State(api): State<Api>, Path(id): Path<String>) -> Result<Json<Model>, ApiError> {
    let found = models(&api.app.manager.plan()).into_iter().find(|model| model.id == id);
    let unknown = || ApiError::UnknownModel {
        message: format!("there is no model {}; see GET /v1/models", excerpt(&id)),
    };
    found.map(Json).ok_or_else(unknown)
}

fn models(plan: &ServingPlan) -> Vec<Model> {
    let with_versions = |model: &PlannedModel| {
        let default = model.versions.iter().find(|version| version.name == model.default_version);
        let owner = default.map_or_else(String::new, owner);
        let whole = Model {
            id: model.name.to_string(),
            object: "model",
            created: 0,
            owned_by: owner,
            task: model.task,
            revision: None,
        };
        let version = |version: &PlannedVersion| Model {
            id: format!("{}@{}", model.name, version.name),
            object: "model",
            created: 0,
            owned_by: self::owner(version),
            task: model.task,
            revision: revision(version),
        };
        let history = model.versions.iter().flat_map(|version| history(model, version));
        std::iter::once(whole).chain(model.versions.iter().map(version)).chain(history).collect::<Vec<_>>()
    };
    plan.models.iter().flat_map(with_versions).collect()
}

/// The commits that a version was at, where it has one for all its languages.
fn history(model: &PlannedModel, version: &PlannedVersion) -> Vec<Model> {
    let [artifact] = version.artifacts.as_slice() else { return Vec::new() };
    let retired = artifact.history.iter().map(|pin| Model {
        id: format!("{}@{}@{}", model.name, version.name, pin.commit),
        object: "model",
        created: 0,
        owned_by: owner_of(Some(&pin.source)),
        task: model.task,
        revision: Some(pin.commit.to_string()),
    });
    retired.collect()
}

/// The organisation whose repository it is.
fn owner(version: &PlannedVersion) -> String {
    owner_of(version.artifacts.first().map(|artifact| &artifact.source))
}

fn owner_of(source: Option<&StorageUri>) -> String {
    match source {
        Some(StorageUri::Hub { repository, .. }) => repository.owner().to_owned(),
        _ => "local".to_owned(),
    }
}

/// The commit, where the version has one for all its languages.
fn revision(version: &PlannedVersion) -> Option<String> {
    match version.artifacts.as_slice() {
        [artifact] => artifact.commit.as_ref().map(ToString::to_string),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::fixtures::plan;

    #[test]
    fn each_model_and_each_version_is_listed_in_openais_shape() {
        let models = models(&plan());
        let ids: Vec<_> = models.iter().map(|model| model.id.as_str()).collect();
        let expected = [
            "whisper",
            "whisper@v1",
            "whisper@v2",
            "translation",
            "translation@v1",
            "language-detection",
            "language-detection@v1",
            "similarity",
            "similarity@v1",
        ];
        assert_eq!(ids, expected);
        let json = serde_json::to_value(&models[1]).unwrap();
        let expected = serde_json::json!({
            "id": "whisper@v1", "object": "model", "created": 0, "owned_by": "ostler",
            "task": "automatic-speech-recognition", "revision": "0123456789abcdef0123456789abcdef01234567",
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn the_commits_of_a_history_are_listed_with_their_version() {
        let mut plan = plan();
        let commit = "f".repeat(40);
        let pin = serde_json::json!({"source": "hf://before/whisper", "commit": commit, "dtype": "auto"});
        plan.models[0].versions[1].artifacts[0].history = vec![serde_json::from_value(pin).unwrap()];
        let models = models(&plan);
        let retired = models.iter().find(|model| model.owned_by == "before").unwrap();
        assert_eq!(
            (&retired.id, retired.revision.as_ref()),
            (&format!("whisper@v2@{commit}"), Some(&commit))
        );
    }
}
