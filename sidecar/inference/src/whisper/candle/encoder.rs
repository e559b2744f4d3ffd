//! The encoder: a window's log-mel spectrogram to one state for every 20 ms.

use candle_core::{Device, Module, Tensor};
use candle_nn::{Conv1d, Conv1dConfig, LayerNorm};

use super::layers::{Attention, FeedForward, norm};
use crate::engine::{Control, EngineError};
use crate::error::LoadError;
use crate::weights::Weights;
use crate::whisper::config::ModelConfig;

pub(super) struct Encoder {
    first: Conv1d,
    second: Conv1d,
    positions: Tensor,
    layers: Vec<EncoderLayer>,
    norm: LayerNorm,
    bands: usize,
}

struct EncoderLayer {
    attention_norm: LayerNorm,
    attention: Attention,
    feed_forward_norm: LayerNorm,
    feed_forward: FeedForward,
}

impl Encoder {
    pub(super) fn load(weights: &Weights, config: &ModelConfig) -> Result<Self, LoadError> {
        let width = config.d_model;
        let convolution = |name: &str, inputs: usize, stride: usize| -> Result<Conv1d, LoadError> {
            let weight = weights.tensor(&format!("model.encoder.{name}.weight"), &[width, inputs, 3])?;
            let bias = weights.tensor(&format!("model.encoder.{name}.bias"), &[width])?;
            Ok(Conv1d::new(weight, Some(bias), Conv1dConfig { padding: 1, stride, ..Default::default() }))
        };
        let first = convolution("conv1", config.num_mel_bins, 1)?;
        let second = convolution("conv2", width, 2)?;
        let positions =
            weights.tensor("model.encoder.embed_positions.weight", &[config.max_source_positions, width])?;
        let layers = (0..config.encoder.layers)
            .map(|layer| {
                let name = format!("model.encoder.layers.{layer}");
                Ok(EncoderLayer {
                    attention_norm: norm(weights, &format!("{name}.self_attn_layer_norm"), width)?,
                    attention: Attention::load(
                        weights,
                        &format!("{name}.self_attn"),
                        width,
                        config.encoder.heads,
                    )?,
                    feed_forward_norm: norm(weights, &format!("{name}.final_layer_norm"), width)?,
                    feed_forward: FeedForward::load(weights, &name, width, config.encoder.feed_forward)?,
                })
            })
            .collect::<Result<Vec<_>, LoadError>>()?;
        let norm = norm(weights, "model.encoder.layer_norm", width)?;
        Ok(Self { first, second, positions, layers, norm, bands: config.num_mel_bins })
    }

    /// The states `[1, frames / 2, width]` of a log-mel spectrogram of an even number of frames, band by band.
    /// A window has as many frames as the model has positions for; the canary has fewer.
    pub(super) fn forward(&self, mel: &[f32], control: &Control) -> Result<Tensor, EngineError> {
        let frames = mel.len() / self.bands;
        let mel = Tensor::from_slice(mel, (1, self.bands, frames), &Device::Cpu)?;
        let states = self.first.forward(&mel)?.gelu_erf()?;
        let states = self.second.forward(&states)?.gelu_erf()?;
        let positions = self.positions.narrow(0, 0, frames / 2)?;
        let mut states = states.transpose(1, 2)?.contiguous()?.broadcast_add(&positions)?;
        for layer in &self.layers {
            control.check()?;
            states = layer.forward(&states)?;
        }
        Ok(self.norm.forward(&states)?)
    }
}

impl EncoderLayer {
    fn forward(&self, states: &Tensor) -> candle_core::Result<Tensor> {
        let normed = self.attention_norm.forward(states)?;
        let memory = self.attention.key_values(&normed)?;
        let states = (states + self.attention.attend(&normed, &memory, None)?)?;
        let normed = self.feed_forward_norm.forward(&states)?;
        &states + self.feed_forward.forward(&normed)?
    }
}
