//! The forward pass on our own kernels, for processors.
//!
//! The tokens of all sentences lie one after the other without filling: linear layers see real rows only, and each
//! row attends to those of its own sentence. Beams share what they have in common: a row's past is a list of places
//! in a cache that only grows, so that choosing other beams copies lists and no keys. **A sentence's numbers do not
//! depend on what else is in its batch**, bit for bit.

mod attention;
mod decoding;
mod layers;
mod workspace;

use std::sync::Arc;

use ostler_kernels::{Format, Kernels, LayerNorm, Linear, Numbers};

use self::attention::{Heads, Memory};
use self::decoding::Decoding;
use self::layers::{DecoderLayer, EncoderLayer};
use self::workspace::{Entries, Workspace};
use super::architecture::{Architecture, LAYER_NORM_EPSILON};
use super::embeddings::EmbeddingNames;
use super::forward::Forward;
use super::positions;
use crate::engine::{Control, EngineError};
use crate::error::LoadError;
use crate::generate::Decoder;
use crate::processor::{Precision, Processor};
use crate::weights::Weights;

/// The weights of a model, packed.
pub(super) struct KernelModel {
    architecture: Architecture,
    /// The format of keys and values.
    products: Format,
    processor: Arc<Processor>,
    encoder: Vec<EncoderLayer>,
    decoder: Vec<DecoderLayer>,
    encoder_entrance: Entrance,
    decoder_entrance: Entrance,
    encoder_norm: Option<LayerNorm>,
    decoder_norm: Option<LayerNorm>,
    /// The embeddings of the source, where they are not the output's rows.
    source_embedding: Option<Linear>,
    target_table: TargetTable,
    output: Linear,
}

/// Where the embeddings of the target are.
enum TargetTable {
    /// They are the output's rows.
    Output,
    /// They are the source's.
    Source,
    Own(Linear),
}

/// What is done to embeddings before a stack takes them in.
struct Entrance {
    /// Positions x width.
    positions: Numbers<f32>,
    norm: Option<LayerNorm>,
}

/// Where layers come from and what they are packed for.
struct Source<'a> {
    weights: &'a Weights,
    kernels: Kernels,
}

impl Source<'_> {
    fn norm(&self, name: &str, width: usize) -> Result<LayerNorm, LoadError> {
        self.weights.layer_norm(name, width, LAYER_NORM_EPSILON as f32)
    }
}

/// What the encoder made of a batch of sentences.
struct Encoded {
    /// For each decoder layer the keys and values of all tokens, one after the other.
    memory: Vec<Memory>,
    /// For each sentence where its tokens' keys and values begin.
    offsets: Vec<Vec<usize>>,
}

impl KernelModel {
    pub(super) fn load(
        weights: &Weights,
        model: Architecture,
        precision: Precision,
        processor: &Arc<Processor>,
    ) -> Result<Self, LoadError> {
        let source = Source { weights, kernels: processor.kernels() };
        let names = EmbeddingNames::choose(&model, |name| weights.contains(name));
        let target_size = model.target_vocabulary;
        let bias = Some("final_logits_bias").filter(|name| model.has_output_bias && weights.contains(name));
        let table = |name, size, bias| {
            weights.linear_of(source.kernels, precision.weights, name, (size, model.width), bias)
        };
        let stack_norm = |stack: &str| match model.has_last_norm {
            true => source.norm(&format!("model.{stack}.layer_norm"), model.width).map(Some),
            false => Ok(None),
        };
        let encoder_layer = |layer| {
            let format = if layer == 0 { precision.sensitive } else { precision.weights };
            EncoderLayer::load(&source, &model, layer, format)
        };
        Ok(Self {
            encoder: (0..model.encoder.layers).map(encoder_layer).collect::<Result<_, _>>()?,
            decoder: (0..model.decoder.layers)
                .map(|layer| DecoderLayer::load(&source, &model, layer, precision.weights))
                .collect::<Result<_, _>>()?,
            encoder_entrance: Entrance::load(&source, "encoder", &model)?,
            decoder_entrance: Entrance::load(&source, "decoder", &model)?,
            encoder_norm: stack_norm("encoder")?,
            decoder_norm: stack_norm("decoder")?,
            output: table(names.output, target_size, bias)?,
            source_embedding: match names.source {
                name if name == names.output => None,
                name => Some(table(name, model.source_vocabulary, None)?),
            },
            target_table: match names.target {
                name if name == names.output => TargetTable::Output,
                name if name == names.source => TargetTable::Source,
                name => TargetTable::Own(table(name, target_size, None)?),
            },
            products: precision.products,
            processor: Arc::clone(processor),
            architecture: model,
        })
    }

    /// The state that a token of a sentence starts with.
    fn embed_source(&self, token: u32, position: usize, out: &mut [f32]) {
        let table = self.source_embedding.as_ref().unwrap_or(&self.output);
        self.embed(table, &self.encoder_entrance, token, position, out);
    }

    /// The state that a token of a translation starts with.
    fn embed_target(&self, token: u32, position: usize, out: &mut [f32]) {
        let table = match self.target_table {
            TargetTable::Output => &self.output,
            TargetTable::Source => self.source_embedding.as_ref().unwrap_or(&self.output),
            TargetTable::Own(ref table) => table,
        };
        self.embed(table, &self.decoder_entrance, token, position, out);
    }

    fn embed(&self, table: &Linear, entrance: &Entrance, token: u32, position: usize, out: &mut [f32]) {
        table.weight_row(token as usize, out);
        let scale = self.architecture.embedding_scale;
        for (number, place) in out.iter_mut().zip(&entrance.positions[position * table.inputs()..]) {
            *number = *number * scale + place;
        }
        if let Some(norm) = &entrance.norm {
            self.processor.kernels().layer_norm_in_place(norm, out);
        }
    }

    /// Encodes sentences, and prepares what each decoder layer sees of them.
    fn encode(&self, sentences: &[&[u32]], control: &Control) -> Result<Encoded, EngineError> {
        let model = &self.architecture;
        let (width, cache_row) = (model.width, model.cache_row());
        let heads = Heads { width, count: model.encoder.heads };
        let lanes = self.processor.team().enter();
        let count: usize = sentences.iter().map(|sentence| sentence.len()).sum();
        let mut work = Workspace::new(lanes.threads(), count, model, model.encoder.feed_forward);
        let tokens = sentences.iter().flat_map(|sentence| sentence.iter().enumerate());
        let places: Vec<_> = work.states.chunks_exact_mut(width).zip(tokens).collect();
        lanes.for_each(places, |(row, (position, token))| self.embed_source(*token, position, row));
        let offsets = offsets(sentences, cache_row);
        let sentence_of: Vec<usize> = sentences
            .iter()
            .enumerate()
            .flat_map(|(number, sentence)| std::iter::repeat_n(number, sentence.len()))
            .collect();
        let mut entries = Entries::new(model.norm_placement);
        for layer in &self.encoder {
            control.check()?;
            let attention = &layer.attention;
            work.enter(&lanes, &attention.query, entries.next(&attention.norm));
            work.ask(&lanes, &attention.query);
            work.remember(&lanes, &attention.key_value);
            let own = |row: usize| offsets[sentence_of[row]].as_slice();
            work.attend_here(&lanes, heads, own, &attention.out);
            let block = &layer.feed_forward;
            work.feed_forward(&lanes, block, entries.next(&block.norm));
        }
        let entry = entries.end(self.encoder_norm.as_ref());
        if let Some(first) = self.decoder.first() {
            work.enter(&lanes, &first.cross_attention.key_value, entry);
        }
        let memory = self.decoder.iter().map(|layer| {
            control.check()?;
            let mut memory = Memory::new(self.products);
            work.remember(&lanes, &layer.cross_attention.key_value);
            memory.push(layer.cross_attention.key_value.kernels(), &work.key_values);
            Ok(memory)
        });
        Ok(Encoded { memory: memory.collect::<Result<_, EngineError>>()?, offsets })
    }
}

impl Forward for KernelModel {
    fn cached_number_bytes(&self) -> usize {
        Memory::number_bytes(self.products)
    }

    fn start<'a>(
        &'a self,
        sentences: &[&[u32]],
        control: &Control,
    ) -> Result<Box<dyn Decoder + 'a>, EngineError> {
        let encoded = self.encode(sentences, control)?;
        Ok(Box::new(Decoding::new(self, encoded, sentences.len())))
    }
}

/// For each sentence the places of its tokens in a cache whose rows have `row` numbers.
fn offsets(sentences: &[&[u32]], row: usize) -> Vec<Vec<usize>> {
    let mut first = 0;
    sentences
        .iter()
        .map(|sentence| {
            let places = (first..first + sentence.len()).map(|place| place * row).collect();
            first += sentence.len();
            places
        })
        .collect()
}

impl Entrance {
    fn load(source: &Source<'_>, stack: &str, model: &Architecture) -> Result<Self, LoadError> {
        let positions = positions::table(source.weights, stack, model)?;
        let norm = match model.normalizes_embeddings {
            true => Some(source.norm(&format!("model.{stack}.layernorm_embedding"), model.width)?),
            false => None,
        };
        Ok(Self { positions, norm })
    }
}

#[cfg(test)]
mod tests;
