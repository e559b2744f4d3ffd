//! The blocks of a layer in candle: attention, feed-forward, and the sum with a layer norm around either.

use candle_core::{Module, Result, Tensor};
use candle_nn::ops::softmax_last_dim;
use candle_nn::{Activation, LayerNorm, Linear};

use crate::error::LoadError;
use crate::seq2seq::architecture::{self, Architecture, LAYER_NORM_EPSILON, NormPlacement, Stack};
use crate::weights::Weights;

fn linear(
    weights: &Weights,
    name: &str,
    inputs: usize,
    outputs: usize,
) -> std::result::Result<Linear, LoadError> {
    let weight = weights.tensor(&format!("{name}.weight"), &[outputs, inputs])?;
    let bias = weights.tensor(&format!("{name}.bias"), &[outputs])?;
    Ok(Linear::new(weight, Some(bias)))
}

pub(super) fn layer_norm(
    weights: &Weights,
    name: &str,
    width: usize,
) -> std::result::Result<LayerNorm, LoadError> {
    let weight = weights.tensor(&format!("{name}.weight"), &[width])?;
    let bias = weights.tensor(&format!("{name}.bias"), &[width])?;
    Ok(LayerNorm::new(weight, bias, LAYER_NORM_EPSILON))
}

/// The sum around a block, and its layer norm.
pub(super) struct Residual {
    norm: LayerNorm,
    placement: NormPlacement,
}

impl Residual {
    pub(super) fn load(
        weights: &Weights,
        name: &str,
        model: &Architecture,
    ) -> std::result::Result<Self, LoadError> {
        Ok(Self { norm: layer_norm(weights, name, model.width)?, placement: model.norm_placement })
    }

    /// What `block` makes of the states, added to them.
    pub(super) fn around(
        &self,
        states: &Tensor,
        block: impl FnOnce(&Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        match self.placement {
            NormPlacement::Before => states + block(&self.norm.forward(states)?)?,
            NormPlacement::After => self.norm.forward(&(states + block(states)?)?),
        }
    }
}

/// Keys and values of some positions: rows x heads x positions x width of a head.
#[derive(Clone)]
pub(super) struct KeysValues {
    keys: Tensor,
    values: Tensor,
}

impl KeysValues {
    /// The rows at `places`.
    pub(super) fn select(&self, places: &Tensor) -> Result<Self> {
        Ok(Self { keys: self.keys.index_select(places, 0)?, values: self.values.index_select(places, 0)? })
    }

    /// With the positions of `more` behind.
    pub(super) fn append(&self, more: &Self) -> Result<Self> {
        Ok(Self {
            keys: Tensor::cat(&[&self.keys, &more.keys], 2)?,
            values: Tensor::cat(&[&self.values, &more.values], 2)?,
        })
    }
}

/// Attention of several heads.
pub(super) struct Attention {
    heads: usize,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
}

impl Attention {
    pub(super) fn load(
        weights: &Weights,
        name: &str,
        width: usize,
        heads: usize,
    ) -> std::result::Result<Self, LoadError> {
        let projection = |part: &str| linear(weights, &format!("{name}.{part}"), width, width);
        Ok(Self {
            heads,
            query: projection("q_proj")?,
            key: projection("k_proj")?,
            value: projection("v_proj")?,
            output: projection("out_proj")?,
        })
    }

    /// Rows x positions x width becomes rows x heads x positions x width of a head.
    fn split_heads(&self, projected: &Tensor) -> Result<Tensor> {
        let (rows, positions, width) = projected.dims3()?;
        projected.reshape((rows, positions, self.heads, width / self.heads))?.transpose(1, 2)?.contiguous()
    }

    /// Keys and values of `states` (rows x positions x width).
    pub(super) fn keys_values(&self, states: &Tensor) -> Result<KeysValues> {
        Ok(KeysValues {
            keys: self.split_heads(&self.key.forward(states)?)?,
            values: self.split_heads(&self.value.forward(states)?)?,
        })
    }

    /// What `states` (rows x positions x width) see in `memory`. `mask` is added to the scores of rows x heads x
    /// positions x positions of the memory. The memory may have fewer rows: each of its rows is then seen by as many
    /// rows of `states` that follow one another.
    pub(super) fn forward(
        &self,
        states: &Tensor,
        memory: &KeysValues,
        mask: Option<&Tensor>,
    ) -> Result<Tensor> {
        let (rows, positions, width) = states.dims3()?;
        let memory_rows = memory.keys.dim(0)?;
        let grouped = (memory_rows, rows * positions / memory_rows, width);
        let head_width = width / self.heads;
        let query = self.split_heads(&self.query.forward(states)?.reshape(grouped)?)?;
        let scores = (query.matmul(&memory.keys.t()?)? * (head_width as f64).powf(-0.5))?;
        let scores = match mask {
            Some(mask) => scores.broadcast_add(mask)?,
            None => scores,
        };
        let seen = softmax_last_dim(&scores)?.matmul(&memory.values)?;
        let seen = seen.transpose(1, 2)?.contiguous()?.reshape((rows, positions, width))?;
        self.output.forward(&seen)
    }
}

/// Two linear layers with the activation between.
pub(super) struct FeedForward {
    inner: Linear,
    outer: Linear,
    activation: Activation,
}

impl FeedForward {
    pub(super) fn load(
        weights: &Weights,
        prefix: &str,
        model: &Architecture,
        stack: Stack,
    ) -> std::result::Result<Self, LoadError> {
        Ok(Self {
            inner: linear(weights, &format!("{prefix}.fc1"), model.width, stack.feed_forward)?,
            outer: linear(weights, &format!("{prefix}.fc2"), stack.feed_forward, model.width)?,
            activation: match model.activation {
                architecture::Activation::Gelu => Activation::Gelu,
                architecture::Activation::GeluTanh => Activation::NewGelu,
                architecture::Activation::Relu => Activation::Relu,
                architecture::Activation::Relu6 => Activation::Relu6,
                architecture::Activation::Silu => Activation::Silu,
                architecture::Activation::Sigmoid => Activation::Sigmoid,
                architecture::Activation::Mish => Activation::Mish,
            },
        })
    }

    pub(super) fn forward(&self, states: &Tensor) -> Result<Tensor> {
        self.outer.forward(&self.activation.forward(&self.inner.forward(states)?)?)
    }
}
