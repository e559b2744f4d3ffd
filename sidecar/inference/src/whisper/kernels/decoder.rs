//! The decoder's weights, and a window's keys and values as it reads them.

use ostler_kernels::{
    Aligned, Format, Inputs, Kernels, KeyValues, Lanes, LayerNorm, Linear, Numbers, Rows, Write,
};

use super::encoder::States;
use super::layer_weights::LayerWeights;
use crate::engine::{Control, EngineError};
use crate::error::LoadError;
use crate::processor::Precision;
use crate::weights::Weights;
use crate::whisper::config::{ModelConfig, NORM_EPSILON, OUTPUT_PROJECTION};

/// Rows of a window that are projected at once.
const BLOCK: usize = 96;

pub(super) struct Decoder {
    /// The output projection: logits from states.
    pub(super) output: Linear,
    /// The embedding of tokens where it is not the output projection's rows.
    embedding: Option<Linear>,
    /// A row for each position.
    pub(super) positions: Numbers<f32>,
    pub(super) layers: Vec<DecoderLayer>,
    pub(super) norm: LayerNorm,
    pub(super) width: usize,
    pub(super) heads: usize,
    pub(super) feed_forward: usize,
    /// The most tokens of a row.
    pub(super) most_positions: usize,
    pub(super) source_positions: usize,
    /// How many tokens there are.
    pub(super) tokens: usize,
    /// Of a window's keys and values.
    pub(super) memory: Format,
}

pub(super) struct DecoderLayer {
    pub(super) attention_norm: LayerNorm,
    /// Queries, keys and values side by side.
    pub(super) project: Linear,
    pub(super) out: Linear,
    pub(super) cross_norm: LayerNorm,
    pub(super) cross_query: Linear,
    /// A window's keys and values side by side.
    cross_memory: Linear,
    pub(super) cross_out: Linear,
    pub(super) feed_forward_norm: LayerNorm,
    pub(super) widen: Linear,
    pub(super) narrow: Linear,
}

/// A window's keys and values, layer by layer.
pub(in crate::whisper) struct WindowMemory {
    pub(super) layers: Vec<KeyValues>,
}

impl Decoder {
    pub(super) fn load(
        weights: &Weights,
        config: &ModelConfig,
        kernels: Kernels,
        precision: Precision,
    ) -> Result<Self, LoadError> {
        const EMBEDDING: &str = "model.decoder.embed_tokens.weight";
        let (width, inner, format) = (config.d_model, config.decoder.feed_forward, precision.weights);
        let rows = |name: &str| weights.linear_of(kernels, format, name, (config.vocab_size, width), None);
        let (output, embedding) = if config.tied_embeddings {
            (rows(EMBEDDING)?, None)
        } else {
            (rows(OUTPUT_PROJECTION)?, Some(rows(EMBEDDING)?))
        };
        let layer = |number: usize| {
            let layer = LayerWeights {
                weights,
                kernels,
                format,
                prefix: format!("model.decoder.layers.{number}"),
                width,
            };
            Ok(DecoderLayer {
                attention_norm: layer.norm("self_attn_layer_norm")?,
                project: layer.projections("self_attn", &["q_proj", "k_proj", "v_proj"])?,
                out: layer.projections("self_attn", &["out_proj"])?,
                cross_norm: layer.norm("encoder_attn_layer_norm")?,
                cross_query: layer.projections("encoder_attn", &["q_proj"])?,
                cross_memory: layer.projections("encoder_attn", &["k_proj", "v_proj"])?,
                cross_out: layer.projections("encoder_attn", &["out_proj"])?,
                feed_forward_norm: layer.norm("final_layer_norm")?,
                widen: layer.linear("fc1", inner, width)?,
                narrow: layer.linear("fc2", width, inner)?,
            })
        };
        let positions = &[config.max_target_positions, width];
        Ok(Self {
            output,
            embedding,
            positions: weights.table("model.decoder.embed_positions.weight", positions)?,
            layers: (0..config.decoder.layers).map(layer).collect::<Result<_, LoadError>>()?,
            norm: weights.layer_norm("model.decoder.layer_norm", width, NORM_EPSILON)?,
            width,
            heads: config.decoder.heads,
            feed_forward: inner,
            most_positions: config.max_target_positions,
            source_positions: config.max_source_positions,
            tokens: config.vocab_size,
            memory: precision.memory,
        })
    }

    pub(super) fn vocabulary(&self) -> usize {
        self.tokens
    }

    pub(super) fn head_width(&self) -> usize {
        self.width / self.heads
    }

    /// What a token at a position starts with.
    pub(super) fn embed(&self, token: u32, position: usize, out: &mut [f32]) {
        self.embedding.as_ref().unwrap_or(&self.output).weight_row(token as usize, out);
        for (number, place) in out.iter_mut().zip(&self.positions[position * self.width..]) {
            *number += place;
        }
    }

    /// Bytes of a window's keys and values and of `rows` rows of tokens as long as they can be.
    pub(super) fn window_bytes(&self, rows: usize) -> u64 {
        let layers = self.layers.len() as u64;
        let memory =
            KeyValues::space_bytes(self.memory, self.heads, self.head_width(), self.source_positions);
        // A buffer that grows is twice there while it moves.
        layers * (memory + (2 * rows * self.most_positions * 2 * self.width * 4) as u64)
    }

    /// Prepares a window's states for the cross-attention of every step.
    pub(super) fn remember(
        &self,
        lanes: &Lanes<'_>,
        states: &States,
        control: &Control,
    ) -> Result<WindowMemory, EngineError> {
        let width = self.width;
        let stride = 2 * width;
        let mut projected = Aligned::<f32>::zeroed(states.count * stride);
        let mut scratch: Vec<Inputs> = (0..lanes.threads()).map(|_| Inputs::new(BLOCK, width)).collect();
        let layers = self.layers.iter().map(|layer| {
            control.check()?;
            let blocks = states.numbers.chunks(BLOCK * width).zip(projected.chunks_mut(BLOCK * stride));
            lanes.for_each_with(blocks.collect(), &mut scratch, |(states, projected), inputs| {
                let rows = states.len() / width;
                let places = layer.cross_memory.places(inputs, rows);
                for (place, row) in places.zip(states.chunks_exact(width)) {
                    place.set(row);
                }
                layer.cross_memory.forward_here(inputs, rows, projected, stride, Write::Set);
            });
            let mut memory = KeyValues::new(
                layer.cross_memory.kernels(),
                self.memory,
                self.heads,
                self.head_width(),
                states.count,
            );
            let rows = |from: usize| Rows { data: &projected[from..], stride, count: states.count };
            memory.fill(lanes, rows(0), rows(width));
            Ok(memory)
        });
        Ok(WindowMemory { layers: layers.collect::<Result<_, EngineError>>()? })
    }
}
