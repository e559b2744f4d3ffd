//! The forward pass in candle: the reference, as transformers' models of these families compute it.

mod decoding;
mod layers;

use candle_core::{Device, Tensor};
use candle_nn::{Embedding, LayerNorm, Module};

use super::architecture::{Architecture, Stack};
use super::embeddings::EmbeddingNames;
use super::forward::Forward;
use super::positions;
use crate::engine::{Control, EngineError};
use crate::error::LoadError;
use crate::generate::Decoder;
use crate::weights::Weights;
use decoding::Decoding;
use layers::{Attention, FeedForward, KeysValues, Residual};

struct EncoderLayer {
    attention: Attention,
    around_attention: Residual,
    feed_forward: FeedForward,
    around_feed_forward: Residual,
}

struct DecoderLayer {
    attention: Attention,
    around_attention: Residual,
    cross_attention: Attention,
    around_cross_attention: Residual,
    feed_forward: FeedForward,
    around_feed_forward: Residual,
}

/// The place where a stack takes in tokens.
struct Entrance {
    embedding: Embedding,
    scale: f64,
    positions: Tensor,
    norm: Option<LayerNorm>,
}

/// The weights of a model.
pub(super) struct CandleModel {
    architecture: Architecture,
    encoder_entrance: Entrance,
    decoder_entrance: Entrance,
    encoder: Vec<EncoderLayer>,
    decoder: Vec<DecoderLayer>,
    encoder_norm: Option<LayerNorm>,
    decoder_norm: Option<LayerNorm>,
    /// Width x vocabulary of the target.
    output: Tensor,
    output_bias: Option<Tensor>,
}

/// What the encoder made of a batch of sentences.
struct Encoded {
    /// For each decoder layer what its cross-attention sees; one row a sentence.
    memory: Vec<KeysValues>,
    /// Sentences x 1 x 1 x positions: 0 where there is a token, the least number where there is none.
    mask: Tensor,
}

impl CandleModel {
    pub(super) fn load(weights: &Weights, architecture: Architecture) -> Result<Self, LoadError> {
        let model = &architecture;
        let names = EmbeddingNames::choose(model, |name| weights.contains(name));
        let source = weights.tensor(names.source, &[model.source_vocabulary, model.width])?;
        let target_shape = [model.target_vocabulary, model.width];
        let target = if names.target == names.source {
            source.clone()
        } else {
            weights.tensor(names.target, &target_shape)?
        };
        let output = if names.output == names.target {
            target.clone()
        } else {
            weights.tensor(names.output, &target_shape)?
        };
        let encoder = (0..model.encoder.layers)
            .map(|layer| EncoderLayer::load(weights, model, layer))
            .collect::<Result<_, _>>()?;
        let decoder = (0..model.decoder.layers)
            .map(|layer| DecoderLayer::load(weights, model, layer))
            .collect::<Result<_, _>>()?;
        let bias_shape = [1, model.target_vocabulary];
        Ok(Self {
            encoder_entrance: Entrance::load(weights, "encoder", source, model)?,
            decoder_entrance: Entrance::load(weights, "decoder", target, model)?,
            encoder,
            decoder,
            encoder_norm: last_norm(weights, "encoder", model)?,
            decoder_norm: last_norm(weights, "decoder", model)?,
            output: output.t()?,
            output_bias: match model.has_output_bias {
                true => weights.optional("final_logits_bias", &bias_shape)?,
                false => None,
            },
            architecture,
        })
    }

    /// Encodes sentences of tokens. Shorter ones are filled up and masked.
    fn encode(&self, sentences: &[&[u32]], control: &Control) -> Result<Encoded, EngineError> {
        let longest = sentences.iter().map(|sentence| sentence.len()).max().unwrap_or(0);
        let shape = (sentences.len(), longest);
        let missing = |sentence: &[u32]| longest - sentence.len();
        let filled =
            |sentence: &&[u32]| [sentence, vec![0; missing(sentence)].as_slice()].concat().into_iter();
        let hidden = |sentence: &&[u32]| {
            std::iter::repeat_n(0.0, sentence.len()).chain(std::iter::repeat_n(f32::MIN, missing(sentence)))
        };
        let tokens: Vec<u32> = sentences.iter().flat_map(filled).collect();
        let mask: Vec<f32> = sentences.iter().flat_map(hidden).collect();
        let tokens = Tensor::from_vec(tokens, shape, &Device::Cpu)?;
        let mask = Tensor::from_vec(mask, (sentences.len(), 1, 1, longest), &Device::Cpu)?;
        let mut states = self.encoder_entrance.enter(&tokens, 0)?;
        for layer in &self.encoder {
            control.check()?;
            states = layer.around_attention.around(&states, |states| {
                layer.attention.forward(states, &layer.attention.keys_values(states)?, Some(&mask))
            })?;
            states =
                layer.around_feed_forward.around(&states, |states| layer.feed_forward.forward(states))?;
        }
        let states = normalized(self.encoder_norm.as_ref(), states)?;
        let memory = self
            .decoder
            .iter()
            .map(|layer| layer.cross_attention.keys_values(&states))
            .collect::<candle_core::Result<_>>()?;
        Ok(Encoded { memory, mask })
    }

    /// Feeds one token to each row and gives the logits of the next one, rows x vocabulary. `past` holds, for
    /// each layer, what the rows were fed before, and grows by this token.
    fn decode(
        &self,
        tokens: &[u32],
        position: usize,
        encoded: &Encoded,
        past: &mut [Option<KeysValues>],
        control: &Control,
    ) -> Result<Tensor, EngineError> {
        let tokens = Tensor::from_slice(tokens, (tokens.len(), 1), &Device::Cpu)?;
        let mut states = self.decoder_entrance.enter(&tokens, position)?;
        for ((layer, memory), past) in self.decoder.iter().zip(&encoded.memory).zip(past) {
            control.check()?;
            states = layer.around_attention.around(&states, |states| {
                let own = layer.attention.keys_values(states)?;
                let seen = match past.take() {
                    Some(past) => past.append(&own)?,
                    None => own,
                };
                layer.attention.forward(states, past.insert(seen), None)
            })?;
            states = layer.around_cross_attention.around(&states, |states| {
                layer.cross_attention.forward(states, memory, Some(&encoded.mask))
            })?;
            states =
                layer.around_feed_forward.around(&states, |states| layer.feed_forward.forward(states))?;
        }
        let states = normalized(self.decoder_norm.as_ref(), states)?;
        let logits = states.squeeze(1)?.matmul(&self.output)?;
        Ok(match &self.output_bias {
            Some(bias) => logits.broadcast_add(bias)?,
            None => logits,
        })
    }
}

impl Forward for CandleModel {
    fn cached_number_bytes(&self) -> usize {
        size_of::<f32>()
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

impl Entrance {
    fn load(
        weights: &Weights,
        stack: &str,
        embedding: Tensor,
        model: &Architecture,
    ) -> Result<Self, LoadError> {
        let norm = match model.normalizes_embeddings {
            true => {
                let name = format!("model.{stack}.layernorm_embedding");
                Some(layers::layer_norm(weights, &name, model.width)?)
            }
            false => None,
        };
        Ok(Self {
            embedding: Embedding::new(embedding, model.width),
            scale: f64::from(model.embedding_scale),
            positions: weights
                .table_tensor(&positions::table(weights, stack, model)?, &[model.longest, model.width])?,
            norm,
        })
    }

    /// The states of tokens (rows x positions) of which the first is at `position`.
    fn enter(&self, tokens: &Tensor, position: usize) -> candle_core::Result<Tensor> {
        let embedded = (self.embedding.forward(tokens)? * self.scale)?;
        let positions = self.positions.narrow(0, position, tokens.dim(1)?)?;
        normalized(self.norm.as_ref(), embedded.broadcast_add(&positions)?)
    }
}

fn last_norm(weights: &Weights, stack: &str, model: &Architecture) -> Result<Option<LayerNorm>, LoadError> {
    match model.has_last_norm {
        true => layers::layer_norm(weights, &format!("model.{stack}.layer_norm"), model.width).map(Some),
        false => Ok(None),
    }
}

fn normalized(norm: Option<&LayerNorm>, states: Tensor) -> candle_core::Result<Tensor> {
    match norm {
        Some(norm) => norm.forward(&states),
        None => Ok(states),
    }
}

impl EncoderLayer {
    fn load(weights: &Weights, model: &Architecture, layer: usize) -> Result<Self, LoadError> {
        let prefix = format!("model.encoder.layers.{layer}");
        let Stack { heads, .. } = model.encoder;
        let around = |name: &str| Residual::load(weights, &format!("{prefix}.{name}_layer_norm"), model);
        Ok(Self {
            attention: Attention::load(weights, &format!("{prefix}.self_attn"), model.width, heads)?,
            around_attention: around("self_attn")?,
            feed_forward: FeedForward::load(weights, &prefix, model, model.encoder)?,
            around_feed_forward: around("final")?,
        })
    }
}

impl DecoderLayer {
    fn load(weights: &Weights, model: &Architecture, layer: usize) -> Result<Self, LoadError> {
        let prefix = format!("model.decoder.layers.{layer}");
        let Stack { heads, .. } = model.decoder;
        let attention =
            |name: &str| Attention::load(weights, &format!("{prefix}.{name}"), model.width, heads);
        let around = |name: &str| Residual::load(weights, &format!("{prefix}.{name}_layer_norm"), model);
        Ok(Self {
            attention: attention("self_attn")?,
            around_attention: around("self_attn")?,
            cross_attention: attention("encoder_attn")?,
            around_cross_attention: around("encoder_attn")?,
            feed_forward: FeedForward::load(weights, &prefix, model, model.decoder)?,
            around_feed_forward: around("final")?,
        })
    }
}
