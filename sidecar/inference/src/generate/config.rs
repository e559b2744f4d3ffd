//! How a repository wants its model to generate: `generation_config.json`, else `config.json`.

use serde::{Deserialize, Deserializer};

use super::beam::{BeamOptions, EarlyStopping};
use super::processors::{
    BadWords, ForcedBegin, ForcedEnd, LogitsProcessor, MinLength, NoRepeatNgram, Renormalize,
    RepetitionPenalty, SuppressTokens, SuppressTokensAtBegin,
};
use crate::error::LoadError;
use crate::files::{CONFIG, GENERATION_CONFIG};

/// The fields that apply to every model that generates, named and defaulted as transformers' `GenerationConfig`.
#[derive(Debug, Clone, Deserialize)]
pub struct GenerationConfig {
    /// The token that a text begins with.
    pub decoder_start_token_id: Option<u32>,
    /// The token that a text begins with, where [`GenerationConfig::decoder_start_token_id`] is absent.
    pub bos_token_id: Option<u32>,
    /// The tokens that end a text.
    #[serde(default, deserialize_with = "one_or_many")]
    pub eos_token_id: Vec<u32>,
    /// The token that fills up rows.
    pub pad_token_id: Option<u32>,
    /// The greatest length in tokens, prompt included.
    pub max_length: Option<usize>,
    /// The greatest length in tokens, prompt not included; it wins over `max_length`.
    pub max_new_tokens: Option<usize>,
    /// The least length in tokens, prompt included.
    pub min_length: Option<usize>,
    /// Beams to search with.
    pub num_beams: Option<usize>,
    /// The power of the length that scores are divided by.
    pub length_penalty: Option<f32>,
    /// When a beam search stops.
    #[serde(default, deserialize_with = "early_stopping")]
    pub early_stopping: EarlyStopping,
    /// Runs of tokens that are never generated.
    pub bad_words_ids: Option<Vec<Vec<u32>>>,
    /// The token that comes first.
    pub forced_bos_token_id: Option<u32>,
    /// The token that comes last where the greatest length is reached.
    #[serde(default, deserialize_with = "one_or_many")]
    pub forced_eos_token_id: Vec<u32>,
    /// Tokens that are never generated.
    pub suppress_tokens: Option<Vec<u32>>,
    /// Tokens that never come first.
    pub begin_suppress_tokens: Option<Vec<u32>>,
    /// Runs of this length are never repeated.
    pub no_repeat_ngram_size: Option<usize>,
    /// What scores of tokens that occurred are divided by.
    pub repetition_penalty: Option<f32>,
    /// Whether scores are made log probabilities again after the rules.
    pub renormalize_logits: Option<bool>,
    do_sample: Option<bool>,
    num_beam_groups: Option<usize>,
    penalty_alpha: Option<f32>,
}

/// The greatest length where none is given, as in transformers.
const DEFAULT_MAX_LENGTH: usize = 20;

/// The most beams of a search.
pub const MAX_BEAMS: usize = 32;

impl GenerationConfig {
    /// Parses the bytes of config.json and, where there is one, of generation_config.json. Special tokens that
    /// the latter leaves out are config.json's.
    ///
    /// # Errors
    /// Where a file is not the JSON that is needed, or asks for sampling or for other searches than greedy and
    /// beam search.
    pub fn parse(config: &[u8], generation: Option<&[u8]>) -> Result<Self, LoadError> {
        let parsed = |bytes: &[u8], file: &str| {
            serde_json::from_slice::<Self>(bytes).map_err(|error| LoadError::corrupted(file, error))
        };
        let model = parsed(config, CONFIG)?;
        let Some(generation) = generation else {
            return model.checked(CONFIG);
        };
        let mut own = parsed(generation, GENERATION_CONFIG)?.checked(GENERATION_CONFIG)?;
        own.decoder_start_token_id = own.decoder_start_token_id.or(model.decoder_start_token_id);
        own.bos_token_id = own.bos_token_id.or(model.bos_token_id);
        own.pad_token_id = own.pad_token_id.or(model.pad_token_id);
        if own.eos_token_id.is_empty() {
            own.eos_token_id = model.eos_token_id;
        }
        Ok(own)
    }

    fn checked(self, file: &str) -> Result<Self, LoadError> {
        let refused = |what: &str| Err(LoadError::Incompatible(format!("{file}: {what} is not supported")));
        if self.do_sample == Some(true) {
            return refused("do_sample: true");
        }
        if self.num_beam_groups.is_some_and(|groups| groups > 1) {
            return refused("num_beam_groups above 1");
        }
        if self.penalty_alpha.is_some_and(|alpha| alpha > 0.0) {
            return refused("penalty_alpha above 0");
        }
        if self.num_beams.is_some_and(|beams| !(1..=MAX_BEAMS).contains(&beams)) {
            return Err(LoadError::Incompatible(format!("{file}: num_beams must be 1 to {MAX_BEAMS}")));
        }
        if self.bad_words_ids.as_ref().is_some_and(|words| words.iter().any(Vec::is_empty)) {
            return Err(LoadError::corrupted(file, "bad_words_ids holds an empty list"));
        }
        Ok(self)
    }

    /// How to search with `beams`, or as many as the config says, after a prompt of `prompt_length` tokens.
    #[must_use]
    pub fn beam_options(&self, beams: Option<usize>, prompt_length: usize) -> BeamOptions {
        BeamOptions {
            beams: beams.or(self.num_beams).unwrap_or(1),
            end_tokens: self.eos_token_id.clone(),
            max_length: self.max_length(prompt_length),
            length_penalty: self.length_penalty.unwrap_or(1.0),
            early_stopping: self.early_stopping,
        }
    }

    /// The greatest length in tokens, prompt included.
    #[must_use]
    pub fn max_length(&self, prompt_length: usize) -> usize {
        match self.max_new_tokens {
            Some(new) => prompt_length.saturating_add(new),
            None => self.max_length.unwrap_or(DEFAULT_MAX_LENGTH),
        }
    }

    /// The rules that the config asks for, in transformers' order. `max_length` includes the prompt.
    #[must_use]
    pub fn processors(&self, prompt_length: usize, max_length: usize) -> Vec<Box<dyn LogitsProcessor>> {
        let mut rules: Vec<Box<dyn LogitsProcessor>> = Vec::new();
        if let Some(penalty) = self.repetition_penalty
            && penalty != 1.0
        {
            rules.push(Box::new(RepetitionPenalty { penalty }));
        }
        if let Some(size) = self.no_repeat_ngram_size
            && size > 0
        {
            rules.push(Box::new(NoRepeatNgram { size }));
        }
        if let Some(words) = &self.bad_words_ids {
            // An end token cannot be forbidden, transformers drops such a rule too.
            let is_end = |word: &Vec<u32>| matches!(word[..], [token] if self.eos_token_id.contains(&token));
            let words = words.iter().filter(|word| !is_end(word)).cloned().collect();
            rules.push(Box::new(BadWords { words }));
        }
        if let Some(length) = self.min_length
            && length > 0
        {
            rules.push(Box::new(MinLength { length, end: self.eos_token_id.clone() }));
        }
        if let Some(token) = self.forced_bos_token_id {
            rules.push(Box::new(ForcedBegin { token }));
        }
        if !self.forced_eos_token_id.is_empty() {
            rules.push(Box::new(ForcedEnd { max_length, tokens: self.forced_eos_token_id.clone() }));
        }
        if let Some(tokens) = &self.suppress_tokens {
            rules.push(Box::new(SuppressTokens { tokens: tokens.clone() }));
        }
        if let Some(tokens) = &self.begin_suppress_tokens {
            let is_prompt_longer = prompt_length > 1 || self.forced_bos_token_id.is_none();
            let begin = if is_prompt_longer { prompt_length } else { prompt_length + 1 };
            rules.push(Box::new(SuppressTokensAtBegin { begin, tokens: tokens.clone() }));
        }
        if self.renormalize_logits == Some(true) {
            rules.push(Box::new(Renormalize));
        }
        rules
    }
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u32>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(u32),
        Many(Vec<u32>),
    }
    Ok(match Option::<OneOrMany>::deserialize(deserializer)? {
        None => Vec::new(),
        Some(OneOrMany::One(token)) => vec![token],
        Some(OneOrMany::Many(tokens)) => tokens,
    })
}

fn early_stopping<'de, D: Deserializer<'de>>(deserializer: D) -> Result<EarlyStopping, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Raw {
        Flag(bool),
        Word(String),
    }
    match Option::<Raw>::deserialize(deserializer)? {
        None | Some(Raw::Flag(false)) => Ok(EarlyStopping::Heuristic),
        Some(Raw::Flag(true)) => Ok(EarlyStopping::Always),
        Some(Raw::Word(word)) if word == "never" => Ok(EarlyStopping::Never),
        Some(Raw::Word(word)) => {
            Err(serde::de::Error::custom(format!("early_stopping {word:?} must be true, false or \"never\"")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(json: &str) -> Result<GenerationConfig, LoadError> {
        serde_json::from_str::<GenerationConfig>(json)
            .map_err(|error| LoadError::corrupted("config.json", error))
            .and_then(|config| config.checked("config.json"))
    }

    #[test]
    fn an_empty_config_has_the_defaults_of_transformers() {
        let options = parsed("{}").unwrap().beam_options(None, 1);
        let expected = BeamOptions {
            beams: 1,
            end_tokens: vec![],
            max_length: 20,
            length_penalty: 1.0,
            early_stopping: EarlyStopping::Heuristic,
        };
        assert_eq!(options, expected);
    }

    #[test]
    fn fields_are_read_in_each_of_their_forms() {
        let config = parsed(
            r#"{"eos_token_id": [1, 2], "forced_eos_token_id": 3, "early_stopping": "never", "num_beams": 4,
                "max_length": 9, "max_new_tokens": 5, "length_penalty": 0.5, "bad_words_ids": [[1], [7]]}"#,
        )
        .unwrap();
        assert_eq!(config.forced_eos_token_id, [3]);
        let options = config.beam_options(Some(2), 3);
        assert_eq!((options.beams, options.max_length), (2, 8));
        assert_eq!(options.early_stopping, EarlyStopping::Never);
        assert_eq!(config.processors(3, 8).len(), 2);
    }

    #[test]
    fn the_generation_config_wins_and_takes_over_special_tokens_alone() {
        let model = br#"{"eos_token_id": 1, "pad_token_id": 2, "decoder_start_token_id": 3, "num_beams": 6}"#;
        let alone = GenerationConfig::parse(model, None).unwrap();
        assert_eq!((alone.num_beams, alone.pad_token_id), (Some(6), Some(2)));
        let both = GenerationConfig::parse(model, Some(br#"{"pad_token_id": 9}"#)).unwrap();
        assert_eq!((both.num_beams, both.pad_token_id, both.eos_token_id), (None, Some(9), vec![1]));
        assert_eq!(both.decoder_start_token_id, Some(3));
        let broken = GenerationConfig::parse(model, Some(b"<html>")).unwrap_err().to_string();
        assert!(broken.contains("generation_config.json"), "{broken}");
    }

    #[test]
    fn other_searches_are_refused_by_name() {
        let cases = [
            (r#"{"do_sample": true}"#, "do_sample"),
            (r#"{"num_beam_groups": 2}"#, "num_beam_groups"),
            (r#"{"penalty_alpha": 0.6}"#, "penalty_alpha"),
            (r#"{"num_beams": 1000000}"#, "num_beams"),
            (r#"{"bad_words_ids": [[]]}"#, "bad_words_ids"),
            (r#"{"early_stopping": "sometimes"}"#, "early_stopping"),
        ];
        for (json, field) in cases {
            let error = parsed(json).unwrap_err().to_string();
            assert!(error.contains(field), "{error}");
        }
    }
}
