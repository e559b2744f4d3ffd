//! The packed weights of the blocks of a layer.

use ostler_kernels::{Format, Kernels, LayerNorm, Linear};

use super::Source;
use crate::error::LoadError;
use crate::seq2seq::architecture::{self, Architecture, Stack};
use crate::weights::Part;

/// Self-attention.
pub(super) struct SelfAttention {
    pub(super) query: Linear,
    /// Keys and values side by side: they go into the cache as they come out.
    pub(super) key_value: Linear,
    pub(super) out: Linear,
    pub(super) norm: LayerNorm,
}

/// Attention to what the encoder made of a sentence.
pub(super) struct CrossAttention {
    pub(super) query: Linear,
    /// Of the encoder's states: keys and values side by side.
    pub(super) key_value: Linear,
    pub(super) out: Linear,
    pub(super) norm: LayerNorm,
}

/// Two linear layers with the activation between.
pub(super) struct FeedForward {
    pub(super) widen: Linear,
    pub(super) activation: Activation,
    pub(super) narrow: Linear,
    pub(super) norm: LayerNorm,
}

pub(super) struct EncoderLayer {
    pub(super) attention: SelfAttention,
    pub(super) feed_forward: FeedForward,
}

pub(super) struct DecoderLayer {
    pub(super) attention: SelfAttention,
    pub(super) cross_attention: CrossAttention,
    pub(super) feed_forward: FeedForward,
}

/// An activation: one of the kernels', or number by number.
#[derive(Clone, Copy)]
pub(super) enum Activation {
    Rows(ostler_kernels::Activation),
    Numbers(fn(f32) -> f32),
}

impl Activation {
    pub(super) fn of(activation: architecture::Activation) -> Self {
        match activation {
            architecture::Activation::Gelu => Self::Rows(ostler_kernels::Activation::Gelu),
            architecture::Activation::Silu => Self::Rows(ostler_kernels::Activation::Silu),
            architecture::Activation::Relu => Self::Rows(ostler_kernels::Activation::Relu),
            architecture::Activation::GeluTanh => Self::Numbers(|number| {
                let inner = (2.0 / std::f32::consts::PI).sqrt() * (number + 0.044_715 * number.powi(3));
                0.5 * number * (1.0 + inner.tanh())
            }),
            architecture::Activation::Relu6 => Self::Numbers(|number| number.clamp(0.0, 6.0)),
            architecture::Activation::Sigmoid => Self::Numbers(|number| 1.0 / (1.0 + (-number).exp())),
            architecture::Activation::Mish => Self::Numbers(|number| number * number.exp().ln_1p().tanh()),
        }
    }

    pub(super) fn apply(self, kernels: Kernels, row: &mut [f32]) {
        match self {
            Self::Rows(activation) => kernels.activate(activation, row),
            Self::Numbers(function) => row.iter_mut().for_each(|number| *number = function(*number)),
        }
    }
}

impl Source<'_> {
    /// Linear layers that take the same rows, their outputs side by side.
    fn linear(
        &self,
        names: &[String],
        outputs: usize,
        inputs: usize,
        format: Format,
    ) -> Result<Linear, LoadError> {
        let part = |name: &String| Part { name: name.clone(), outputs, has_bias: true };
        let parts: Vec<Part> = names.iter().map(part).collect();
        self.weights.linear(self.kernels, format, &parts, inputs)
    }
}

impl SelfAttention {
    fn load(source: &Source<'_>, prefix: &str, width: usize, format: Format) -> Result<Self, LoadError> {
        let of = |part: &str| format!("{prefix}.self_attn.{part}");
        Ok(Self {
            query: source.linear(&[of("q_proj")], width, width, format)?,
            key_value: source.linear(&[of("k_proj"), of("v_proj")], width, width, format)?,
            out: source.linear(&[of("out_proj")], width, width, format)?,
            norm: source.norm(&format!("{prefix}.self_attn_layer_norm"), width)?,
        })
    }
}

impl CrossAttention {
    fn load(source: &Source<'_>, prefix: &str, width: usize, format: Format) -> Result<Self, LoadError> {
        let of = |part: &str| format!("{prefix}.encoder_attn.{part}");
        Ok(Self {
            query: source.linear(&[of("q_proj")], width, width, format)?,
            key_value: source.linear(&[of("k_proj"), of("v_proj")], width, width, format)?,
            out: source.linear(&[of("out_proj")], width, width, format)?,
            norm: source.norm(&format!("{prefix}.encoder_attn_layer_norm"), width)?,
        })
    }
}

impl FeedForward {
    fn load(
        source: &Source<'_>,
        prefix: &str,
        model: &Architecture,
        stack: Stack,
        format: Format,
    ) -> Result<Self, LoadError> {
        let (width, inner) = (model.width, stack.feed_forward);
        Ok(Self {
            widen: source.linear(&[format!("{prefix}.fc1")], inner, width, format)?,
            activation: Activation::of(model.activation),
            narrow: source.linear(&[format!("{prefix}.fc2")], width, inner, format)?,
            norm: source.norm(&format!("{prefix}.final_layer_norm"), width)?,
        })
    }
}

impl EncoderLayer {
    pub(super) fn load(
        source: &Source<'_>,
        model: &Architecture,
        layer: usize,
        format: Format,
    ) -> Result<Self, LoadError> {
        let prefix = format!("model.encoder.layers.{layer}");
        Ok(Self {
            attention: SelfAttention::load(source, &prefix, model.width, format)?,
            feed_forward: FeedForward::load(source, &prefix, model, model.encoder, format)?,
        })
    }
}

impl DecoderLayer {
    pub(super) fn load(
        source: &Source<'_>,
        model: &Architecture,
        layer: usize,
        format: Format,
    ) -> Result<Self, LoadError> {
        let prefix = format!("model.decoder.layers.{layer}");
        Ok(Self {
            attention: SelfAttention::load(source, &prefix, model.width, format)?,
            cross_attention: CrossAttention::load(source, &prefix, model.width, format)?,
            feed_forward: FeedForward::load(source, &prefix, model, model.decoder, format)?,
        })
    }
}
