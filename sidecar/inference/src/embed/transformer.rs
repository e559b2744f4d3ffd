//! The transformer of a sentence encoder: BERT and XLM-R without a head.

use crate::encoder::{Computation, Config, Network};
use crate::error::LoadError;
use crate::weights::Weights;

/// What tensors' names begin with: nothing where the transformer was saved alone, its name where it was saved with a
/// head.
const PREFIXES: [&str; 3] = ["", "bert.", "roberta."];

/// Tensors that checkpoints hold and the network has no place for: buffers, the pooler, the heads of pre-training.
pub(super) fn is_ignorable(name: &str) -> bool {
    let own = name.strip_prefix("bert.").or(name.strip_prefix("roberta.")).unwrap_or(name);
    name.ends_with("embeddings.position_ids")
        || name.ends_with("embeddings.token_type_ids")
        || own.starts_with("pooler.")
        || name.starts_with("cls.")
        || name.starts_with("lm_head.")
}

/// Takes the transformer from its weights.
///
/// # Errors
/// Where a tensor is missing or has other dimensions than config.json says.
pub(super) fn load(
    weights: &Weights,
    config: Config,
    computation: Computation,
) -> Result<Network, LoadError> {
    let is_there = |prefix: &&str| weights.contains(&format!("{prefix}embeddings.word_embeddings.weight"));
    let prefix = PREFIXES.into_iter().find(is_there).unwrap_or_default();
    Network::load(weights, prefix, config, computation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_and_buffers_may_be_left_over_and_nothing_else() {
        for (name, ignorable) in [
            ("embeddings.position_ids", true),
            ("roberta.embeddings.position_ids", true),
            ("pooler.dense.weight", true),
            ("bert.pooler.dense.bias", true),
            ("cls.predictions.bias", true),
            ("lm_head.dense.weight", true),
            ("encoder.layer.12.attention.self.query.weight", false),
            ("classifier.weight", false),
        ] {
            assert_eq!(is_ignorable(name), ignorable, "{name}");
        }
    }
}
