//! The tensors of one layer, by their names in it.

use ostler_kernels::{Format, Kernels, LayerNorm, Linear};

use crate::error::LoadError;
use crate::weights::{Part, Weights};
use crate::whisper::config::NORM_EPSILON;

/// One layer of the encoder or the decoder, as it is read.
pub(super) struct LayerWeights<'a> {
    pub(super) weights: &'a Weights,
    pub(super) kernels: Kernels,
    /// Of the layer's linear maps.
    pub(super) format: Format,
    /// What the names of its tensors begin with: `model.encoder.layers.0`.
    pub(super) prefix: String,
    /// The numbers of a state.
    pub(super) width: usize,
}

impl LayerWeights<'_> {
    pub(super) fn norm(&self, part: &str) -> Result<LayerNorm, LoadError> {
        self.weights.layer_norm(&format!("{}.{part}", self.prefix), self.width, NORM_EPSILON)
    }

    /// A linear map with a bias.
    pub(super) fn linear(&self, part: &str, outputs: usize, inputs: usize) -> Result<Linear, LoadError> {
        self.weights.linear(self.kernels, self.format, &[self.part(part, outputs, true)], inputs)
    }

    /// Projections of an attention side by side, each as wide as a state. Whisper's keys have no bias: it would shift
    /// every score of a query alike.
    pub(super) fn projections(&self, attention: &str, names: &[&str]) -> Result<Linear, LoadError> {
        let parts: Vec<Part> = names
            .iter()
            .map(|name| self.part(&format!("{attention}.{name}"), self.width, *name != "k_proj"))
            .collect();
        self.weights.linear(self.kernels, self.format, &parts, self.width)
    }

    fn part(&self, part: &str, outputs: usize, has_bias: bool) -> Part {
        Part { name: format!("{}.{part}", self.prefix), outputs, has_bias }
    }
}
