//! The part of config.json that the computation of an encoder follows.

use std::path::Path;

use ostler_kernels::{Activation, MAX_INPUTS};
use serde::Deserialize;

use crate::error::LoadError;
use crate::files;

/// Whose computation it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// XLM-R, RoBERTa, CamemBERT: positions count from the one after the padding token's.
    XlmRoberta,
    /// BERT: positions count from 0.
    Bert,
}

impl Architecture {
    /// The architecture of a `model_type` of config.json.
    #[must_use]
    pub fn of(model_type: &str) -> Option<Self> {
        match model_type {
            "xlm-roberta" | "roberta" | "camembert" => Some(Self::XlmRoberta),
            "bert" => Some(Self::Bert),
            _ => None,
        }
    }
}

/// The names of [`Architecture::of`], for messages.
pub const SUPPORTED: &str = "xlm-roberta, roberta, camembert, bert";

#[derive(Debug, Clone, Deserialize)]
struct RawConfig {
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    hidden_act: String,
    max_position_embeddings: usize,
    type_vocab_size: usize,
    layer_norm_eps: f64,
    pad_token_id: u32,
    position_embedding_type: Option<String>,
}

/// The dimensions of an encoder, checked.
#[derive(Debug, Clone)]
pub struct Config {
    raw: RawConfig,
    architecture: Architecture,
}

/// Large enough for every published model, and small enough that no product of two dimensions overflows.
const MAX_DIMENSION: usize = 1 << 20;

impl Config {
    /// Reads config.json of a model's folder.
    ///
    /// # Errors
    /// Where a field is missing or asks for what is not computed here.
    pub fn read(folder: &Path, architecture: Architecture) -> Result<Self, LoadError> {
        Self::checked(files::read_json(folder, files::CONFIG)?, architecture)
    }

    fn checked(raw: RawConfig, architecture: Architecture) -> Result<Self, LoadError> {
        let incompatible = |message: String| LoadError::Incompatible(format!("{}: {message}", files::CONFIG));
        let dimensions = [
            ("vocab_size", raw.vocab_size),
            ("hidden_size", raw.hidden_size),
            ("num_hidden_layers", raw.num_hidden_layers),
            ("num_attention_heads", raw.num_attention_heads),
            ("intermediate_size", raw.intermediate_size),
            ("max_position_embeddings", raw.max_position_embeddings),
            ("type_vocab_size", raw.type_vocab_size),
        ];
        for (field, value) in dimensions {
            if !(1..=MAX_DIMENSION).contains(&value) {
                return Err(incompatible(format!("{field} is {value}, it must be 1 to {MAX_DIMENSION}")));
            }
        }
        for (field, value) in [("hidden_size", raw.hidden_size), ("intermediate_size", raw.intermediate_size)]
        {
            if value > MAX_INPUTS {
                return Err(incompatible(format!("{field} is {value}, it must be at most {MAX_INPUTS}")));
            }
        }
        if !raw.hidden_size.is_multiple_of(raw.num_attention_heads) {
            return Err(incompatible(format!(
                "hidden_size is {}, no multiple of num_attention_heads {}",
                raw.hidden_size, raw.num_attention_heads
            )));
        }
        if raw.hidden_act != "gelu" && raw.hidden_act != "relu" {
            return Err(incompatible(format!(
                "hidden_act {:?} is not supported; gelu and relu are",
                raw.hidden_act
            )));
        }
        if let Some(kind) = raw.position_embedding_type.as_ref().filter(|kind| *kind != "absolute") {
            return Err(incompatible(format!("position_embedding_type {kind:?} is not supported")));
        }
        if raw.pad_token_id as usize >= raw.vocab_size {
            return Err(incompatible(format!("pad_token_id {} is beyond the vocabulary", raw.pad_token_id)));
        }
        let config = Self { raw, architecture };
        // Without a position for one token, no text could be read at all.
        if config.max_tokens() == 0 {
            return Err(incompatible("max_position_embeddings leaves no position for a text".to_owned()));
        }
        Ok(config)
    }

    /// The longest text in tokens. XLM-R counts positions from the one after its padding token's.
    #[must_use]
    pub fn max_tokens(&self) -> usize {
        match self.architecture {
            Architecture::Bert => self.raw.max_position_embeddings,
            Architecture::XlmRoberta => {
                self.raw.max_position_embeddings.saturating_sub(self.raw.pad_token_id as usize + 1)
            }
        }
    }

    /// The numbers of a token's state.
    #[must_use]
    pub fn width(&self) -> usize {
        self.raw.hidden_size
    }

    /// How many tokens there are.
    #[must_use]
    pub fn vocabulary(&self) -> usize {
        self.raw.vocab_size
    }

    /// Whose computation it is.
    #[must_use]
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// The positions of a text's tokens. XLM-R counts those that are no padding, from the one after its padding token's
    /// number on, which is the position of padding.
    pub fn positions_of(&self, text: &[u32]) -> impl Iterator<Item = usize> {
        let pad = self.raw.pad_token_id;
        let mut next = match self.architecture {
            Architecture::Bert => 0,
            Architecture::XlmRoberta => pad as usize + 1,
        };
        text.iter().map(move |token| match self.architecture {
            Architecture::XlmRoberta if *token == pad => pad as usize,
            _ => {
                next += 1;
                next - 1
            }
        })
    }

    /// How many positions there are.
    #[must_use]
    pub fn positions(&self) -> usize {
        self.raw.max_position_embeddings
    }

    /// How many kinds of tokens there are, of which single texts have the first.
    #[must_use]
    pub fn kinds(&self) -> usize {
        self.raw.type_vocab_size
    }

    /// How many layers there are.
    #[must_use]
    pub fn layers(&self) -> usize {
        self.raw.num_hidden_layers
    }

    /// The heads of a layer's attention.
    #[must_use]
    pub fn heads(&self) -> usize {
        self.raw.num_attention_heads
    }

    /// The numbers between the two last layers of a block.
    #[must_use]
    pub fn inner(&self) -> usize {
        self.raw.intermediate_size
    }

    /// What is applied to them.
    #[must_use]
    pub fn activation(&self) -> Activation {
        if self.raw.hidden_act == "relu" { Activation::Relu } else { Activation::Gelu }
    }

    /// What norms add to the variance.
    #[must_use]
    pub fn epsilon(&self) -> f32 {
        self.raw.layer_norm_eps as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json() -> serde_json::Value {
        serde_json::json!({
            "vocab_size": 10, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 16, "hidden_act": "gelu", "max_position_embeddings": 16, "type_vocab_size": 1,
            "layer_norm_eps": 1e-5, "pad_token_id": 1,
        })
    }

    fn checked(json: serde_json::Value, architecture: Architecture) -> Result<Config, LoadError> {
        Config::checked(serde_json::from_value(json).unwrap(), architecture)
    }

    #[test]
    fn the_longest_text_follows_from_the_positions() {
        assert_eq!(checked(json(), Architecture::XlmRoberta).unwrap().max_tokens(), 14);
        assert_eq!(checked(json(), Architecture::Bert).unwrap().max_tokens(), 16);
    }

    #[test]
    fn positions_count_as_the_family_counts_them() {
        let of = |architecture, text: &[u32]| {
            checked(json(), architecture).unwrap().positions_of(text).collect::<Vec<_>>()
        };
        assert_eq!(of(Architecture::Bert, &[5, 1, 6]), [0, 1, 2]);
        assert_eq!(of(Architecture::XlmRoberta, &[5, 1, 6]), [2, 1, 3]);
    }

    #[test]
    fn what_cannot_be_computed_is_refused_by_the_name_of_its_field() {
        let cases: [(&str, serde_json::Value); 7] = [
            ("intermediate_size", 65_537.into()),
            ("hidden_act", "silu".into()),
            ("position_embedding_type", "relative_key".into()),
            ("num_attention_heads", 3.into()),
            ("hidden_size", 0.into()),
            ("pad_token_id", 10.into()),
            ("max_position_embeddings", 2.into()),
        ];
        for (field, value) in cases {
            let mut json = json();
            json[field] = value;
            let error = checked(json, Architecture::XlmRoberta).err().unwrap().to_string();
            assert!(error.contains(field), "{error}");
        }
    }
}
