//! The Hub's answers as values: JSON shapes and heads, before any byte is streamed.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::contents::HubFile;
use crate::repository::{Commit, Repository};

/// A refusal, with the code that clients of the Hub look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: Option<&'static str>,
    pub(crate) message: &'static str,
}

const fn refusal(status: StatusCode, code: &'static str, message: &'static str) -> Refusal {
    Refusal { status, code: Some(code), message }
}

pub(crate) const NO_REPOSITORY: Refusal =
    refusal(StatusCode::NOT_FOUND, "RepoNotFound", "Repository not found");
/// The Hub hides a private repository, and one that does not exist, from those without a token.
const HIDDEN_REPOSITORY: Refusal = refusal(StatusCode::UNAUTHORIZED, "RepoNotFound", "Repository not found");
pub(crate) const NO_REVISION: Refusal = refusal(StatusCode::NOT_FOUND, "RevisionNotFound", "Invalid rev id");
pub(crate) const NO_FILE: Refusal = refusal(StatusCode::NOT_FOUND, "EntryNotFound", "Entry not found");
const GATED: Refusal = refusal(StatusCode::FORBIDDEN, "GatedRepo", "Access to this repository is restricted");
const GATED_WITHOUT_TOKEN: Refusal =
    refusal(StatusCode::UNAUTHORIZED, "GatedRepo", "Access to this repository is restricted; log in");
/// Before anything is pushed a hub is not ready to be asked.
pub(crate) const EMPTY: Refusal =
    Refusal { status: StatusCode::SERVICE_UNAVAILABLE, code: None, message: "No repository yet" };
pub(crate) const NO_PAGE: Refusal =
    Refusal { status: StatusCode::NOT_FOUND, code: None, message: "Not found" };
pub(crate) const BAD_SIGNATURE: Refusal =
    Refusal { status: StatusCode::FORBIDDEN, code: None, message: "AccessDenied" };

/// Whether a request with this `Authorization` may see a repository.
pub(crate) fn check_access(repository: &Repository, authorization: Option<&str>) -> Result<(), Refusal> {
    match &repository.token {
        Some(token) if authorization != Some(format!("Bearer {token}").as_str()) => Err(HIDDEN_REPOSITORY),
        _ => Ok(()),
    }
}

/// Whether a request with this `Authorization` may have a repository's files.
pub(crate) fn check_gate(repository: &Repository, authorization: Option<&str>) -> Result<(), Refusal> {
    match (repository.is_gated, authorization) {
        (false, _) => Ok(()),
        (true, None) => Err(GATED_WITHOUT_TOKEN),
        (true, Some(_)) => Err(GATED),
    }
}

/// The listing of a commit, with sizes and digests where `blobs=true` was asked.
pub(crate) fn listing(name: &str, repository: &Repository, commit: &Commit, with_blobs: bool) -> Value {
    let siblings: Vec<Value> =
        commit.files.iter().map(|(path, file)| sibling(path, file, with_blobs)).collect();
    let gated = if repository.is_gated { json!("manual") } else { json!(false) };
    json!({
        "_id": commit.id.get(..24),
        "id": name,
        "modelId": name,
        "author": name.split('/').next(),
        "sha": commit.id,
        "private": repository.token.is_some(),
        "gated": gated,
        "disabled": false,
        "tags": [],
        "downloads": 0,
        "likes": 0,
        "siblings": siblings,
    })
}

fn sibling(path: &str, file: &HubFile, with_blobs: bool) -> Value {
    let mut sibling = json!({"rfilename": path});
    if with_blobs {
        sibling["size"] = json!(file.size);
        sibling["blobId"] = json!(file.blob_id);
        if let Some(large) = &file.large {
            sibling["lfs"] =
                json!({"sha256": large.sha256, "size": file.size, "pointerSize": large.pointer_size});
        }
    }
    sibling
}

/// The files and folders of a commit below a folder, as the Hub's tree gives them: all levels, or the next one.
pub(crate) fn tree(commit: &Commit, folder: &str, is_recursive: bool) -> Value {
    let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let mut folders = BTreeSet::new();
    let mut entries = Vec::new();
    for (path, file) in &commit.files {
        let Some(below) = path.strip_prefix(&prefix) else { continue };
        let levels = below.match_indices('/').map(|(index, _)| &path[..prefix.len() + index]);
        let limit = if is_recursive { usize::MAX } else { 1 };
        folders.extend(levels.take(limit));
        if is_recursive || !below.contains('/') {
            entries.push(tree_file(path, file));
        }
    }
    // git's id of a folder needs its tree object; clients only carry it along.
    let folder_entry = |path: &&str| json!({"type": "directory", "oid": commit.id, "size": 0, "path": path});
    folders.iter().map(folder_entry).chain(entries).collect()
}

fn tree_file(path: &str, file: &HubFile) -> Value {
    let mut entry = json!({"type": "file", "oid": file.blob_id, "size": file.size, "path": path});
    if let Some(large) = &file.large {
        entry["lfs"] = json!({"oid": large.sha256, "size": file.size, "pointerSize": large.pointer_size});
    }
    entry
}

/// The part of a file that a `Range` header asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Span {
    Whole,
    /// First and last byte, both inside the file.
    Part(u64, u64),
    Unsatisfiable,
}

/// Reads a `Range` header of one range (RFC 9110, section 14.2); what cannot be read is ignored, as it says there.
pub(crate) fn span(range: Option<&str>, size: u64) -> Span {
    let parsed = range.and_then(|range| range.strip_prefix("bytes=")).and_then(|range| range.split_once('-'));
    match parsed {
        Some(("", suffix)) => match suffix.parse::<u64>() {
            Ok(0) => Span::Unsatisfiable,
            Ok(length) if size > 0 => Span::Part(size.saturating_sub(length), size - 1),
            Ok(_) => Span::Unsatisfiable,
            Err(_) => Span::Whole,
        },
        Some((start, end)) => match (start.parse::<u64>(), end.parse::<u64>()) {
            (Ok(start), _) if start >= size => Span::Unsatisfiable,
            (Ok(start), Ok(end)) if end < start => Span::Whole,
            (Ok(start), Ok(end)) => Span::Part(start, end.min(size - 1)),
            (Ok(start), Err(_)) if end.is_empty() => Span::Part(start, size - 1),
            _ => Span::Whole,
        },
        None => Span::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        let table = [
            (None, Span::Whole),
            (Some("bytes=0-"), Span::Part(0, 9)),
            (Some("bytes=3-"), Span::Part(3, 9)),
            (Some("bytes=3-5"), Span::Part(3, 5)),
            (Some("bytes=3-50"), Span::Part(3, 9)),
            (Some("bytes=-4"), Span::Part(6, 9)),
            (Some("bytes=-40"), Span::Part(0, 9)),
            (Some("bytes=10-"), Span::Unsatisfiable),
            (Some("bytes=-0"), Span::Unsatisfiable),
            (Some("bytes=5-3"), Span::Whole),
            (Some("lines=1-2"), Span::Whole),
        ];
        for (range, expected) in table {
            assert_eq!(span(range, 10), expected, "{range:?}");
        }
        assert_eq!(span(Some("bytes=0-"), 0), Span::Unsatisfiable);
    }

    #[test]
    fn a_tree_has_one_level_or_all() {
        let files = [("a", "1"), ("b/c", "2"), ("b/d/e", "3")];
        let commit = Commit::new(crate::contents::read_files(crate::contents::Files::from(files)).unwrap());
        let paths = |folder, is_recursive| {
            let tree = tree(&commit, folder, is_recursive);
            let paths =
                tree.as_array().unwrap().iter().map(|entry| entry["path"].as_str().unwrap().to_owned());
            paths.collect::<Vec<_>>()
        };
        assert_eq!(paths("", true), ["b", "b/d", "a", "b/c", "b/d/e"]);
        assert_eq!(paths("", false), ["b", "a"]);
        assert_eq!(paths("b", false), ["b/d", "b/c"]);
        assert!(paths("none", true).is_empty());
    }

    #[test]
    fn a_private_repository_hides() {
        let mut repository = Repository::default();
        repository.token = Some("hf_x".to_owned());
        assert_eq!(check_access(&repository, None), Err(HIDDEN_REPOSITORY));
        assert_eq!(check_access(&repository, Some("Bearer hf_y")), Err(HIDDEN_REPOSITORY));
        assert_eq!(check_access(&repository, Some("Bearer hf_x")), Ok(()));
    }
}
