//! The networks: encoders with the heads that transformers puts on them for classification.

use ostler_kernels::{Format, Inputs, Linear, Write};

use crate::encoder::{Architecture, Computation, Config, Network};
use crate::engine::{Control, EngineError};
use crate::error::LoadError;
use crate::weights::{Part, Weights};

/// An encoder, and two linear layers over the state of each text's first token.
pub(super) struct Model {
    pub(super) network: Network,
    dense: Linear,
    output: Linear,
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
        weights: &Weights,
        config: Config,
        labels: usize,
        computation: Computation,
    ) -> Result<Self, LoadError> {
        let (prefix, dense, output) = match config.architecture() {
            Architecture::XlmRoberta => ("roberta.", "classifier.dense", "classifier.out_proj"),
            Architecture::Bert => ("bert.", "bert.pooler.dense", "classifier"),
        };
        let (kernels, width) = (computation.processor.kernels(), config.width());
        let network = Network::load(weights, prefix, config, computation)?;
        // So little work that rounding it would gain nothing.
        let linear = |name: &str, outputs: usize| {
            let part = Part { name: name.to_owned(), outputs, has_bias: true };
            weights.linear(kernels, Format::Float32, &[part], width)
        };
        Ok(Self { network, dense: linear(dense, width)?, output: linear(output, labels)? })
    }

    /// For each text its logits. Each text has at least one token.
    pub(super) fn logits(&self, texts: &[&[u32]], control: &Control) -> Result<Vec<Vec<f32>>, EngineError> {
        let width = self.network.config().width();
        let states = self.network.states(texts, control)?;
        let mut inputs = Inputs::new(texts.len(), width);
        let mut first = 0;
        for (row, text) in texts.iter().enumerate() {
            self.dense.prepare(&mut inputs, row, &states[first * width..][..width]);
            first += text.len();
        }
        let mut pooled = vec![0.0; texts.len() * width];
        self.dense.forward_here(&inputs, texts.len(), &mut pooled, width, Write::Set);
        pooled.iter_mut().for_each(|number| *number = number.tanh());
        for (row, numbers) in pooled.chunks_exact(width).enumerate() {
            self.output.prepare(&mut inputs, row, numbers);
        }
        let labels = self.output.outputs();
        let mut logits = vec![0.0; texts.len() * labels];
        self.output.forward_here(&inputs, texts.len(), &mut logits, labels, Write::Set);
        Ok(logits.chunks_exact(labels).map(<[f32]>::to_vec).collect())
    }
}
