//! The encoder: a window's log-mel spectrogram to one row of states for every 20 ms.
//!
//! Between two attentions every row is worked on by itself, so blocks of rows run through the output projection, the
//! feed-forward part and the next layer's projections without leaving a processor's cache.

use ostler_kernels::{
    Activation, Aligned, AttentionScratch, Format, Frames, Inputs, Kernels, KeyValues, Lanes, LayerNorm,
    Linear, Numbers, Rows, Write,
};

use super::layer_weights::LayerWeights;
use crate::engine::{Control, EngineError};
use crate::error::LoadError;
use crate::processor::Precision;
use crate::weights::Weights;
use crate::whisper::config::{ModelConfig, NORM_EPSILON};

/// Rows of a block: whole tiles of twelve rows, and few enough that their states stay near.
const BLOCK: usize = 96;
/// Frames of a block of a convolution.
const FRAME_BLOCK: usize = 60;
/// Queries that attend at once.
const QUERIES: usize = 48;

pub(super) struct Encoder {
    first: Linear,
    second: Linear,
    /// A row for each position.
    positions: Numbers<f32>,
    layers: Vec<EncoderLayer>,
    norm: LayerNorm,
    attention: Format,
    bands: usize,
    width: usize,
    heads: usize,
    feed_forward: usize,
    source_positions: usize,
}

struct EncoderLayer {
    attention_norm: LayerNorm,
    /// Queries, keys and values side by side.
    project: Linear,
    out: Linear,
    feed_forward_norm: LayerNorm,
    widen: Linear,
    narrow: Linear,
}

/// States of a window, row after row.
pub(super) struct States {
    pub(super) numbers: Aligned<f32>,
    pub(super) count: usize,
}

/// What one thread needs for a block of rows.
struct BlockScratch {
    inputs: Inputs,
    /// One row on its way into a layer.
    row: Vec<f32>,
    wide: Aligned<f32>,
}

impl Encoder {
    pub(super) fn load(
        weights: &Weights,
        config: &ModelConfig,
        kernels: Kernels,
        precision: Precision,
    ) -> Result<Self, LoadError> {
        let width = config.d_model;
        let inner = config.encoder.feed_forward;
        let convolution = |name: &str, channels| {
            let name = format!("model.encoder.{name}");
            weights.convolution(kernels, precision.products, &name, [width, channels, 3])
        };
        let layer = |number: usize| {
            let layer = LayerWeights {
                weights,
                kernels,
                format: if number == 0 { precision.sensitive } else { precision.weights },
                prefix: format!("model.encoder.layers.{number}"),
                width,
            };
            Ok(EncoderLayer {
                attention_norm: layer.norm("self_attn_layer_norm")?,
                project: layer.projections("self_attn", &["q_proj", "k_proj", "v_proj"])?,
                out: layer.projections("self_attn", &["out_proj"])?,
                feed_forward_norm: layer.norm("final_layer_norm")?,
                widen: layer.linear("fc1", inner, width)?,
                narrow: layer.linear("fc2", width, inner)?,
            })
        };
        let positions = &[config.max_source_positions, width];
        Ok(Self {
            first: convolution("conv1", config.num_mel_bins)?,
            second: convolution("conv2", width)?,
            positions: weights.table("model.encoder.embed_positions.weight", positions)?,
            layers: (0..config.encoder.layers).map(layer).collect::<Result<_, LoadError>>()?,
            norm: weights.layer_norm("model.encoder.layer_norm", width, NORM_EPSILON)?,
            attention: precision.products,
            bands: config.num_mel_bins,
            width,
            heads: config.encoder.heads,
            feed_forward: inner,
            source_positions: config.max_source_positions,
        })
    }

    /// The states of a log-mel spectrogram of an even number of frames, band by band.
    pub(super) fn forward(
        &self,
        lanes: &Lanes<'_>,
        mel: &[f32],
        control: &Control,
    ) -> Result<States, EngineError> {
        control.check()?;
        let mut states = self.convolve(lanes, mel);
        let (width, kernels) = (self.width, self.first.kernels());
        let count = states.len() / width;
        let mut projected = Aligned::<f32>::zeroed(count * 3 * width);
        let mut seen = Aligned::<f32>::zeroed(count * width);
        let head_width = width / self.heads;
        let mut memory = KeyValues::new(kernels, self.attention, self.heads, head_width, count);
        let mut scratch: Vec<BlockScratch> = (0..lanes.threads())
            .map(|_| BlockScratch {
                inputs: Inputs::new(BLOCK, width.max(self.feed_forward)),
                row: vec![0.0; width],
                wide: Aligned::zeroed(BLOCK * self.feed_forward),
            })
            .collect();
        let mut attention: Vec<AttentionScratch> = (0..lanes.threads())
            .map(|_| AttentionScratch::new(self.attention, QUERIES, count, head_width))
            .collect();

        if let Some(layer) = self.layers.first() {
            let blocks = states.chunks_mut(BLOCK * width).zip(projected.chunks_mut(BLOCK * 3 * width));
            lanes.for_each_with(blocks.collect(), &mut scratch, |(states, projected), scratch| {
                layer.project(states, projected, scratch);
            });
        }
        for (number, layer) in self.layers.iter().enumerate() {
            control.check()?;
            self.attend(lanes, &projected, &mut memory, &mut attention, &mut seen);
            let next = self.layers.get(number + 1);
            let blocks = states
                .chunks_mut(BLOCK * width)
                .zip(projected.chunks_mut(BLOCK * 3 * width))
                .enumerate()
                .collect();
            let seen = Seen { numbers: &seen, rows: count, head_width };
            lanes.for_each_with(blocks, &mut scratch, |(block, (states, projected)), scratch| {
                layer.rest(states, &seen, block * BLOCK, scratch);
                match next {
                    Some(next) => next.project(states, projected, scratch),
                    None => states
                        .chunks_exact_mut(width)
                        .for_each(|row| kernels.layer_norm_in_place(&self.norm, row)),
                }
            });
        }
        Ok(States { numbers: states, count })
    }

    /// The two convolutions with the positions added: half as many rows of states as frames.
    fn convolve(&self, lanes: &Lanes<'_>, mel: &[f32]) -> Aligned<f32> {
        let (width, kernels) = (self.width, self.first.kernels());
        let count = mel.len() / self.bands;
        let format = self.first.format();
        // A frame of silence before the first and after the last.
        let mut sound = Frames::zeroed(kernels, format, count + 2, self.bands);
        let mut turned: Vec<Vec<f32>> =
            (0..lanes.threads()).map(|_| vec![0.0; FRAME_BLOCK * self.bands]).collect();
        let blocks = sound.blocks_mut(1, FRAME_BLOCK).enumerate();
        let blocks: Vec<_> = blocks.take(count.div_ceil(FRAME_BLOCK)).collect();
        lanes.for_each_with(blocks, &mut turned, |(block, mut places), turned| {
            let first = block * FRAME_BLOCK;
            let frames = FRAME_BLOCK.min(count - first);
            for (band, numbers) in mel.chunks_exact(count).enumerate() {
                for (frame, number) in turned.chunks_exact_mut(self.bands).zip(&numbers[first..][..frames]) {
                    frame[band] = *number;
                }
            }
            for (index, frame) in turned.chunks_exact(self.bands).take(frames).enumerate() {
                places.set(index, frame);
            }
        });
        let mut between = Frames::zeroed(kernels, format, count + 2, width);
        let mut scratch: Vec<Vec<f32>> =
            (0..lanes.threads()).map(|_| vec![0.0; FRAME_BLOCK * width]).collect();
        let blocks = between.blocks_mut(1, FRAME_BLOCK).enumerate();
        let blocks: Vec<_> = blocks.take(count.div_ceil(FRAME_BLOCK)).collect();
        lanes.for_each_with(blocks, &mut scratch, |(block, mut places), rows| {
            let first = block * FRAME_BLOCK;
            let rows = &mut rows[..FRAME_BLOCK.min(count - first) * width];
            self.first.forward_overlapping(&sound, first, 1, rows.len() / width, rows, width);
            for (index, row) in rows.chunks_exact_mut(width).enumerate() {
                kernels.activate_for(format, Activation::Gelu, row);
                places.set(index, row);
            }
        });
        let mut states = Aligned::<f32>::zeroed(count / 2 * width);
        let blocks: Vec<_> = states.chunks_mut(FRAME_BLOCK * width).enumerate().collect();
        lanes.for_each(blocks, |(block, rows)| {
            let first = block * FRAME_BLOCK;
            self.second.forward_overlapping(&between, 2 * first, 2, rows.len() / width, rows, width);
            kernels.activate_for(format, Activation::Gelu, rows);
            for (number, position) in rows.iter_mut().zip(&self.positions[first * width..]) {
                *number += position;
            }
        });
        states
    }

    /// What every head of every row sees: head by head, its rows one after another.
    fn attend(
        &self,
        lanes: &Lanes<'_>,
        projected: &[f32],
        memory: &mut KeyValues,
        scratch: &mut [AttentionScratch],
        seen: &mut [f32],
    ) {
        let (width, stride) = (self.width, 3 * self.width);
        let head_width = width / self.heads;
        let count = projected.len() / stride;
        let rows = |from: usize, count: usize| Rows { data: &projected[from..], stride, count };
        memory.fill(lanes, rows(width, count), rows(2 * width, count));
        let memory = &*memory;
        let scale = (head_width as f32).powf(-0.5);
        let heads = seen.chunks_mut(count * head_width).enumerate();
        let tasks = heads.flat_map(|(head, seen)| {
            seen.chunks_mut(QUERIES * head_width).enumerate().map(move |(block, seen)| (head, block, seen))
        });
        lanes.for_each_with(tasks.collect(), scratch, |(head, block, seen), scratch| {
            let queries = rows(block * QUERIES * stride + head * head_width, seen.len() / head_width);
            memory.attend(head, queries, scale, scratch, seen, head_width);
        });
    }

    /// The most bytes that encoding takes beside its result, on so many threads.
    pub(super) fn scratch_bytes(&self, threads: usize) -> u64 {
        let Self { width, heads, feed_forward, bands, attention, source_positions: count, .. } = *self;
        let frames = 2 * count + 2;
        let convolution =
            self.first.format().bytes() * frames * (bands + width) + threads * FRAME_BLOCK * width * 4;
        let rows = count * 4 * width * 4;
        let memory = KeyValues::space_bytes(attention, heads, width / heads, count);
        let block =
            Inputs::space_bytes(BLOCK, width.max(feed_forward)) + ((BLOCK * feed_forward + width) * 4) as u64;
        let queries = AttentionScratch::space_bytes(attention, QUERIES, count, width / heads);
        let states = (count * width * 4) as u64;
        states + (convolution as u64).max(rows as u64 + memory + threads as u64 * (block + queries))
    }
}

/// What the heads have seen: head by head, its rows one after another.
struct Seen<'a> {
    numbers: &'a [f32],
    rows: usize,
    head_width: usize,
}

impl Seen<'_> {
    /// A row's parts, one of each head.
    fn row(&self, row: usize) -> impl Iterator<Item = &[f32]> {
        let heads = self.numbers.chunks_exact(self.rows * self.head_width);
        heads.map(move |head| &head[row * self.head_width..][..self.head_width])
    }
}

impl EncoderLayer {
    /// Queries, keys and values of a block of states.
    fn project(&self, states: &[f32], projected: &mut [f32], scratch: &mut BlockScratch) {
        let width = self.project.inputs();
        let rows = states.len() / width;
        let kernels = self.project.kernels();
        let places = self.project.places(&mut scratch.inputs, rows);
        for (place, row) in places.zip(states.chunks_exact(width)) {
            kernels.layer_norm(&self.attention_norm, row, &mut scratch.row);
            place.set(&scratch.row);
        }
        self.project.forward_here(&scratch.inputs, rows, projected, 3 * width, Write::Set);
    }

    /// Adds to a block of states what was seen from them and what the feed-forward part makes of it.
    fn rest(&self, states: &mut [f32], seen: &Seen<'_>, first: usize, scratch: &mut BlockScratch) {
        let width = self.out.outputs();
        let rows = states.len() / width;
        let kernels = self.out.kernels();
        for (row, place) in self.out.places(&mut scratch.inputs, rows).enumerate() {
            for (part, head) in scratch.row.chunks_exact_mut(seen.head_width).zip(seen.row(first + row)) {
                part.copy_from_slice(head);
            }
            place.set(&scratch.row);
        }
        self.out.forward_here(&scratch.inputs, rows, states, width, Write::Add);
        let places = self.widen.places(&mut scratch.inputs, rows);
        for (place, row) in places.zip(states.chunks_exact(width)) {
            kernels.layer_norm(&self.feed_forward_norm, row, &mut scratch.row);
            place.set(&scratch.row);
        }
        let inner = self.widen.outputs();
        let wide = &mut scratch.wide[..rows * inner];
        self.widen.forward_here(&scratch.inputs, rows, wide, inner, Write::Set);
        let places = self.narrow.places(&mut scratch.inputs, rows);
        for (place, row) in places.zip(wide.chunks_exact_mut(inner)) {
            kernels.activate_for(self.narrow.format(), Activation::Gelu, row);
            place.set(row);
        }
        self.narrow.forward_here(&scratch.inputs, rows, states, width, Write::Add);
    }
}
