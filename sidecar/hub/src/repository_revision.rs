//! What a repository holds at a commit, parsed from the Hub's answer and checked in full.

use std::collections::BTreeSet;

use ostler_crds::names::Commit;
use serde::Deserialize;

use crate::file_path::check_file_path;

/// The most files of one repository that are taken in. The largest public models have a few thousand.
const MAX_FILES: usize = 100_000;

/// A revision of a repository, resolved to its commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryRevision {
    /// The commit that the revision names at this moment.
    pub commit: Commit,
    /// Every file at that commit, sorted by path.
    pub files: Vec<RepositoryFile>,
}

/// One file at a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryFile {
    /// The path in the repository, safe to join to a folder.
    pub path: String,
    /// The file's length in bytes.
    pub size: u64,
    /// The git blob id: SHA-1 over `blob LENGTH\0` and the contents. For a file in Large File Storage those contents
    /// are git's pointer, not the file.
    pub blob_id: String,
    /// The SHA-256 of the contents, for a file in Large File Storage.
    pub sha256: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    blob_id: Option<String>,
    lfs: Option<LargeFile>,
}

#[derive(Deserialize)]
struct LargeFile {
    sha256: String,
    size: u64,
}

/// Why an answer is no listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ListingProblem {
    /// It ends too early, as when a connection without a declared length breaks: the next may be whole.
    Truncated,
    /// A sentence that names the field that is missing or wrong.
    Malformed(String),
}

impl From<String> for ListingProblem {
    fn from(problem: String) -> Self {
        Self::Malformed(problem)
    }
}

/// Parses `GET /api/models/R/revision/V?blobs=true`.
///
/// # Errors
/// Where it is incomplete or hostile.
pub(crate) fn parse(body: &[u8]) -> Result<RepositoryRevision, ListingProblem> {
    let answer: Answer = serde_json::from_slice(body).map_err(|error| match error.is_eof() {
        true => ListingProblem::Truncated,
        false => ListingProblem::Malformed(format!("no repository in JSON: {error}")),
    })?;
    let commit: Commit = answer.sha.parse().map_err(|error| format!("sha: {error}"))?;
    if answer.siblings.len() > MAX_FILES {
        return Err(
            format!("siblings: {} files, at most {MAX_FILES} are taken", answer.siblings.len()).into()
        );
    }
    let mut files = answer.siblings.into_iter().map(file_of).collect::<Result<Vec<_>, _>>()?;
    files.sort_by(|left, right| left.path.cmp(&right.path));
    check_distinct(&files)?;
    Ok(RepositoryRevision { commit, files })
}

fn file_of(sibling: Sibling) -> Result<RepositoryFile, String> {
    check_file_path(&sibling.rfilename).map_err(|error| error.to_string())?;
    let path = sibling.rfilename;
    let blob_id = sibling.blob_id.ok_or_else(|| format!("{path}: blobId is missing"))?;
    if !is_hexadecimal(&blob_id, 40) {
        return Err(format!("{path}: blobId must be 40 hexadecimal digits"));
    }
    let (size, sha256) = match sibling.lfs {
        None => (sibling.size.ok_or_else(|| format!("{path}: size is missing"))?, None),
        Some(lfs) => {
            if !is_hexadecimal(&lfs.sha256, 64) {
                return Err(format!("{path}: lfs.sha256 must be 64 hexadecimal digits"));
            }
            if sibling.size.is_some_and(|size| size != lfs.size) {
                return Err(format!("{path}: size and lfs.size disagree"));
            }
            (lfs.size, Some(lfs.sha256))
        }
    };
    Ok(RepositoryFile { path, size, blob_id, sha256 })
}

/// Refuses a path given twice, and a path that is a file and a folder at once: neither can lie in one folder.
fn check_distinct(files: &[RepositoryFile]) -> Result<(), String> {
    let mut paths = BTreeSet::new();
    for file in files {
        if !paths.insert(file.path.as_str()) {
            return Err(format!("{}: listed twice", file.path));
        }
    }
    for file in files {
        let mut folder = file.path.as_str();
        while let Some((parent, _)) = folder.rsplit_once('/') {
            if paths.contains(parent) {
                return Err(format!("{parent}: listed as a file and as a folder"));
            }
            folder = parent;
        }
    }
    Ok(())
}

fn is_hexadecimal(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse_files(siblings: serde_json::Value) -> Result<RepositoryRevision, String> {
        let answer = json!({"id": "a/b", "sha": "1".repeat(40), "private": false, "siblings": siblings});
        parse(answer.to_string().as_bytes()).map_err(problem)
    }

    fn problem(problem: ListingProblem) -> String {
        match problem {
            ListingProblem::Malformed(problem) => problem,
            ListingProblem::Truncated => "truncated".to_owned(),
        }
    }

    #[test]
    fn a_listing_that_is_cut_anywhere_is_truncated() {
        let id = "a".repeat(40);
        let answer =
            json!({"sha": id, "siblings": [{"rfilename": "x", "size": 1, "blobId": id}]}).to_string();
        assert!(parse(answer.as_bytes()).is_ok());
        for end in 0..answer.len() {
            assert_eq!(parse(&answer.as_bytes()[..end]), Err(ListingProblem::Truncated), "cut at {end}");
        }
    }

    #[test]
    fn small_and_large_files_are_read() {
        let revision = parse_files(json!([
            {"rfilename": "model.safetensors", "size": 9, "blobId": "b".repeat(40),
             "lfs": {"sha256": "c".repeat(64), "size": 9, "pointerSize": 134}},
            {"rfilename": "config.json", "size": 2, "blobId": "a".repeat(40)},
        ]))
        .unwrap();
        assert_eq!(revision.commit.as_str(), "1".repeat(40));
        assert_eq!(revision.files.len(), 2);
        assert_eq!(revision.files[0].path, "config.json");
        assert_eq!(revision.files[1].sha256.as_deref(), Some("c".repeat(64).as_str()));
    }

    #[test]
    fn hostile_and_broken_listings_are_refused() {
        let id = "a".repeat(40);
        let table = [
            (json!([{"rfilename": "../x", "size": 1, "blobId": id}]), "\"..\""),
            (json!([{"rfilename": "/x", "size": 1, "blobId": id}]), "absolute"),
            (json!([{"rfilename": "x", "blobId": id}]), "size is missing"),
            (json!([{"rfilename": "x", "size": 1}]), "blobId is missing"),
            (json!([{"rfilename": "x", "size": -1, "blobId": id}]), "invalid value"),
            (json!([{"rfilename": "x", "size": 1, "blobId": "../../.."}]), "40 hexadecimal"),
            (
                json!([{"rfilename": "x", "size": 1, "blobId": id, "lfs": {"sha256": "../x", "size": 1}}]),
                "64 hexadecimal",
            ),
            (
                json!([{"rfilename": "x", "size": 1, "blobId": id, "lfs": {"sha256": "c".repeat(64), "size": 2}}]),
                "disagree",
            ),
            (
                json!([{"rfilename": "x", "size": 1, "blobId": id}, {"rfilename": "x", "size": 1, "blobId": id}]),
                "twice",
            ),
            (
                json!([{"rfilename": "x", "size": 1, "blobId": id}, {"rfilename": "x/y", "size": 1, "blobId": id}]),
                "folder",
            ),
        ];
        for (siblings, problem) in table {
            let error = parse_files(siblings).unwrap_err();
            assert!(error.contains(problem), "{error} should hold {problem}");
        }
        assert!(parse(b"<html>").is_err());
        assert!(
            parse(b"{\"sha\": \"main\", \"siblings\": []}").map_err(problem).unwrap_err().contains("sha")
        );
    }
}
