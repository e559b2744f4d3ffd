//! Names and small values, parsed once. Each `FromStr` says what is wrong and what to write instead.

use std::fmt;

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

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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

mod label;
mod language_pair;
mod repository;
mod storage_uri;

pub use label::{MAX_NAME_LENGTH, ModelName, VersionName};
pub use language_pair::LanguagePair;
pub use repository::{Commit, RepositoryId, Revision};
pub use storage_uri::{LANGUAGE_PAIR_PLACEHOLDER, StorageUri};

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
    /// Text to a vector.
    FeatureExtraction,
    /// Text to a vector whose angle to another's says how alike the texts are, across languages too.
    SentenceSimilarity,
}

impl Task {
    /// The tasks whose models turn text into vectors. Repositories name either, and one engine does both.
    pub const EMBEDDING: [Self; 2] = [Self::FeatureExtraction, Self::SentenceSimilarity];

    /// Every task.
    const ALL: [Self; 5] = [
        Self::AutomaticSpeechRecognition,
        Self::Translation,
        Self::TextClassification,
        Self::FeatureExtraction,
        Self::SentenceSimilarity,
    ];

    /// The task of a name, such as `translation`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|task| task.to_string() == name)
    }
}

impl fmt::Display for Task {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::AutomaticSpeechRecognition => "automatic-speech-recognition",
            Self::Translation => "translation",
            Self::TextClassification => "text-classification",
            Self::FeatureExtraction => "feature-extraction",
            Self::SentenceSimilarity => "sentence-similarity",
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

/// How speech of more than 30 s is worked on where a request does not say: `sequential` (the default), window after
/// window as transformers does it; or `batched`, cut in its pauses and several windows at once, for more text a second.
/// For models of task `automatic-speech-recognition`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "kube", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum LongForm {
    /// Each window starts where the text of the one before it ended, as transformers does it.
    #[default]
    Sequential,
    /// The speech is cut in its pauses and several windows are decoded at once: more text a second, but no window
    /// knows the text of another.
    Batched,
}

impl fmt::Display for LongForm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Sequential => "sequential",
            Self::Batched => "batched",
        })
    }
}

impl std::str::FromStr for LongForm {
    type Err = NameError;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        match value {
            "sequential" => Ok(Self::Sequential),
            "batched" => Ok(Self::Batched),
            other => Err(NameError::new("long form", other, "must be \"sequential\" or \"batched\"")),
        }
    }
}

#[cfg(test)]
mod tests;
