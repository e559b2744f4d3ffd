//! The building blocks that encoder and decoder share: linear maps, layer norms, attention.

use candle_core::{Module, Result, Tensor};
use candle_nn::{LayerNorm, Linear};

use crate::error::LoadError;
use crate::weights::Weights;
use crate::whisper::config::NORM_EPSILON;

pub(super) fn linear(
    weights: &Weights,
    name: &str,
    outputs: usize,
    inputs: usize,
    bias: bool,
) -> std::result::Result<Linear, LoadError> {
    let weight = weights.tensor(&format!("{name}.weight"), &[outputs, inputs])?;
    let bias = if bias { Some(weights.tensor(&format!("{name}.bias"), &[outputs])?) } else { None };
    Ok(Linear::new(weight, bias))
}

pub(super) fn norm(weights: &Weights, name: &str, width: usize) -> std::result::Result<LayerNorm, LoadError> {
    let weight = weights.tensor(&format!("{name}.weight"), &[width])?;
    let bias = weights.tensor(&format!("{name}.bias"), &[width])?;
    Ok(LayerNorm::new(weight, bias, f64::from(NORM_EPSILON)))
}

/// Keys and values of one layer, each `[batch, heads, time, head_width]`.
#[derive(Clone)]
pub(super) struct KeyValues {
    pub(super) keys: Tensor,
    pub(super) values: Tensor,
}

impl KeyValues {
    /// These, and `newer` behind them in time.
    pub(super) fn append(&self, newer: &Self) -> Result<Self> {
        Ok(Self {
            keys: Tensor::cat(&[&self.keys, &newer.keys], 2)?,
            values: Tensor::cat(&[&self.values, &newer.values], 2)?,
        })
    }

    /// The rows of the batch that `rows` names, in its order.
    pub(super) fn select(&self, rows: &Tensor) -> Result<Self> {
        Ok(Self { keys: self.keys.index_select(rows, 0)?, values: self.values.index_select(rows, 0)? })
    }
}

/// Multi-head attention with its four projections.
pub(super) struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    heads: usize,
    scale: f64,
}

impl Attention {
    pub(super) fn load(
        weights: &Weights,
        name: &str,
        width: usize,
        heads: usize,
    ) -> std::result::Result<Self, LoadError> {
        let projection = |part: &str, bias| linear(weights, &format!("{name}.{part}"), width, width, bias);
        Ok(Self {
            query: projection("q_proj", true)?,
            // Whisper's keys have no bias: it would shift every score of a query alike.
            key: projection("k_proj", false)?,
            value: projection("v_proj", true)?,
            out: projection("out_proj", true)?,
            heads,
            scale: ((width / heads) as f64).powf(-0.5),
        })
    }

    /// Keys and values of `states`, `[batch, time, width]`.
    pub(super) fn key_values(&self, states: &Tensor) -> Result<KeyValues> {
        Ok(KeyValues {
            keys: self.split_heads(&self.key.forward(states)?)?,
            values: self.split_heads(&self.value.forward(states)?)?,
        })
    }

    /// Attends from `states`, `[batch, time, width]`, to `memory`; `mask` is added to the scores.
    pub(super) fn attend(
        &self,
        states: &Tensor,
        memory: &KeyValues,
        mask: Option<&Tensor>,
    ) -> Result<Tensor> {
        let mixed = self.weights(states, memory, mask)?.matmul(&memory.values)?;
        self.out.forward(&mixed.transpose(1, 2)?.flatten_from(2)?)
    }

    /// How much of each value of `memory` each head takes: `[batch, heads, time, memory's time]`.
    pub(super) fn weights(
        &self,
        states: &Tensor,
        memory: &KeyValues,
        mask: Option<&Tensor>,
    ) -> Result<Tensor> {
        let queries = self.split_heads(&(self.query.forward(states)? * self.scale)?)?;
        let scores = queries.matmul(&memory.keys.t()?)?;
        let scores = match mask {
            Some(mask) => scores.broadcast_add(mask)?,
            None => scores,
        };
        candle_nn::ops::softmax_last_dim(&scores)
    }

    /// As [`Attention::attend`] to a `memory` of batch 1 that all rows of the batch share: the rows become further
    /// queries of one row, so that the memory is read once and never copied.
    pub(super) fn attend_shared(&self, states: &Tensor, memory: &KeyValues) -> Result<Tensor> {
        let (batch, time, width) = states.dims3()?;
        self.attend(&states.reshape((1, batch * time, width))?, memory, None)?.reshape((batch, time, width))
    }

    fn split_heads(&self, states: &Tensor) -> Result<Tensor> {
        let (batch, time, width) = states.dims3()?;
        states.reshape((batch, time, self.heads, width / self.heads))?.transpose(1, 2)?.contiguous()
    }
}

/// The feed-forward part of a layer: out, GELU, back.
pub(super) struct FeedForward {
    out: Linear,
    back: Linear,
}

impl FeedForward {
    pub(super) fn load(
        weights: &Weights,
        layer: &str,
        width: usize,
        inner: usize,
    ) -> std::result::Result<Self, LoadError> {
        Ok(Self {
            out: linear(weights, &format!("{layer}.fc1"), inner, width, true)?,
            back: linear(weights, &format!("{layer}.fc2"), width, inner, true)?,
        })
    }
}

impl Module for FeedForward {
    fn forward(&self, states: &Tensor) -> Result<Tensor> {
        self.back.forward(&self.out.forward(states)?.gelu_erf()?)
    }
}
