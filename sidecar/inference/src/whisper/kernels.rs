//! The forward pass on our own kernels: float32, bfloat16 and bytes on a processor.
//!
//! A row's numbers follow from that row alone, bit for bit: not from the windows and beams beside it, nor from the
//! number of threads.

mod decoder;
mod encoder;
mod layer_weights;
mod session;
mod step;

use std::sync::Arc;

use ostler_kernels::Team;

use self::decoder::{Decoder, WindowMemory};
use self::encoder::Encoder;
use self::session::KernelSession;
use super::config::ModelConfig;
use super::forward::{AlignmentHead, Forward};
use crate::engine::{Control, EngineError};
use crate::error::LoadError;
use crate::processor::{Precision, Processor};
use crate::weights::Weights;

/// Encoder and decoder of a Whisper model, packed.
pub(super) struct KernelForward {
    processor: Arc<Processor>,
    encoder: Encoder,
    decoder: Decoder,
}

impl KernelForward {
    pub(super) fn load(
        weights: &Weights,
        config: &ModelConfig,
        precision: Precision,
        processor: &Arc<Processor>,
    ) -> Result<Self, LoadError> {
        let kernels = processor.kernels();
        Ok(Self {
            encoder: Encoder::load(weights, config, kernels, precision)?,
            decoder: Decoder::load(weights, config, kernels, precision)?,
            processor: Arc::clone(processor),
        })
    }
}

impl Forward for KernelForward {
    type Memory = WindowMemory;
    type Session<'a> = KernelSession<'a>;

    fn team(&self) -> &Team {
        self.processor.team()
    }

    fn vocabulary(&self) -> usize {
        self.decoder.vocabulary()
    }

    fn window_bytes(&self, rows: usize) -> u64 {
        self.decoder.window_bytes(rows)
    }

    fn encode_bytes(&self) -> u64 {
        self.encoder.scratch_bytes(self.processor.team().threads())
    }

    fn feed_bytes(&self, windows: usize, rows: usize) -> u64 {
        session::scratch_bytes(&self.decoder, self.processor.team().threads(), windows, rows)
    }

    fn encode(&self, mel: &[f32], control: &Control) -> Result<WindowMemory, EngineError> {
        let lanes = self.processor.team().enter();
        let states = self.encoder.forward(&lanes, mel, control)?;
        self.decoder.remember(&lanes, &states, control)
    }

    fn session<'a>(
        &'a self,
        memories: &[&'a WindowMemory],
        positions: usize,
    ) -> Result<KernelSession<'a>, EngineError> {
        Ok(KernelSession::new(&self.decoder, self.processor.team(), memories, positions))
    }

    fn align(
        &self,
        memory: &WindowMemory,
        tokens: &[u32],
        heads: &[AlignmentHead],
        control: &Control,
    ) -> Result<Vec<f32>, EngineError> {
        KernelSession::new(&self.decoder, self.processor.team(), &[memory], tokens.len())
            .align(tokens, heads, control)
    }
}

#[cfg(test)]
mod tests;
