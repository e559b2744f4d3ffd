//! Repositories: branches that move, commits that stay.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sha1::{Digest, Sha1};

use crate::contents::HubFile;

/// The files of one commit.
#[derive(Debug)]
pub(crate) struct Commit {
    pub(crate) id: String,
    pub(crate) files: BTreeMap<String, HubFile>,
}

impl Commit {
    /// A commit whose id follows from its files alone, so that the same contents have the same id everywhere.
    pub(crate) fn new(files: BTreeMap<String, HubFile>) -> Self {
        let mut hasher = Sha1::new();
        for (path, file) in &files {
            hasher.update(path);
            hasher.update([0]);
            hasher.update(&file.blob_id);
            hasher.update([0]);
        }
        Self { id: hex::encode(hasher.finalize()), files }
    }
}

/// One repository.
#[derive(Debug, Default)]
pub(crate) struct Repository {
    branches: HashMap<String, String>,
    commits: HashMap<String, Arc<Commit>>,
    /// The bearer token without which the repository seems not to exist.
    pub(crate) token: Option<String>,
    /// Whether files are refused until access is granted on the Hub's page.
    pub(crate) is_gated: bool,
}

impl Repository {
    /// Adds a commit and moves a branch to it.
    pub(crate) fn push(&mut self, branch: &str, commit: Commit) -> String {
        let id = commit.id.clone();
        self.commits.entry(id.clone()).or_insert_with(|| Arc::new(commit));
        self.branches.insert(branch.to_owned(), id.clone());
        id
    }

    /// The commit that a branch names, or that is named by its id.
    pub(crate) fn commit(&self, revision: &str) -> Option<Arc<Commit>> {
        let id = self.branches.get(revision).map_or(revision, String::as_str);
        self.commits.get(id).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contents::{Files, read_files};

    #[test]
    fn a_branch_moves_and_the_old_commit_stays() {
        let commit = |text: &str| Commit::new(read_files(Files::from([("a", text.to_owned())])).unwrap());
        let mut repository = Repository::default();
        let first = repository.push("main", commit("1"));
        let second = repository.push("main", commit("2"));
        assert_ne!(first, second);
        assert_eq!(repository.commit("main").unwrap().id, second);
        assert_eq!(repository.commit(&first).unwrap().id, first);
        assert!(repository.commit("other").is_none());
        assert_eq!(repository.push("other", commit("1")), first);
    }
}
