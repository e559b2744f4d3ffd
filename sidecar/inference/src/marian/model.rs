//! Marian's encoder and decoder, as transformers' `MarianMTModel` computes them.

use candle_core::{Device, Tensor};
use candle_nn::{Embedding, Module};

use super::config::{Config, Stack};
use super::layers::{Attention, FeedForward, KeysValues};
use crate::engine::{Control, EngineError};
use crate::error::LoadError;
use crate::weights::Weights;

struct EncoderLayer {
    attention: Attention,
    feed_forward: FeedForward,
}

struct DecoderLayer {
    attention: Attention,
    cross_attention: Attention,
    feed_forward: FeedForward,
}

/// The weights of a model.
pub(super) struct Model {
    pub(super) config: Config,
    source_embedding: Embedding,
    target_embedding: Embedding,
    encoder_positions: Tensor,
    decoder_positions: Tensor,
    encoder: Vec<EncoderLayer>,
    decoder: Vec<DecoderLayer>,
    /// Width x vocabulary of the target.
    output: Tensor,
    output_bias: Option<Tensor>,
}

/// What the encoder made of a batch of sentences.
pub(super) struct Encoded {
    /// For each decoder layer what its cross-attention sees; one row a sentence.
    pub(super) memory: Vec<KeysValues>,
    /// Sentences x 1 x 1 x positions: 0 where there is a token, the least number where there is none.
    pub(super) mask: Tensor,
}

/// The names of tensors that transformers computes itself, and of further copies of tied ones.
pub(super) fn is_ignorable(name: &str) -> bool {
    let is_embedding = name.ends_with(".embed_tokens.weight") || name == "model.shared.weight";
    is_embedding || name == "lm_head.weight" || name.ends_with(".embed_positions.weight")
}

impl Model {
    pub(super) fn load(weights: &Weights, config: Config) -> Result<Self, LoadError> {
        let width = config.width;
        let embeddings = Embeddings::load(weights, &config)?;
        let encoder = (0..config.encoder.layers)
            .map(|layer| EncoderLayer::load(weights, &config, layer))
            .collect::<Result<_, _>>()?;
        let decoder = (0..config.decoder.layers)
            .map(|layer| DecoderLayer::load(weights, &config, layer))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            source_embedding: Embedding::new(embeddings.source, width),
            target_embedding: Embedding::new(embeddings.target, width),
            encoder_positions: positions(weights, "model.encoder.embed_positions.weight", &config)?,
            decoder_positions: positions(weights, "model.decoder.embed_positions.weight", &config)?,
            encoder,
            decoder,
            output: embeddings.output.t()?,
            output_bias: weights.optional("final_logits_bias", &[1, config.target_vocabulary])?,
            config,
        })
    }

    /// Encodes sentences of tokens. Shorter ones are filled up with `pad` and masked.
    pub(super) fn encode(
        &self,
        sentences: &[Vec<u32>],
        pad: u32,
        control: &Control,
    ) -> Result<Encoded, EngineError> {
        let longest = sentences.iter().map(Vec::len).max().unwrap_or(0);
        let shape = (sentences.len(), longest);
        let filled = |sentence: &Vec<u32>| {
            let missing = longest - sentence.len();
            sentence.iter().copied().chain(std::iter::repeat_n(pad, missing)).collect::<Vec<_>>()
        };
        let hidden = |sentence: &Vec<u32>| {
            let missing = longest - sentence.len();
            std::iter::repeat_n(0.0, sentence.len()).chain(std::iter::repeat_n(f32::MIN, missing))
        };
        let tokens: Vec<u32> = sentences.iter().flat_map(filled).collect();
        let mask: Vec<f32> = sentences.iter().flat_map(hidden).collect();
        let tokens = Tensor::from_vec(tokens, shape, &Device::Cpu)?;
        let mask = Tensor::from_vec(mask, (sentences.len(), 1, 1, longest), &Device::Cpu)?;
        let embedded = (self.source_embedding.forward(&tokens)? * self.config.embedding_scale)?;
        let mut states = embedded.broadcast_add(&self.encoder_positions.narrow(0, 0, longest)?)?;
        for layer in &self.encoder {
            control.check()?;
            let memory = layer.attention.keys_values(&states)?;
            states = layer.attention.forward(&states, &memory, Some(&mask))?;
            states = layer.feed_forward.forward(&states)?;
        }
        let memory = self
            .decoder
            .iter()
            .map(|layer| layer.cross_attention.keys_values(&states))
            .collect::<candle_core::Result<_>>()?;
        Ok(Encoded { memory, mask })
    }

    /// Feeds one token to each row and gives the logits of the next one, rows x vocabulary. `past` holds, for
    /// each layer, what the rows were fed before, and grows by this token.
    pub(super) fn decode(
        &self,
        tokens: &[u32],
        position: usize,
        encoded: &Encoded,
        past: &mut [Option<KeysValues>],
        control: &Control,
    ) -> Result<Tensor, EngineError> {
        let tokens = Tensor::from_slice(tokens, (tokens.len(), 1), &Device::Cpu)?;
        let embedded = (self.target_embedding.forward(&tokens)? * self.config.embedding_scale)?;
        let mut states = embedded.broadcast_add(&self.decoder_positions.narrow(0, position, 1)?)?;
        for ((layer, memory), past) in self.decoder.iter().zip(&encoded.memory).zip(past) {
            control.check()?;
            let mut seen = layer.attention.keys_values(&states)?;
            if let Some(past) = past {
                seen = past.append(&seen)?;
            }
            states = layer.attention.forward(&states, &seen, None)?;
            states = layer.cross_attention.forward(&states, memory, Some(&encoded.mask))?;
            states = layer.feed_forward.forward(&states)?;
            *past = Some(seen);
        }
        let logits = states.squeeze(1)?.matmul(&self.output)?;
        Ok(match &self.output_bias {
            Some(bias) => logits.broadcast_add(bias)?,
            None => logits,
        })
    }
}

impl EncoderLayer {
    fn load(weights: &Weights, config: &Config, layer: usize) -> Result<Self, LoadError> {
        let prefix = format!("model.encoder.layers.{layer}");
        let Stack { heads, .. } = config.encoder;
        Ok(Self {
            attention: Attention::load(weights, &prefix, "self_attn", config.width, heads)?,
            feed_forward: FeedForward::load(weights, &prefix, config, config.encoder)?,
        })
    }
}

impl DecoderLayer {
    fn load(weights: &Weights, config: &Config, layer: usize) -> Result<Self, LoadError> {
        let prefix = format!("model.decoder.layers.{layer}");
        let Stack { heads, .. } = config.decoder;
        Ok(Self {
            attention: Attention::load(weights, &prefix, "self_attn", config.width, heads)?,
            cross_attention: Attention::load(weights, &prefix, "encoder_attn", config.width, heads)?,
            feed_forward: FeedForward::load(weights, &prefix, config, config.decoder)?,
        })
    }
}

/// The three places of embeddings, which are one tensor in most models.
struct Embeddings {
    source: Tensor,
    target: Tensor,
    /// Vocabulary of the target x width.
    output: Tensor,
}

impl Embeddings {
    /// Takes each tensor once, by the first of its names that the files have: which of the names of a tied
    /// tensor are written differs between versions of transformers.
    fn load(weights: &Weights, config: &Config) -> Result<Self, LoadError> {
        let shared = "model.shared.weight";
        let source = "model.encoder.embed_tokens.weight";
        let target = "model.decoder.embed_tokens.weight";
        let head = "lm_head.weight";
        let source_shape = [config.source_vocabulary, config.width];
        let target_shape = [config.target_vocabulary, config.width];
        match (config.shares_embeddings, config.ties_output) {
            (true, true) => {
                let one = first_of(weights, &[shared, source, target, head], &source_shape)?;
                Ok(Self { source: one.clone(), target: one.clone(), output: one })
            }
            // Nothing is tied then, although the config says shared: each has its own where the file has it.
            (true, false) => {
                let output = weights.tensor(head, &target_shape)?;
                let source_weight = first_of(weights, &[source, shared], &source_shape)?;
                let target_weight = if weights.contains(target) {
                    weights.tensor(target, &target_shape)?
                } else {
                    source_weight.clone()
                };
                Ok(Self { source: source_weight, target: target_weight, output })
            }
            (false, true) => {
                let target_weight = first_of(weights, &[target, head], &target_shape)?;
                let source = weights.tensor(source, &source_shape)?;
                Ok(Self { source, target: target_weight.clone(), output: target_weight })
            }
            (false, false) => Ok(Self {
                source: weights.tensor(source, &source_shape)?,
                target: weights.tensor(target, &target_shape)?,
                output: weights.tensor(head, &target_shape)?,
            }),
        }
    }
}

/// The first of several names of one tensor that the files have.
fn first_of(weights: &Weights, names: &[&str], shape: &[usize]) -> Result<Tensor, LoadError> {
    let name = names.iter().find(|name| weights.contains(name)).or(names.first());
    weights.tensor(name.copied().unwrap_or_default(), shape)
}

/// The table of positions: the file's, where it has one, else computed.
fn positions(weights: &Weights, name: &str, config: &Config) -> Result<Tensor, LoadError> {
    let shape = [config.positions, config.width];
    match weights.optional(name, &shape)? {
        Some(table) => Ok(table),
        None => weights.computed(&shape, || sinusoids(config.positions, config.width)),
    }
}

/// Positions x width: for position p and pair i of dimensions, the sine of p / 10000^(2i / width) in the first
/// half and the cosine in the second ("Attention is all you need", 3.5, without interleaving, as XLM has it).
fn sinusoids(positions: usize, width: usize) -> Vec<f32> {
    let angle =
        |position: usize, pair: usize| position as f64 / 10_000f64.powf(2.0 * pair as f64 / width as f64);
    let sines = width.div_ceil(2);
    (0..positions)
        .flat_map(|position| {
            let sine = (0..sines).map(move |pair| angle(position, pair).sin() as f32);
            sine.chain((0..width - sines).map(move |pair| angle(position, pair).cos() as f32))
        })
        .collect()
}
