//! The `model` of a request: `name`, `name@version`, `name@commit` or `name@version@commit`, joined with
//! `x-ostler-version` and `x-ostler-revision`. Pure.

use ostler_crds::names::ModelName;

use super::error::ApiError;
use super::excerpt::excerpt;
use crate::routing::VersionChoice;

/// What the revision of a folder begins with, where that of a repository is a commit.
const FOLDER_DIGEST: &str = "sha256:";

/// A model, and the version where the client insists on one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ModelChoice {
    pub(super) model: ModelName,
    pub(super) version: Option<VersionChoice>,
}

/// Reads the model and the version header of a request.
///
/// # Errors
/// [`ApiError::UnknownModel`] for what can name no model or version: to a client it is the same as one that is
/// not there. [`ApiError::InvalidParameter`] where the field and the header name different versions.
pub(super) fn parse(model: &str, version_header: Option<&str>) -> Result<ModelChoice, ApiError> {
    let (name, suffix) = match model.split_once('@') {
        Some((name, version)) => (name, Some(version)),
        None => (model, None),
    };
    let unknown = |error: ostler_crds::names::NameError| ApiError::UnknownModel {
        message: format!("there is no model {}: {error}", excerpt(model)),
    };
    Ok(ModelChoice { model: name.parse().map_err(unknown)?, version: join(suffix, version_header)? })
}

/// As [`parse`], of a request that may leave the model to the plan.
///
/// # Errors
/// As [`parse`].
pub(super) fn optional(
    model: Option<&str>,
    version_header: Option<&str>,
) -> Result<(Option<ModelName>, Option<VersionChoice>), ApiError> {
    match model {
        Some(model) => parse(model, version_header).map(|choice| (Some(choice.model), choice.version)),
        None => Ok((None, join(None, version_header)?)),
    }
}

/// The version of a request that may name it in its body, in its header, in both alike or not at all.
///
/// # Errors
/// As [`parse`].
pub(super) fn join(suffix: Option<&str>, header: Option<&str>) -> Result<Option<VersionChoice>, ApiError> {
    let version = match (suffix, header) {
        // The headers of an earlier answer say the commit too.
        (Some(suffix), Some(header)) if is_part(suffix, header) => Some(header),
        (Some(suffix), Some(header)) => {
            let message = format!(
                "names version {} and the header x-ostler-version {}; send one of them",
                excerpt(suffix),
                excerpt(header)
            );
            return Err(ApiError::InvalidParameter { parameter: "model".to_owned(), message });
        }
        (suffix, header) => suffix.or(header),
    };
    if version.is_some_and(|version| version.contains(FOLDER_DIGEST)) {
        let message = "is the digest of a folder, of which only what lies there now can be asked for: leave \
                       x-ostler-revision out, and compare it with the answer's";
        let (parameter, message) = ("x-ostler-revision".to_owned(), message.to_owned());
        return Err(ApiError::InvalidParameter { parameter, message });
    }
    let unknown = |error: ostler_crds::names::NameError| ApiError::UnknownModel {
        message: format!("there is no such version: {error}"),
    };
    version.map(|version| version.parse().map_err(unknown)).transpose()
}

/// Whether a version or a commit is what the header says, or one half of it.
fn is_part(suffix: &str, header: &str) -> bool {
    suffix == header
        || header.split_once('@').is_some_and(|(version, commit)| [version, commit].contains(&suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn names_versions_and_commits_are_told_apart() {
        let named = |version: &str| Some(VersionChoice::Name(version.parse().unwrap()));
        let pinned = Some(VersionChoice::Commit(COMMIT.parse().unwrap()));
        let both = Some(VersionChoice::Pin("v2".parse().unwrap(), COMMIT.parse().unwrap()));
        for (model, header, expected) in [
            ("whisper", None, None),
            ("whisper@v2", None, named("v2")),
            ("whisper", Some("v2"), named("v2")),
            ("whisper@v2", Some("v2"), named("v2")),
            (&format!("whisper@{COMMIT}"), None, pinned.clone()),
            (&format!("whisper@v2@{COMMIT}"), None, both.clone()),
            ("whisper", Some(&format!("v2@{COMMIT}")), both.clone()),
            ("whisper@v2", Some(&format!("v2@{COMMIT}")), both.clone()),
            (&format!("whisper@{COMMIT}"), Some(&format!("v2@{COMMIT}")), both),
            ("whisper", Some(COMMIT), pinned),
        ] {
            let choice = parse(model, header).unwrap();
            assert_eq!(choice.model.as_str(), "whisper");
            assert_eq!(choice.version, expected, "{model} {header:?}");
        }
    }

    #[test]
    fn what_names_nothing_is_refused() {
        for (model, header, status) in [
            ("", None, 404),
            ("Whisper", None, 404),
            ("whisper@", None, 404),
            ("whisper@V 2", None, 404),
            ("../etc/passwd", None, 404),
            ("whisper@v1@v2", None, 404),
            ("whisper@v1", Some("v2"), 400),
            ("whisper", Some("v1@sha256:0123"), 400),
            ("whisper", Some("v\n2"), 404),
        ] {
            let error = parse(model, header).unwrap_err();
            assert_eq!(error.status(), status, "{model} {header:?}: {error}");
            assert!(!error.to_string().contains('\n'));
        }
    }
}
