//! Names and small values, parsed once. Each `FromStr` says what is wrong and what to write instead.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a name was refused. The message names the value and says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {value:?} {expectation}")]
pub struct NameError {
    kind: &'static str,
    value: String,
    expectation: &'static str,
}

impl NameError {
    fn new(kind: &'static str, value: &str, expectation: &'static str) -> Self {
        let value = value.chars().take(128).collect();
        Self { kind, value, expectation }
    }
}

/// Implements the string conversions of a newtype over `String` whose `FromStr` validates.
macro_rules! string_name {
    ($name:ident) => {
        impl $name {
            /// The text as it was written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(value: String) -> Result<Self, Self::Error> {
                value.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }
    };
}

/// The longest model or version name, in bytes: a DNS label.
pub const MAX_NAME_LENGTH: usize = 63;

fn is_dns_label(value: &str) -> bool {
    let bytes = value.as_bytes();
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=MAX_NAME_LENGTH).contains(&bytes.len())
        && bytes.iter().all(|byte| alphanumeric(byte) || *byte == b'-')
        && bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric)
}

/// The name that clients ask for, such as `whisper`: a DNS label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelName(String);

impl FromStr for ModelName {
    type Err = NameError;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        if is_dns_label(value) {
            return Ok(Self(value.to_owned()));
        }
        Err(NameError::new(
            "model name",
            value,
            "must be lower-case letters, digits and '-', at most 63, such as \"whisper\"",
        ))
    }
}
string_name!(ModelName);

/// The name of one version of a model, such as `v1`: a DNS label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VersionName(String);

impl FromStr for VersionName {
    type Err = NameError;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        if is_dns_label(value) {
            return Ok(Self(value.to_owned()));
        }
        Err(NameError::new(
            "version name",
            value,
            "must be lower-case letters, digits and '-', at most 63, such as \"v1\"",
        ))
    }
}
string_name!(VersionName);

/// A source and a target language as opus-mt repositories write them: `en-de`, `zh-en`, `en-roa`, `pt_br-en`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LanguagePair(String);

impl LanguagePair {
    /// The language translated from.
    #[must_use]
    pub fn source(&self) -> &str {
        self.0.split_once('-').map_or("", |(source, _)| source)
    }

    /// The language translated into.
    #[must_use]
    pub fn target(&self) -> &str {
        self.0.split_once('-').map_or("", |(_, target)| target)
    }
}

impl FromStr for LanguagePair {
    type Err = NameError;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        let is_language = |part: &str| {
            (2..=16).contains(&part.len())
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        match value.split_once('-') {
            Some((source, target)) if is_language(source) && is_language(target) => {
                Ok(Self(value.to_owned()))
            }
            _ => Err(NameError::new("language pair", value, "must be SOURCE-TARGET, such as \"en-de\"")),
        }
    }
}
string_name!(LanguagePair);

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

/// A share of traffic in percent, 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Weight(u8);

impl Weight {
    /// No traffic.
    pub const ZERO: Self = Self(0);
    /// All traffic.
    pub const FULL: Self = Self(100);

    /// The share in percent.
    #[must_use]
    pub fn percent(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Weight {
    type Error = NameError;

    fn try_from(value: u8) -> Result<Self, Self::Error> {
        if value <= 100 {
            return Ok(Self(value));
        }
        Err(NameError::new("weight", &value.to_string(), "must be a percentage from 0 to 100"))
    }
}

impl From<Weight> for u8 {
    fn from(value: Weight) -> Self {
        value.0
    }
}

/// What a model does, as Hugging Face names its pipelines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "kube", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Speech to text.
    AutomaticSpeechRecognition,
    /// Text to text in another language.
    Translation,
    /// Text to a label; here the language a text is written in.
    TextClassification,
}

impl fmt::Display for Task {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::AutomaticSpeechRecognition => "automatic-speech-recognition",
            Self::Translation => "translation",
            Self::TextClassification => "text-classification",
        })
    }
}

/// The number format that a version computes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "kube", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// The best that the machine has.
    #[default]
    Auto,
    /// 32 bits: the answers of transformers.
    Float32,
    /// Brain floating point, 16 bits.
    Bfloat16,
    /// IEEE half precision, 16 bits.
    Float16,
    /// 8-bit integers with scales.
    Int8,
}

impl fmt::Display for Dtype {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Auto => "auto",
            Self::Float32 => "float32",
            Self::Bfloat16 => "bfloat16",
            Self::Float16 => "float16",
            Self::Int8 => "int8",
        })
    }
}

/// When a model's versions are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "kube", derive(schemars::JsonSchema))]
pub enum LoadPolicy {
    /// Before the pod becomes Ready.
    Preload,
    /// When the first request asks.
    #[default]
    Lazy,
}

#[cfg(test)]
mod tests;
