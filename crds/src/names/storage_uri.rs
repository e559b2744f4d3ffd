//! Where the files of a version come from.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{NameError, RepositoryId, Revision};

/// The placeholder that `storageUri` may hold once for each language pair of a model.
pub const LANGUAGE_PAIR_PLACEHOLDER: &str = "{languagePair}";

/// Where one version of a model comes from, with any `{languagePair}` already replaced.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum StorageUri {
    /// `hf://ORG/REPO[:REVISION]`: a repository of the Hub.
    Hub {
        /// The repository.
        repository: RepositoryId,
        /// The branch, tag or commit; `main` where none was written.
        revision: Revision,
    },
    /// `file:///PATH`: a folder that the pod, or the user's machine, already has.
    File {
        /// The absolute path, without `..`.
        path: String,
    },
}

impl FromStr for StorageUri {
    type Err = NameError;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        let expectation = "must be hf://ORGANISATION/REPOSITORY[:REVISION] or file:///ABSOLUTE/PATH";
        let refused = || NameError::new("storageUri", value, expectation);
        if let Some(rest) = value.strip_prefix("hf://") {
            let (repository, revision) = match rest.split_once(':') {
                Some((repository, revision)) => (repository, revision.parse()?),
                None => (rest, Revision::main()),
            };
            return Ok(Self::Hub { repository: repository.parse()?, revision });
        }
        let path = value.strip_prefix("file://").ok_or_else(refused)?;
        let is_safe = path.starts_with('/') && (2..=1024).contains(&path.len()) && !path.contains('\0');
        if !is_safe || path.split('/').any(|part| part == "..") {
            return Err(refused());
        }
        Ok(Self::File { path: path.to_owned() })
    }
}

impl fmt::Display for StorageUri {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hub { repository, revision } => write!(formatter, "hf://{repository}:{revision}"),
            Self::File { path } => write!(formatter, "file://{path}"),
        }
    }
}

impl TryFrom<String> for StorageUri {
    type Error = NameError;

    fn try_from(value: String) -> Result<Self, Self::Error> {
        value.parse()
    }
}

impl From<StorageUri> for String {
    fn from(value: StorageUri) -> Self {
        value.to_string()
    }
}
