//! How a sentence encoder reads texts, from the configs of its repository: how much of them, in which case, and
//! after which words.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::dense::VECTOR;
use crate::error::LoadError;
use crate::files::{self, SENTENCE_CONFIGS, SENTENCE_PROMPTS};

/// How texts are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    /// The most tokens of a text that the repository wants read; `None` leaves it to the transformer.
    pub(super) longest: Option<usize>,
    /// Texts are made lower-case first.
    pub(super) lowercase: bool,
    /// What stands in front of every text.
    pub(super) prompt: String,
}

#[derive(Deserialize, Default)]
struct TransformerConfig {
    max_seq_length: Option<usize>,
    do_lower_case: Option<bool>,
    transformer_task: Option<String>,
    module_output_name: Option<String>,
}

#[derive(Deserialize, Default)]
struct TokenizerConfig {
    /// Tokenizers without a limit have a power of ten here that fits no integer.
    model_max_length: Option<f64>,
}

#[derive(Deserialize, Default)]
struct EncoderConfig {
    #[serde(default)]
    prompts: BTreeMap<String, Option<String>>,
    default_prompt_name: Option<String>,
}

impl Settings {
    /// Reads the configs of a model's folder, all of which may be absent.
    ///
    /// # Errors
    /// Where one is damaged, or asks for what is not computed here.
    pub(super) fn read(folder: &Path) -> Result<Self, LoadError> {
        let mut transformer = None;
        for name in SENTENCE_CONFIGS {
            if transformer.is_none() {
                transformer = files::read_optional_json(folder, name)?.map(|config| (name, config));
            }
        }
        let (name, transformer) = transformer.unwrap_or((SENTENCE_CONFIGS[0], TransformerConfig::default()));
        let tokenizer = files::read_optional_json(folder, files::TOKENIZER_CONFIG)?.unwrap_or_default();
        let encoder = files::read_optional_json(folder, SENTENCE_PROMPTS)?.unwrap_or_default();
        Self::checked(name, transformer, &tokenizer, encoder)
    }

    fn checked(
        name: &str,
        transformer: TransformerConfig,
        tokenizer: &TokenizerConfig,
        encoder: EncoderConfig,
    ) -> Result<Self, LoadError> {
        let only = |field: &str, value: Option<String>, supported: &str| match value {
            Some(value) if value != supported => Err(LoadError::Incompatible(format!(
                "{name}: {field} {value:?} is not supported; {supported:?} is"
            ))),
            _ => Ok(()),
        };
        only("transformer_task", transformer.transformer_task, "feature-extraction")?;
        only("module_output_name", transformer.module_output_name, "token_embeddings")?;
        if transformer.max_seq_length == Some(0) {
            return Err(LoadError::Incompatible(format!(
                "{name}: max_seq_length is 0, it must be at least 1"
            )));
        }
        let of_tokenizer = tokenizer.model_max_length.filter(|length| (1.0..1e9).contains(length));
        let mut prompts = encoder.prompts;
        let prompt = match encoder.default_prompt_name {
            None => None,
            Some(prompt) => prompts.remove(&prompt).ok_or_else(|| {
                LoadError::corrupted(SENTENCE_PROMPTS, format!("prompts lacks the default one, {prompt:?}"))
            })?,
        };
        Ok(Self {
            longest: transformer.max_seq_length.or(of_tokenizer.map(|length| length as usize)),
            lowercase: transformer.do_lower_case.unwrap_or(false),
            prompt: prompt.unwrap_or_default(),
        })
    }
}

#[derive(Deserialize, Default)]
struct NormalizeConfig {
    module_input_name: Option<String>,
    module_output_name: Option<String>,
}

/// Checks that the module Normalize in a folder scales the vector of a text. Most repositories have no config there.
///
/// # Errors
/// Where it says that something else is to be scaled.
pub(super) fn check_normalize(model: &Path, folder: &str) -> Result<(), LoadError> {
    let file = format!("{folder}/{}", files::CONFIG);
    let config: NormalizeConfig = files::read_optional_json(model, &file)?.unwrap_or_default();
    let names = [config.module_input_name, config.module_output_name];
    match names.into_iter().flatten().find(|name| name != VECTOR) {
        None => Ok(()),
        Some(name) => {
            Err(LoadError::Incompatible(format!("{file}: {name:?} is not scaled here; {VECTOR:?} is")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(
        transformer: serde_json::Value,
        tokenizer: serde_json::Value,
        encoder: serde_json::Value,
    ) -> Result<Settings, LoadError> {
        Settings::checked(
            SENTENCE_CONFIGS[0],
            serde_json::from_value(transformer).unwrap(),
            &serde_json::from_value(tokenizer).unwrap(),
            serde_json::from_value(encoder).unwrap(),
        )
    }

    #[test]
    fn what_the_repository_says_of_sentences_goes_before_what_it_says_of_the_tokenizer() {
        let json = |text: &str| serde_json::from_str(text).unwrap();
        let both = settings(
            json(r#"{"max_seq_length": 128, "do_lower_case": true}"#),
            json(r#"{"model_max_length": 512}"#),
            json(r#"{"prompts": {"query": "query: "}, "default_prompt_name": "query"}"#),
        );
        let expected = Settings { longest: Some(128), lowercase: true, prompt: "query: ".to_owned() };
        assert_eq!(both.unwrap(), expected);
        let unlimited = r#"{"model_max_length": 1000000000000000019884624838656}"#;
        for (tokenizer, longest) in
            [(r#"{"model_max_length": 512}"#, Some(512)), (unlimited, None), ("{}", None)]
        {
            let own = settings(json(r#"{"max_seq_length": null}"#), json(tokenizer), json("{}")).unwrap();
            assert_eq!(own, Settings { longest, lowercase: false, prompt: String::new() });
        }
    }

    #[test]
    fn what_is_not_computed_here_is_refused_by_the_name_of_its_field() {
        let none = || serde_json::json!({});
        for (transformer, encoder, expected) in [
            (serde_json::json!({"transformer_task": "fill-mask"}), none(), "transformer_task"),
            (serde_json::json!({"module_output_name": "sentence_embedding"}), none(), "module_output_name"),
            (serde_json::json!({"max_seq_length": 0}), none(), "max_seq_length"),
            (none(), serde_json::json!({"default_prompt_name": "query"}), "\"query\""),
        ] {
            let error = settings(transformer, none(), encoder).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
