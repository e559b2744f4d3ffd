//! Reads a request's path as huggingface.co lays its paths out.

use percent_encoding::percent_decode_str;

use crate::log::Part;

/// What a path asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// `/api/models/ORG/NAME` or `/api/models/ORG/NAME/revision/REVISION`.
    Listing { repository: String, revision: String },
    /// `/api/models/ORG/NAME/tree/REVISION`, and below it a folder where one is named.
    Tree { repository: String, revision: String, folder: String },
    /// `/ORG/NAME/resolve/REVISION/PATH`.
    Resolve { repository: String, revision: String, file: String },
    /// `/cdn/ORG/NAME/COMMIT/PATH`, where redirects of large files lead.
    Storage { repository: String, commit: String, file: String },
    /// `/healthz`.
    Health,
    /// No path of the Hub's.
    Unknown,
}

impl Route {
    /// Parses a path that is still percent-encoded: a revision may hold an encoded slash.
    pub(crate) fn parse(path: &str) -> Self {
        let decoded: Option<Vec<String>> = path
            .trim_start_matches('/')
            .split('/')
            .map(|part| percent_decode_str(part).decode_utf8().ok().map(|part| part.into_owned()))
            .collect();
        let Some(parts) = decoded else { return Self::Unknown };
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        match parts.as_slice() {
            ["healthz"] => Self::Health,
            ["api", "models", owner, name] => {
                Self::Listing { repository: format!("{owner}/{name}"), revision: "main".to_owned() }
            }
            ["api", "models", owner, name, "revision", revision @ ..] if !revision.is_empty() => {
                Self::Listing { repository: format!("{owner}/{name}"), revision: revision.join("/") }
            }
            ["api", "models", owner, name, "tree", revision, folder @ ..] => Self::Tree {
                repository: format!("{owner}/{name}"),
                revision: (*revision).to_owned(),
                folder: folder.join("/"),
            },
            ["cdn", owner, name, commit, file @ ..] if !file.is_empty() => Self::Storage {
                repository: format!("{owner}/{name}"),
                commit: (*commit).to_owned(),
                file: file.join("/"),
            },
            [owner, name, "resolve", revision, file @ ..] if !file.is_empty() => Self::Resolve {
                repository: format!("{owner}/{name}"),
                revision: (*revision).to_owned(),
                file: file.join("/"),
            },
            _ => Self::Unknown,
        }
    }

    pub(crate) fn part(&self) -> Part {
        match self {
            Self::Listing { .. } | Self::Tree { .. } => Part::Listing,
            Self::Resolve { .. } => Part::Resolve,
            Self::Storage { .. } => Part::Storage,
            Self::Health | Self::Unknown => Part::Other,
        }
    }

    pub(crate) fn file(&self) -> Option<&str> {
        match self {
            Self::Resolve { file, .. } | Self::Storage { file, .. } => Some(file),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_hub_are_read() {
        let listing = |revision: &str| Route::Listing { repository: "a/b".into(), revision: revision.into() };
        assert_eq!(Route::parse("/api/models/a/b"), listing("main"));
        assert_eq!(Route::parse("/api/models/a/b/revision/v1"), listing("v1"));
        assert_eq!(Route::parse("/api/models/a/b/revision/refs%2Fpr%2F1"), listing("refs/pr/1"));
        let tree = Route::Tree { repository: "a/b".into(), revision: "x".into(), folder: "c/d".into() };
        assert_eq!(Route::parse("/api/models/a/b/tree/x/c/d"), tree);
        let file = Route::Resolve { repository: "a/b".into(), revision: "x".into(), file: "c d/e".into() };
        assert_eq!(Route::parse("/a/b/resolve/x/c%20d/e"), file);
        let stored = Route::Storage { repository: "a/b".into(), commit: "x".into(), file: "c/d".into() };
        assert_eq!(Route::parse("/cdn/a/b/x/c/d"), stored);
        assert_eq!(Route::parse("/a/b/resolve/x"), Route::Unknown);
        assert_eq!(Route::parse("/"), Route::Unknown);
    }
}
