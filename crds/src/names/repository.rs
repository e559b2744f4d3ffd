//! Repositories of the Hub, and what in them is meant.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::NameError;

/// A commit of a repository: 40 lower-case hexadecimal digits. Weights pinned to one never change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Commit(String);

impl FromStr for Commit {
    type Err = NameError;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        let is_hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if value.len() == 40 && value.bytes().all(is_hexadecimal) {
            return Ok(Self(value.to_owned()));
        }
        Err(NameError::new("commit", value, "must be 40 lower-case hexadecimal digits"))
    }
}
string_name!(Commit);

/// A repository of the Hub: `ORG/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepositoryId(String);

impl RepositoryId {
    /// The organisation or user before the slash.
    #[must_use]
    pub fn owner(&self) -> &str {
        self.0.split_once('/').map_or("", |(owner, _)| owner)
    }

    /// The name after the slash.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, name)| name)
    }
}

impl FromStr for RepositoryId {
    type Err = NameError;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        // The Hub's own rule (huggingface_hub, `validate_repo_id`): letters, digits, '-', '_', '.', no leading or
        // trailing '-' or '.', neither "--" nor "..", at most 96 characters a part. It also keeps paths safe.
        let is_part = |part: &str| {
            (1..=96).contains(&part.len())
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
                && !part.starts_with(['-', '.'])
                && !part.ends_with(['-', '.'])
                && !part.contains("--")
                && !part.contains("..")
        };
        match value.split_once('/') {
            Some((owner, name)) if is_part(owner) && is_part(name) => Ok(Self(value.to_owned())),
            _ => Err(NameError::new(
                "repository",
                value,
                "must be ORGANISATION/NAME, such as \"openai/whisper-base\"",
            )),
        }
    }
}
string_name!(RepositoryId);

/// A branch, tag or commit of a repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Revision(String);

impl Revision {
    /// The revision that is meant where none is written.
    #[must_use]
    pub fn main() -> Self {
        Self("main".to_owned())
    }

    /// The commit, where the revision is one and so needs no resolving.
    #[must_use]
    pub fn as_commit(&self) -> Option<Commit> {
        self.0.parse().ok()
    }
}

impl FromStr for Revision {
    type Err = NameError;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        // git's own rules for reference names (git-check-ref-format), narrowed to characters that need no escaping.
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./+".contains(&byte);
        let is_reference = (1..=128).contains(&value.len())
            && value.bytes().all(is_allowed)
            && value
                .split('/')
                .all(|part| !part.is_empty() && !part.starts_with('.') && !part.ends_with('.'))
            && !value.contains("..")
            && !value.starts_with('-');
        if is_reference {
            return Ok(Self(value.to_owned()));
        }
        Err(NameError::new("revision", value, "must be a branch, a tag or a commit, such as \"main\""))
    }
}
string_name!(Revision);
