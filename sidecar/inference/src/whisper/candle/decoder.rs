//! The decoder: tokens so far and a window's encoder states to the logits of the next token.
//!
//! Keys and values of earlier tokens are kept, and those of the encoder's states are computed once a window, so a
//! step costs one token's work for each row of the batch.

use candle_core::{Device, IndexOp, Module, Tensor};
use candle_nn::LayerNorm;

use super::layers::{Attention, FeedForward, KeyValues, norm};
use crate::engine::{Control, EngineError};
use crate::error::LoadError;
use crate::weights::Weights;
use crate::whisper::config::{ModelConfig, OUTPUT_PROJECTION};
use crate::whisper::forward::AlignmentHead;

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
pub(in crate::whisper) struct CrossMemory {
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
            weights.tensor(OUTPUT_PROJECTION, &[config.vocab_size, width])?
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
    /// Each row of the batch looks at its own of `memories`.
    pub(super) fn forward(
        &self,
        tokens: &[&[u32]],
        memories: &[&CrossMemory],
        state: &mut DecoderState,
        control: &Control,
    ) -> Result<Tensor, EngineError> {
        control.check()?;
        let time = tokens.first().map_or(0, |row| row.len());
        let mut states = self.embed(tokens, state.length)?;
        let mask = if time > 1 { Some(causal_mask(state.length, time)?) } else { None };
        state.layers.resize(self.layers.len(), None);
        for (number, (layer, own)) in self.layers.iter().zip(&mut state.layers).enumerate() {
            let memories: Vec<&KeyValues> = memories.iter().map(|memory| &memory.layers[number]).collect();
            states = layer.attend_to_self(&states, own, mask.as_ref())?;
            states = layer.attend_to_memories(&states, &memories)?;
            states = layer.feed_forward(&states)?;
        }
        state.length += time;
        Ok(self.norm.forward(&states)?)
    }

    /// The cross-attention weights of `heads` while `tokens` are read: heads x tokens x encoder positions.
    pub(super) fn align(
        &self,
        memory: &CrossMemory,
        tokens: &[u32],
        heads: &[AlignmentHead],
        control: &Control,
    ) -> Result<Vec<f32>, EngineError> {
        let mut states = self.embed(&[tokens], 0)?;
        let mask = causal_mask(0, tokens.len())?;
        let mut found: Vec<Vec<f32>> = vec![Vec::new(); heads.len()];
        for (number, (layer, memory)) in self.layers.iter().zip(&memory.layers).enumerate() {
            control.check()?;
            states = layer.attend_to_self(&states, &mut None, Some(&mask))?;
            if heads.iter().any(|head| head.layer == number) {
                let weights = layer.cross.weights(&layer.cross_norm.forward(&states)?, memory, None)?;
                for (head, found) in heads.iter().zip(&mut found).filter(|(head, _)| head.layer == number) {
                    *found = weights.i((0, head.head))?.flatten_all()?.to_vec1()?;
                }
            }
            states = layer.attend_to_memories(&states, &[memory])?;
            states = layer.feed_forward(&states)?;
        }
        Ok(found.concat())
    }

    fn embed(&self, tokens: &[&[u32]], position: usize) -> candle_core::Result<Tensor> {
        let time = tokens.first().map_or(0, |row| row.len());
        let flat: Vec<u32> = tokens.concat();
        let embedded = self.embedding.index_select(&Tensor::new(&flat[..], &Device::Cpu)?, 0)?;
        let embedded = embedded.reshape((tokens.len(), time, ()))?;
        embedded.broadcast_add(&self.positions.narrow(0, position, time)?)
    }

    /// The logits of states `[rows, width]`, as many for each row as there are tokens.
    pub(super) fn logits(&self, states: &Tensor) -> candle_core::Result<Vec<f32>> {
        states.contiguous()?.matmul(&self.projection.t()?)?.flatten_all()?.to_vec1()
    }
}

impl DecoderLayer {
    fn attend_to_self(
        &self,
        states: &Tensor,
        own: &mut Option<KeyValues>,
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
        Ok(states)
    }

    /// Rows next to each other with the same memory read it together.
    fn attend_to_memories(&self, states: &Tensor, memories: &[&KeyValues]) -> candle_core::Result<Tensor> {
        let normed = self.cross_norm.forward(states)?;
        let mut parts = Vec::new();
        let mut row = 0;
        for group in memories.chunk_by(|left, right| std::ptr::eq(*left, *right)) {
            let rows = normed.narrow(0, row, group.len())?;
            parts.push(self.cross.attend_shared(&rows, group[0])?);
            row += group.len();
        }
        states + Tensor::cat(&parts, 0)?
    }

    fn feed_forward(&self, states: &Tensor) -> candle_core::Result<Tensor> {
        states + self.feed_forward.forward(&self.feed_forward_norm.forward(states)?)?
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
