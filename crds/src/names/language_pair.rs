//! Pairs of languages.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::NameError;

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
