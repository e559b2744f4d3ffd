//! The part of a classifier's config.json that the computation follows.

use std::collections::BTreeMap;
use std::path::Path;

use candle_nn::Activation;
use candle_transformers::models::{bert, xlm_roberta};
use serde::Deserialize;

use crate::error::LoadError;
use crate::files;

/// Whose computation it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// `XLMRobertaForSequenceClassification`.
    XlmRoberta,
    /// `BertForSequenceClassification`.
    Bert,
}

#[derive(Debug, Deserialize)]
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
    problem_type: Option<String>,
    id2label: BTreeMap<String, String>,
}

/// The dimensions and labels of a classifier.
pub(super) struct Config {
    raw: RawConfig,
    /// The labels in the order of the outputs.
    pub(super) labels: Vec<String>,
}

/// Wide enough for every published model, and small enough that no product of two dimensions overflows.
const MAX_DIMENSION: usize = 1 << 20;

impl Config {
    /// Reads config.json of a model's folder.
    ///
    /// # Errors
    /// Where a field is missing or asks for what is not computed here.
    pub(super) fn read(folder: &Path) -> Result<Self, LoadError> {
        Self::checked(files::read_json(folder, files::CONFIG)?)
    }

    fn checked(raw: RawConfig) -> Result<Self, LoadError> {
        let incompatible = |message: String| LoadError::Incompatible(format!("{}: {message}", files::CONFIG));
        let dimensions = [
            ("vocab_size", raw.vocab_size),
            ("hidden_size", raw.hidden_size),
            ("num_hidden_layers", raw.num_hidden_layers),
            ("num_attention_heads", raw.num_attention_heads),
            ("intermediate_size", raw.intermediate_size),
            ("max_position_embeddings", raw.max_position_embeddings),
            ("type_vocab_size", raw.type_vocab_size),
            ("id2label", raw.id2label.len()),
        ];
        for (field, value) in dimensions {
            if !(1..=MAX_DIMENSION).contains(&value) {
                return Err(incompatible(format!("{field} is {value}, it must be 1 to {MAX_DIMENSION}")));
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
        if let Some(kind) = raw.problem_type.as_ref().filter(|kind| *kind != "single_label_classification") {
            return Err(incompatible(format!("problem_type {kind:?} is not supported")));
        }
        if raw.pad_token_id as usize >= raw.vocab_size {
            return Err(incompatible(format!("pad_token_id {} is beyond the vocabulary", raw.pad_token_id)));
        }
        let labels = (0..raw.id2label.len())
            .map(|id| raw.id2label.get(&id.to_string()).cloned())
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| LoadError::corrupted(files::CONFIG, "the keys of id2label do not count from 0"))?;
        Ok(Self { raw, labels })
    }

    /// The longest text in tokens. XLM-R counts positions from the one after its padding token's.
    pub(super) fn max_tokens(&self, architecture: Architecture) -> usize {
        match architecture {
            Architecture::Bert => self.raw.max_position_embeddings,
            Architecture::XlmRoberta => {
                self.raw.max_position_embeddings.saturating_sub(self.raw.pad_token_id as usize + 1)
            }
        }
    }

    pub(super) fn pad(&self) -> u32 {
        self.raw.pad_token_id
    }

    pub(super) fn width(&self) -> usize {
        self.raw.hidden_size
    }

    pub(super) fn vocabulary(&self) -> usize {
        self.raw.vocab_size
    }

    /// The most numbers that the layers hold at once for texts of `tokens` tokens in all, padding included, none
    /// of them longer than `longest`.
    pub(super) fn states(&self, tokens: usize, longest: usize) -> u64 {
        let [tokens, longest, width, inner, heads] =
            [tokens, longest, self.raw.hidden_size, self.raw.intermediate_size, self.raw.num_attention_heads]
                .map(|size| size as u64);
        tokens * (10 * width + 2 * inner) + 4 * heads * tokens * longest
    }

    pub(super) fn xlm_roberta(&self) -> xlm_roberta::Config {
        xlm_roberta::Config {
            hidden_size: self.raw.hidden_size,
            layer_norm_eps: self.raw.layer_norm_eps,
            attention_probs_dropout_prob: 0.0,
            hidden_dropout_prob: 0.0,
            num_attention_heads: self.raw.num_attention_heads,
            position_embedding_type: "absolute".to_owned(),
            intermediate_size: self.raw.intermediate_size,
            hidden_act: if self.raw.hidden_act == "relu" { Activation::Relu } else { Activation::Gelu },
            num_hidden_layers: self.raw.num_hidden_layers,
            vocab_size: self.raw.vocab_size,
            max_position_embeddings: self.raw.max_position_embeddings,
            type_vocab_size: self.raw.type_vocab_size,
            pad_token_id: self.raw.pad_token_id,
        }
    }

    pub(super) fn bert(&self) -> bert::Config {
        bert::Config {
            vocab_size: self.raw.vocab_size,
            hidden_size: self.raw.hidden_size,
            num_hidden_layers: self.raw.num_hidden_layers,
            num_attention_heads: self.raw.num_attention_heads,
            intermediate_size: self.raw.intermediate_size,
            hidden_act: if self.raw.hidden_act == "relu" {
                bert::HiddenAct::Relu
            } else {
                bert::HiddenAct::Gelu
            },
            hidden_dropout_prob: 0.0,
            max_position_embeddings: self.raw.max_position_embeddings,
            type_vocab_size: self.raw.type_vocab_size,
            initializer_range: 0.0,
            layer_norm_eps: self.raw.layer_norm_eps,
            pad_token_id: self.raw.pad_token_id as usize,
            position_embedding_type: bert::PositionEmbeddingType::Absolute,
            use_cache: false,
            classifier_dropout: None,
            model_type: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json() -> serde_json::Value {
        serde_json::json!({
            "vocab_size": 10, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 16, "hidden_act": "gelu", "max_position_embeddings": 16, "type_vocab_size": 1,
            "layer_norm_eps": 1e-5, "pad_token_id": 1, "id2label": {"0": "a", "1": "b"},
        })
    }

    fn checked(json: serde_json::Value) -> Result<Config, LoadError> {
        Config::checked(serde_json::from_value(json).unwrap())
    }

    #[test]
    fn labels_come_in_the_order_of_the_outputs() {
        let config = checked(json()).unwrap();
        assert_eq!(config.labels, ["a", "b"]);
        assert_eq!(config.max_tokens(Architecture::XlmRoberta), 14);
        assert_eq!(config.max_tokens(Architecture::Bert), 16);
    }

    #[test]
    fn what_cannot_be_computed_is_refused_by_the_name_of_its_field() {
        let cases: [(&str, serde_json::Value); 7] = [
            ("hidden_act", "silu".into()),
            ("position_embedding_type", "relative_key".into()),
            ("problem_type", "multi_label_classification".into()),
            ("num_attention_heads", 3.into()),
            ("hidden_size", 0.into()),
            ("pad_token_id", 10.into()),
            ("id2label", serde_json::json!({"0": "a", "2": "b"})),
        ];
        for (field, value) in cases {
            let mut json = json();
            json[field] = value;
            let error = checked(json).err().unwrap().to_string();
            assert!(error.contains(field), "{error}");
        }
    }
}
