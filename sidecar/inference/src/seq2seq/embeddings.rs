//! Which tensors hold the embeddings: one for three places in most models, and named differently by the versions of
//! transformers that wrote them.

use super::architecture::Architecture;

/// The tensor of each of the three places; equal names mean one tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EmbeddingNames {
    /// Vocabulary of the source x width.
    pub(super) source: &'static str,
    /// Vocabulary of the target x width.
    pub(super) target: &'static str,
    /// Vocabulary of the target x width.
    pub(super) output: &'static str,
}

const SHARED: &str = "model.shared.weight";
const SOURCE: &str = "model.encoder.embed_tokens.weight";
const TARGET: &str = "model.decoder.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";

impl EmbeddingNames {
    /// Chooses from the names that the files have. A name that they lack is chosen where none of its kind is there.
    pub(super) fn choose(model: &Architecture, contains: impl Fn(&str) -> bool) -> Self {
        let first = |names: &[&'static str]| -> &'static str {
            let there = names.iter().find(|name| contains(name));
            there.or(names.first()).copied().unwrap_or(SHARED)
        };
        match (model.shares_embeddings, model.ties_output) {
            (true, true) => {
                let one = first(&[SHARED, SOURCE, TARGET, HEAD]);
                Self { source: one, target: one, output: one }
            }
            // Nothing is tied then, although the config says shared: each has its own where the file has it.
            (true, false) => {
                let source = first(&[SOURCE, SHARED]);
                Self { source, target: first(&[TARGET, source]), output: HEAD }
            }
            (false, true) => {
                let target = first(&[TARGET, HEAD]);
                Self { source: SOURCE, target, output: target }
            }
            (false, false) => Self { source: SOURCE, target: TARGET, output: HEAD },
        }
    }
}

/// The names of tensors that transformers computes itself, of further copies of tied ones, and of fairseq's version
/// marks.
pub(super) fn is_ignorable(name: &str) -> bool {
    let is_embedding = name.ends_with(".embed_tokens.weight") || name == SHARED || name == HEAD;
    let is_position = name.ends_with(".embed_positions.weight") || name.ends_with(".embed_positions.weights");
    is_embedding || is_position || name.ends_with("coder.version") || name == "final_logits_bias"
}
