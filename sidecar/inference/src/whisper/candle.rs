//! The forward pass on candle's tensors, in float32: what the kernels are compared with.

mod decoder;
mod encoder;
mod layers;

use candle_core::{Device, Tensor};
use ostler_kernels::Team;

use self::decoder::{CrossMemory, Decoder, DecoderState};
use self::encoder::Encoder;
use super::config::ModelConfig;
use super::forward::{AlignmentHead, Forward, Session};
use crate::engine::{Control, EngineError};
use crate::error::LoadError;
use crate::weights::Weights;

/// Encoder and decoder of a Whisper model.
pub(super) struct CandleForward {
    encoder: Encoder,
    decoder: Decoder,
    config: ModelConfig,
    team: Team,
}

impl CandleForward {
    pub(super) fn load(weights: &Weights, config: &ModelConfig) -> Result<Self, LoadError> {
        Ok(Self {
            encoder: Encoder::load(weights, config)?,
            decoder: Decoder::load(weights, config)?,
            config: config.clone(),
            team: Team::new(1),
        })
    }
}

impl Forward for CandleForward {
    type Memory = CrossMemory;
    type Session<'a> = CandleSession<'a>;

    fn team(&self) -> &Team {
        &self.team
    }

    fn vocabulary(&self) -> usize {
        self.config.vocab_size
    }

    fn window_bytes(&self, rows: usize) -> u64 {
        let config = &self.config;
        let caches = config.max_source_positions + 2 * rows * config.max_target_positions;
        (4 * config.decoder.layers * 2 * config.d_model * caches) as u64
    }

    /// A layer's attention is the peak: the scores of every head, their softmax and the copy that the product takes,
    /// with the states around them.
    fn encode_bytes(&self) -> u64 {
        let config = &self.config;
        let (width, source, bands) = (config.d_model, config.max_source_positions, config.num_mel_bins);
        // The first convolution sees three frames at once for each of its outputs.
        let convolution = 2 * source * (3 * bands.max(width) + 2 * width);
        let attention = 3 * config.encoder.heads * source * source + 8 * source * width;
        let feed_forward = source * (3 * config.encoder.feed_forward + 3 * width);
        (4 * (source * width + convolution.max(attention).max(feed_forward))) as u64
    }

    /// The scores of every head with their copies, and the logits with theirs.
    fn feed_bytes(&self, windows: usize, rows: usize) -> u64 {
        let config = &self.config;
        let (source, target) = (config.max_source_positions, config.max_target_positions);
        let scores = 3 * windows * rows.max(target) * config.decoder.heads * source.max(target);
        (4 * (scores + 4 * windows * rows * config.vocab_size)) as u64
    }

    fn encode(&self, mel: &[f32], control: &Control) -> Result<CrossMemory, EngineError> {
        let states = self.encoder.forward(mel, control)?;
        Ok(self.decoder.remember(&states)?)
    }

    fn session<'a>(
        &'a self,
        memories: &[&'a CrossMemory],
        _positions: usize,
    ) -> Result<CandleSession<'a>, EngineError> {
        Ok(CandleSession { forward: self, memories: memories.to_vec(), state: DecoderState::default() })
    }

    fn align(
        &self,
        memory: &CrossMemory,
        tokens: &[u32],
        heads: &[AlignmentHead],
        control: &Control,
    ) -> Result<Vec<f32>, EngineError> {
        self.decoder.align(memory, tokens, heads, control)
    }
}

/// Rows whose keys and values lie together in one tensor for each layer.
pub(super) struct CandleSession<'a> {
    forward: &'a CandleForward,
    memories: Vec<&'a CrossMemory>,
    state: DecoderState,
}

impl Session for CandleSession<'_> {
    fn feed(
        &mut self,
        tokens: &[&[u32]],
        wanted: &[usize],
        logits: &mut Vec<f32>,
        control: &Control,
    ) -> Result<(), EngineError> {
        let decoder = &self.forward.decoder;
        let states = decoder.forward(tokens, &self.memories, &mut self.state, control)?;
        let wanted: Vec<u32> = wanted.iter().map(|place| *place as u32).collect();
        let states = states.index_select(&Tensor::new(&wanted[..], &Device::Cpu)?, 1)?.flatten(0, 1)?;
        *logits = decoder.logits(&states)?;
        Ok(())
    }

    fn reorder(&mut self, parents: &[usize]) -> Result<(), EngineError> {
        self.memories = select(&self.memories, parents);
        Ok(self.state.reorder(parents)?)
    }

    fn fork(&self, rows: &[usize]) -> Result<Self, EngineError> {
        let mut state = self.state.clone();
        state.reorder(rows)?;
        Ok(Self { forward: self.forward, memories: select(&self.memories, rows), state })
    }
}

fn select<'a>(memories: &[&'a CrossMemory], rows: &[usize]) -> Vec<&'a CrossMemory> {
    rows.iter().filter_map(|row| memories.get(*row).copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::pickle::PicklePolicy;
    use crate::whisper::tests::{MODELS, assert_close, folder, golden, numbers};
    use crate::whisper::{Purpose, files};

    #[test]
    fn the_encoder_computes_what_transformers_does() {
        for model in MODELS {
            let golden = golden(model);
            let config = files::read_capped(&folder(model), files::CONFIG).expect("a config");
            let config = ModelConfig::parse(&config).expect("a config");
            let weights =
                Weights::open(&folder(model), &PicklePolicy::Refused, Purpose::Run).expect("weights");
            let encoder = Encoder::load(&weights, &config).expect("an encoder");
            let mel = crate::whisper::tests::mel(&config);
            let states = encoder.forward(&mel, &Control::default()).expect("states");
            let rows: Vec<Vec<f32>> = states.squeeze(0).expect("a batch").to_vec2().expect("rows");
            let found: Vec<f32> = rows.iter().step_by(11).flatten().copied().collect();
            assert_close(&found, &numbers(&golden["states"]), 1e-3, "states");
        }
    }
}
