//! The networks: candle-transformers' encoders with the heads that transformers puts on them.

use std::sync::Arc;

use candle_core::{IndexOp, Module, Result, Tensor};
use candle_nn::Linear;
use candle_transformers::models::bert::BertModel;
use candle_transformers::models::xlm_roberta::XLMRobertaForSequenceClassification;

use super::config::{Architecture, Config};
use crate::error::LoadError;
use crate::weights::Weights;

pub(super) enum Model {
    XlmRoberta(XLMRobertaForSequenceClassification),
    Bert { encoder: BertModel, pooler: Linear, classifier: Linear },
}

/// Tensors that checkpoints hold and the network has no place for: buffers, and the head of pre-training that
/// XLM-R's classifiers do without.
pub(super) fn is_ignorable(architecture: Architecture, name: &str) -> bool {
    let is_unused_pooler = architecture == Architecture::XlmRoberta && name.starts_with("roberta.pooler.");
    name.ends_with("embeddings.position_ids")
        || name.ends_with("embeddings.token_type_ids")
        || is_unused_pooler
}

impl Model {
    pub(super) fn load(
        weights: &Arc<Weights>,
        config: &Config,
        architecture: Architecture,
    ) -> std::result::Result<Self, LoadError> {
        let (labels, width) = (config.labels.len(), config.width());
        match architecture {
            Architecture::XlmRoberta => {
                XLMRobertaForSequenceClassification::new(labels, &config.xlm_roberta(), weights.builder())
                    .map(Self::XlmRoberta)
                    .map_err(|error| weights.failure(error))
            }
            Architecture::Bert => {
                let encoder = BertModel::load(weights.builder().pp("bert"), &config.bert())
                    .map_err(|error| weights.failure(error))?;
                let linear = |name: &str, outputs: usize| {
                    let weight = weights.tensor(&format!("{name}.weight"), &[outputs, width])?;
                    let bias = weights.tensor(&format!("{name}.bias"), &[outputs])?;
                    Ok::<_, LoadError>(Linear::new(weight, Some(bias)))
                };
                let pooler = linear("bert.pooler.dense", width)?;
                Ok(Self::Bert { encoder, pooler, classifier: linear("classifier", labels)? })
            }
        }
    }

    /// Texts x labels, from texts x tokens, with 1 in `mask` where there is a token.
    pub(super) fn logits(&self, tokens: &Tensor, mask: &Tensor, kinds: &Tensor) -> Result<Tensor> {
        match self {
            Self::XlmRoberta(model) => model.forward(tokens, mask, kinds),
            Self::Bert { encoder, pooler, classifier } => {
                let states = encoder.forward(tokens, kinds, Some(mask))?;
                let first = states.i((.., 0))?.contiguous()?;
                classifier.forward(&pooler.forward(&first)?.tanh()?)
            }
        }
    }
}
