//! The decoder: tokens so far and a window's encoder states to the logits of the next token.
//!
//! Keys and values of earlier tokens are kept, and those of the encoder's states are computed once a window, so a
//! step costs one token's work for each row of the batch.

use candle_core::{Device, Module, Tensor};
use candle_nn::LayerNorm;

use super::config::ModelConfig;
use super::layers::{Attention, FeedForward, KeyValues, norm};
use crate::engine::{Control, EngineError};
use crate::error::LoadError;
use crate::weights::Weights;

/// The output projection where it is a tensor of its own.
pub(super) const PROJECTION: &str = "proj_out.weight";

pub(super) struct Decoder {
    embedding: Tensor,
    /// The output projection, `[vocabulary, width]`; the embedding where they are tied.
    projection: Tensor,
    positions: Tensor,
    layers: Vec<DecoderLayer>,
    norm: LayerNorm,
}

struct DecoderLayer {
    attention_norm: LayerNorm,
    attention: Attention,
    cross_norm: LayerNorm,
    cross: Attention,
    feed_forward_norm: LayerNorm,
    feed_forward: FeedForward,
}

/// The encoder's states as each decoder layer reads them.
pub(super) struct CrossMemory {
    layers: Vec<KeyValues>,
}

/// What the decoder remembers of the tokens so far, for each row of the batch.
#[derive(Clone, Default)]
pub(super) struct DecoderState {
    layers: Vec<Option<KeyValues>>,
    length: usize,
}

impl DecoderState {
    /// Makes row `i` the continuation of what was row `rows[i]`, as beam search does after each step.
    pub(super) fn reorder(&mut self, rows: &[usize]) -> candle_core::Result<()> {
        let rows: Vec<u32> = rows.iter().map(|row| *row as u32).collect();
        let rows = Tensor::new(&rows[..], &Device::Cpu)?;
        for layer in self.layers.iter_mut().flatten() {
            *layer = layer.select(&rows)?;
        }
        Ok(())
    }
}

impl Decoder {
    pub(super) fn load(weights: &Weights, config: &ModelConfig) -> Result<Self, LoadError> {
        let width = config.d_model;
        let embedding = weights.tensor("model.decoder.embed_tokens.weight", &[config.vocab_size, width])?;
        let projection = if config.tied_embeddings {
            embedding.clone()
        } else {
            weights.tensor(PROJECTION, &[config.vocab_size, width])?
        };
        let positions =
            weights.tensor("model.decoder.embed_positions.weight", &[config.max_target_positions, width])?;
        let heads = config.decoder.heads;
        let layers = (0..config.decoder.layers)
            .map(|layer| {
                let name = format!("model.decoder.layers.{layer}");
                Ok(DecoderLayer {
                    attention_norm: norm(weights, &format!("{name}.self_attn_layer_norm"), width)?,
                    attention: Attention::load(weights, &format!("{name}.self_attn"), width, heads)?,
                    cross_norm: norm(weights, &format!("{name}.encoder_attn_layer_norm"), width)?,
                    cross: Attention::load(weights, &format!("{name}.encoder_attn"), width, heads)?,
                    feed_forward_norm: norm(weights, &format!("{name}.final_layer_norm"), width)?,
                    feed_forward: FeedForward::load(weights, &name, width, config.decoder.feed_forward)?,
                })
            })
            .collect::<Result<Vec<_>, LoadError>>()?;
        let norm = norm(weights, "model.decoder.layer_norm", width)?;
        Ok(Self { embedding, projection, positions, layers, norm })
    }

    /// Prepares a window's encoder states for the cross-attention of every step.
    pub(super) fn remember(&self, encoded: &Tensor) -> candle_core::Result<CrossMemory> {
        let layers = self
            .layers
            .iter()
            .map(|layer| layer.cross.key_values(encoded))
            .collect::<candle_core::Result<_>>()?;
        Ok(CrossMemory { layers })
    }

    /// Reads `tokens`, as many for each row of the batch, and returns the last layer's states, `[batch, time, width]`.
    pub(super) fn forward(
        &self,
        tokens: &[&[u32]],
        cross: &CrossMemory,
        state: &mut DecoderState,
        control: &Control,
    ) -> Result<Tensor, EngineError> {
        control.check()?;
        let time = tokens.first().map_or(0, |row| row.len());
        let flat: Vec<u32> = tokens.concat();
        let embedded = self.embedding.index_select(&Tensor::new(&flat[..], &Device::Cpu)?, 0)?.reshape((
            tokens.len(),
            time,
            (),
        ))?;
        let mut states = embedded.broadcast_add(&self.positions.narrow(0, state.length, time)?)?;
        let mask = if time > 1 { Some(causal_mask(state.length, time)?) } else { None };
        state.layers.resize(self.layers.len(), None);
        for ((layer, own), memory) in self.layers.iter().zip(&mut state.layers).zip(&cross.layers) {
            states = layer.forward(&states, own, memory, mask.as_ref())?;
        }
        state.length += time;
        Ok(self.norm.forward(&states)?)
    }

    /// The logits of states `[rows, width]`, as many for each row as there are tokens.
    pub(super) fn logits(&self, states: &Tensor) -> Result<Vec<f32>, EngineError> {
        Ok(states.contiguous()?.matmul(&self.projection.t()?)?.flatten_all()?.to_vec1()?)
    }
}

impl DecoderLayer {
    fn forward(
        &self,
        states: &Tensor,
        own: &mut Option<KeyValues>,
        memory: &KeyValues,
        mask: Option<&Tensor>,
    ) -> candle_core::Result<Tensor> {
        let normed = self.attention_norm.forward(states)?;
        let newer = self.attention.key_values(&normed)?;
        let all = match own.take() {
            Some(earlier) => earlier.append(&newer)?,
            None => newer,
        };
        let states = (states + self.attention.attend(&normed, &all, mask)?)?;
        *own = Some(all);
        let normed = self.cross_norm.forward(&states)?;
        let states = (&states + self.cross.attend_shared(&normed, memory)?)?;
        let normed = self.feed_forward_norm.forward(&states)?;
        &states + self.feed_forward.forward(&normed)?
    }
}

/// Negative infinity where a token would look at a later one: `[time, earlier + time]`.
fn causal_mask(earlier: usize, time: usize) -> candle_core::Result<Tensor> {
    let width = earlier + time;
    let mask: Vec<f32> = (0..time)
        .flat_map(|row| {
            (0..width).map(move |column| if column > earlier + row { f32::NEG_INFINITY } else { 0.0 })
        })
        .collect();
    Tensor::from_vec(mask, (time, width), &Device::Cpu)
}
