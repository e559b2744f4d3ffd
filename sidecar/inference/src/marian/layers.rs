//! The blocks of a Marian layer: attention and feed-forward, each followed by its layer norm.

use candle_core::{Module, Result, Tensor};
use candle_nn::ops::softmax_last_dim;
use candle_nn::{Activation, LayerNorm, Linear};

use super::config::{Config, Stack};
use crate::error::LoadError;
use crate::weights::Weights;

/// PyTorch's default, which transformers' Marian takes.
const LAYER_NORM_EPSILON: f64 = 1e-5;

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

fn layer_norm(weights: &Weights, name: &str, width: usize) -> std::result::Result<LayerNorm, LoadError> {
    let weight = weights.tensor(&format!("{name}.weight"), &[width])?;
    let bias = weights.tensor(&format!("{name}.bias"), &[width])?;
    Ok(LayerNorm::new(weight, bias, LAYER_NORM_EPSILON))
}

/// Keys and values of some positions: rows x heads x positions x width of a head.
#[derive(Clone)]
pub(super) struct KeysValues {
    pub(super) keys: Tensor,
    pub(super) values: Tensor,
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

/// Attention of several heads, with the sum and layer norm behind it.
pub(super) struct Attention {
    heads: usize,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    norm: LayerNorm,
}

impl Attention {
    /// Takes its weights from `{prefix}.{name}` and `{prefix}.{name}_layer_norm`.
    pub(super) fn load(
        weights: &Weights,
        prefix: &str,
        name: &str,
        width: usize,
        heads: usize,
    ) -> std::result::Result<Self, LoadError> {
        let projection = |part: &str| linear(weights, &format!("{prefix}.{name}.{part}"), width, width);
        Ok(Self {
            heads,
            query: projection("q_proj")?,
            key: projection("k_proj")?,
            value: projection("v_proj")?,
            output: projection("out_proj")?,
            norm: layer_norm(weights, &format!("{prefix}.{name}_layer_norm"), width)?,
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

    /// What `states` (rows x positions x width) see in `memory`, added to them and normalised. `mask` is added
    /// to the scores of rows x heads x positions x positions of the memory. The memory may have fewer rows:
    /// each of its rows is then seen by as many rows of `states` that follow one another.
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
        self.norm.forward(&(states + self.output.forward(&seen)?)?)
    }
}

/// Two linear layers with the activation between, with the sum and layer norm behind them.
pub(super) struct FeedForward {
    inner: Linear,
    outer: Linear,
    activation: Activation,
    norm: LayerNorm,
}

impl FeedForward {
    pub(super) fn load(
        weights: &Weights,
        prefix: &str,
        config: &Config,
        stack: Stack,
    ) -> std::result::Result<Self, LoadError> {
        Ok(Self {
            inner: linear(weights, &format!("{prefix}.fc1"), config.width, stack.feed_forward)?,
            outer: linear(weights, &format!("{prefix}.fc2"), stack.feed_forward, config.width)?,
            activation: config.activation,
            norm: layer_norm(weights, &format!("{prefix}.final_layer_norm"), config.width)?,
        })
    }

    pub(super) fn forward(&self, states: &Tensor) -> Result<Tensor> {
        let inner = self.activation.forward(&self.inner.forward(states)?)?;
        self.norm.forward(&(states + self.outer.forward(&inner)?)?)
    }
}
