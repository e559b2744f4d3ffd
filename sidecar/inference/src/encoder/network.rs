//! The layers of an encoder, on the kernels of the processor.
//!
//! Tokens of all texts of a batch lie one behind another, so nothing is filled up; each text sees itself alone. A
//! token's state depends on its own text and on nothing else of the batch, bit for bit.

use ostler_kernels::{AttentionScratch, Inputs, KeyValues, Lanes, LayerNorm, Linear, Numbers, Rows, Write};

use super::{Computation, Config};
use crate::engine::{Control, EngineError};
use crate::error::LoadError;
use crate::processor::{Precision, Processor};
use crate::weights::{Part, Weights};

/// The queries that one thread computes at once: enough for the kernels, few enough that long texts need little space.
const QUERIES: usize = 64;

/// An encoder of the BERT family, from tokens to states.
pub struct Network {
    computation: Computation,
    config: Config,
    embeddings: Embeddings,
    layers: Vec<Layer>,
}

struct Embeddings {
    /// A row for each token.
    words: Linear,
    /// A row for each position, one behind another.
    positions: Numbers<f32>,
    /// The row of the first segment, which is all that single texts have.
    kind: Numbers<f32>,
    norm: LayerNorm,
}

struct Layer {
    query_key_value: Linear,
    attention_output: Linear,
    attention_norm: LayerNorm,
    intermediate: Linear,
    output: Linear,
    norm: LayerNorm,
}

/// What a batch is computed in.
struct Space {
    inputs: Inputs,
    /// Tokens x (queries, keys, values).
    projected: Vec<f32>,
    /// What each head of each text sees: tokens x width of a head.
    seen: Vec<f32>,
    /// Tokens x intermediate width.
    inner: Vec<f32>,
    scratch: Vec<AttentionScratch>,
}

impl Network {
    /// Takes the layers from weights whose names begin with `prefix`.
    ///
    /// # Errors
    /// Where a tensor is missing or has other dimensions than config.json says.
    pub fn load(
        weights: &Weights,
        prefix: &str,
        config: Config,
        computation: Computation,
    ) -> Result<Self, LoadError> {
        let (width, epsilon) = (config.width(), config.epsilon());
        let (kernels, precision) = (computation.processor.kernels(), computation.precision);
        let name = |name: &str| format!("{prefix}embeddings.{name}");
        let words = name("word_embeddings.weight");
        let embeddings = Embeddings {
            words: weights.linear_of(
                kernels,
                precision.weights,
                &words,
                (config.vocabulary(), width),
                None,
            )?,
            positions: weights.table(&name("position_embeddings.weight"), &[config.positions(), width])?,
            kind: weights.rows(&name("token_type_embeddings.weight"), &[config.kinds(), width], 0..1)?,
            norm: weights.layer_norm(&name("LayerNorm"), width, epsilon)?,
        };
        let layers = (0..config.layers())
            .map(|index| {
                let format = if index == 0 { precision.sensitive } else { precision.weights };
                let name = |name: &str| format!("{prefix}encoder.layer.{index}.{name}");
                let linear = |names: &[&str], outputs: usize, inputs: usize| {
                    let part = |part: &&str| Part { name: name(part), outputs, has_bias: true };
                    let parts: Vec<Part> = names.iter().map(part).collect();
                    weights.linear(kernels, format, &parts, inputs)
                };
                let attention = ["attention.self.query", "attention.self.key", "attention.self.value"];
                Ok(Layer {
                    query_key_value: linear(&attention, width, width)?,
                    attention_output: linear(&["attention.output.dense"], width, width)?,
                    attention_norm: weights.layer_norm(
                        &name("attention.output.LayerNorm"),
                        width,
                        epsilon,
                    )?,
                    intermediate: linear(&["intermediate.dense"], config.inner(), width)?,
                    output: linear(&["output.dense"], width, config.inner())?,
                    norm: weights.layer_norm(&name("output.LayerNorm"), width, epsilon)?,
                })
            })
            .collect::<Result<_, LoadError>>()?;
        Ok(Self { computation, config, embeddings, layers })
    }

    /// The dimensions.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    fn processor(&self) -> &Processor {
        &self.computation.processor
    }

    fn precision(&self) -> Precision {
        self.computation.precision
    }

    /// The memory that a batch of `tokens` tokens takes, none of whose texts is longer than `longest`, in bytes.
    #[must_use]
    pub fn scratch_bytes(&self, tokens: usize, longest: usize) -> u64 {
        let (width, inner, heads) = (self.config.width(), self.config.inner(), self.config.heads());
        let numbers = tokens as u64 * (width * 5 + inner) as u64;
        let format = self.precision().products;
        let keys = KeyValues::space_bytes(format, heads, width / heads, longest);
        let threads = self.processor().team().threads() as u64;
        let attention = AttentionScratch::space_bytes(format, QUERIES, longest, width / heads);
        4 * numbers + Inputs::space_bytes(tokens, width.max(inner)) + keys + threads * attention
    }

    /// The states of the last layer for each token of texts that are one behind another: tokens x width.
    ///
    /// # Errors
    /// [`EngineError::Cancelled`].
    pub fn states(&self, texts: &[&[u32]], control: &Control) -> Result<Vec<f32>, EngineError> {
        let lanes = self.processor().team().enter();
        let (width, inner) = (self.config.width(), self.config.inner());
        let tokens = texts.iter().map(|text| text.len()).sum();
        let longest = texts.iter().map(|text| text.len()).max().unwrap_or(0);
        let head = width / self.config.heads();
        let mut space = Space {
            inputs: Inputs::new(tokens, width.max(inner)),
            projected: vec![0.0; tokens * 3 * width],
            seen: vec![0.0; tokens * width],
            inner: vec![0.0; tokens * inner],
            scratch: (0..lanes.threads())
                .map(|_| AttentionScratch::new(self.precision().products, QUERIES, longest, head))
                .collect(),
        };
        let mut states = self.embed(texts, &lanes);
        for layer in &self.layers {
            control.check()?;
            self.attend(layer, texts, &mut states, &mut space, &lanes);
            self.feed(layer, &mut states, &mut space, &lanes);
        }
        Ok(states)
    }

    /// The sum of each token's word, position and kind, normed.
    fn embed(&self, texts: &[&[u32]], lanes: &Lanes<'_>) -> Vec<f32> {
        let width = self.config.width();
        let Embeddings { words, positions, kind, norm } = &self.embeddings;
        let places: Vec<(u32, usize)> =
            texts.iter().flat_map(|text| text.iter().copied().zip(self.config.positions_of(text))).collect();
        let mut states = vec![0.0; places.len() * width];
        let rows: Vec<_> = states.chunks_exact_mut(width).zip(places).collect();
        lanes.for_each(rows, |(row, (token, position))| {
            words.weight_row(token as usize, row);
            let others = positions[position * width..][..width].iter().zip(kind.iter());
            row.iter_mut().zip(others).for_each(|(sum, (position, kind))| *sum = *sum + kind + position);
            self.processor().kernels().layer_norm_in_place(norm, row);
        });
        states
    }

    /// Each token sees the tokens of its text.
    fn attend(
        &self,
        layer: &Layer,
        texts: &[&[u32]],
        states: &mut [f32],
        space: &mut Space,
        lanes: &Lanes<'_>,
    ) {
        let Space { inputs, projected, seen, scratch, .. } = space;
        let (width, heads) = (self.config.width(), self.config.heads());
        let head_width = width / heads;
        let tokens = states.len() / width;
        prepare(&layer.query_key_value, inputs, states, lanes);
        layer.query_key_value.forward(lanes, inputs, tokens, projected, 3 * width, Write::Set);
        let scale = 1.0 / (head_width as f32).sqrt();
        let (kernels, format) = (self.processor().kernels(), self.precision().products);
        let mut projected = projected.as_slice();
        let mut rest = seen.as_mut_slice();
        for text in texts.iter().filter(|text| !text.is_empty()) {
            let (own, others) = projected.split_at(text.len() * 3 * width);
            projected = others;
            let (seen, others) = rest.split_at_mut(text.len() * width);
            rest = others;
            let part = |from: usize| Rows { data: &own[from..], stride: 3 * width, count: text.len() };
            let mut keys = KeyValues::new(kernels, format, heads, head_width, text.len());
            keys.fill(lanes, part(width), part(2 * width));
            let of_heads = seen.chunks_exact_mut(text.len() * head_width).enumerate();
            let tasks = of_heads.flat_map(|(head, seen)| {
                seen.chunks_mut(QUERIES * head_width)
                    .enumerate()
                    .map(move |(block, seen)| (head, block, seen))
            });
            lanes.for_each_with(tasks.collect(), scratch, |(head, block, seen), scratch| {
                let first = block * QUERIES * 3 * width + head * head_width;
                let queries = Rows { data: &own[first..], stride: 3 * width, count: seen.len() / head_width };
                keys.attend(head, queries, scale, scratch, seen, head_width);
            });
        }
        let mut row = 0;
        let mut rest = seen.as_slice();
        for text in texts {
            let (seen, others) = rest.split_at(text.len() * width);
            rest = others;
            for token in 0..text.len() {
                let of_heads = seen.chunks_exact(text.len() * head_width);
                let parts = of_heads.map(|head| &head[token * head_width..][..head_width]);
                layer.attention_output.prepare_parts(inputs, row, parts);
                row += 1;
            }
        }
        layer.attention_output.forward(lanes, inputs, tokens, states, width, Write::Add);
        self.norm(&layer.attention_norm, states, lanes);
    }

    /// The two layers that see each token by itself.
    fn feed(&self, layer: &Layer, states: &mut [f32], space: &mut Space, lanes: &Lanes<'_>) {
        let Space { inputs, inner, .. } = space;
        let (width, inner_width) = (self.config.width(), self.config.inner());
        let tokens = states.len() / width;
        prepare(&layer.intermediate, inputs, states, lanes);
        layer.intermediate.forward(lanes, inputs, tokens, inner, inner_width, Write::Set);
        let rows: Vec<_> = inner.chunks_exact_mut(inner_width).collect();
        let activation = self.config.activation();
        lanes.for_each(rows, |row| self.processor().kernels().activate(activation, row));
        prepare(&layer.output, inputs, inner, lanes);
        layer.output.forward(lanes, inputs, tokens, states, width, Write::Add);
        self.norm(&layer.norm, states, lanes);
    }

    fn norm(&self, norm: &LayerNorm, states: &mut [f32], lanes: &Lanes<'_>) {
        let rows: Vec<_> = states.chunks_exact_mut(self.config.width()).collect();
        lanes.for_each(rows, |row| self.processor().kernels().layer_norm_in_place(norm, row));
    }
}

/// Rounds rows for a layer.
fn prepare(layer: &Linear, inputs: &mut Inputs, numbers: &[f32], lanes: &Lanes<'_>) {
    let rows = numbers.chunks_exact(layer.inputs());
    let count = rows.len();
    let tasks: Vec<_> = layer.places(inputs, count).zip(rows).collect();
    lanes.for_each(tasks, |(place, row)| place.set(row));
}
