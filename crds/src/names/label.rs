//! Names of models and versions: DNS labels.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::NameError;

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
