//! `config.json`: the sizes of the model.

use serde::Deserialize;

use crate::error::LoadError;
use crate::files;

const FILE: &str = files::CONFIG;

/// The epsilon of every layer norm of Whisper, PyTorch's default.
pub(super) const NORM_EPSILON: f32 = 1e-5;
/// The output projection where it is a tensor of its own.
pub(super) const OUTPUT_PROJECTION: &str = "proj_out.weight";

/// The sizes of a Whisper model, checked against each other.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ModelConfig {
    /// Width of every layer.
    pub(super) d_model: usize,
    /// The encoder's stack.
    pub(super) encoder: StackConfig,
    /// The decoder's stack.
    pub(super) decoder: StackConfig,
    /// Number of token ids, timestamps included.
    pub(super) vocab_size: usize,
    /// Bands of the log-mel spectrogram: 80, or 128 from large-v3 on.
    pub(super) num_mel_bins: usize,
    /// Encoder positions, half the mel frames of a window: 1,500.
    pub(super) max_source_positions: usize,
    /// Decoder positions: 448.
    pub(super) max_target_positions: usize,
    /// Whether the output projection is the token embedding; every OpenAI model ties them.
    pub(super) tied_embeddings: bool,
    /// Frames whose median smooths attention weights before words are placed in time; odd.
    pub(super) median_filter_width: usize,
    /// The lists of `config.json` that hold where `generation_config.json` has none.
    pub(super) defaults: GenerationDefaults,
}

/// One of the two stacks of layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StackConfig {
    /// Number of layers.
    pub(super) layers: usize,
    /// Attention heads of a layer.
    pub(super) heads: usize,
    /// Width of the feed-forward part.
    pub(super) feed_forward: usize,
}

/// What older repositories keep in `config.json` instead of `generation_config.json`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct GenerationDefaults {
    /// Tokens never chosen.
    pub(super) suppress_tokens: Option<Vec<u32>>,
    /// Tokens never chosen first.
    pub(super) begin_suppress_tokens: Option<Vec<u32>>,
}

#[derive(Deserialize)]
struct RawConfig {
    model_type: Option<String>,
    d_model: usize,
    encoder_layers: usize,
    encoder_attention_heads: usize,
    encoder_ffn_dim: usize,
    decoder_layers: usize,
    decoder_attention_heads: usize,
    decoder_ffn_dim: usize,
    vocab_size: usize,
    num_mel_bins: usize,
    max_source_positions: usize,
    max_target_positions: usize,
    activation_function: Option<String>,
    tie_word_embeddings: Option<bool>,
    median_filter_width: Option<usize>,
    suppress_tokens: Option<Vec<u32>>,
    begin_suppress_tokens: Option<Vec<u32>>,
}

/// Sizes above these are no Whisper: the bound keeps products of sizes far from overflowing.
const LARGEST: [(&str, usize); 8] = [
    ("d_model", 16_384),
    ("encoder_layers", 512),
    ("decoder_layers", 512),
    ("encoder_ffn_dim", 131_072),
    ("decoder_ffn_dim", 131_072),
    ("vocab_size", 1_000_000),
    ("num_mel_bins", 1_024),
    ("max_source_positions", 100_000),
];

impl ModelConfig {
    /// Reads and checks `config.json`.
    ///
    /// # Errors
    /// [`LoadError`] naming the field that is absent, out of range or of another kind of model.
    pub(super) fn parse(json: &[u8]) -> Result<Self, LoadError> {
        let raw: RawConfig =
            serde_json::from_slice(json).map_err(|error| LoadError::corrupted(FILE, error))?;
        if let Some(kind) = raw.model_type.as_deref().filter(|kind| *kind != "whisper") {
            return Err(incompatible(FILE, "model_type", format!("is {kind:?}, not \"whisper\"")));
        }
        if let Some(function) = raw.activation_function.as_deref().filter(|function| *function != "gelu") {
            return Err(incompatible(
                FILE,
                "activation_function",
                format!("is {function:?}; \"gelu\" is the one that Whisper has"),
            ));
        }
        check_sizes(&raw)?;
        for (field, heads) in [
            ("encoder_attention_heads", raw.encoder_attention_heads),
            ("decoder_attention_heads", raw.decoder_attention_heads),
        ] {
            if heads == 0 || !raw.d_model.is_multiple_of(heads) {
                return Err(incompatible(
                    FILE,
                    field,
                    format!("is {heads}; it must divide d_model, {}", raw.d_model),
                ));
            }
        }
        Ok(Self {
            d_model: raw.d_model,
            encoder: StackConfig {
                layers: raw.encoder_layers,
                heads: raw.encoder_attention_heads,
                feed_forward: raw.encoder_ffn_dim,
            },
            decoder: StackConfig {
                layers: raw.decoder_layers,
                heads: raw.decoder_attention_heads,
                feed_forward: raw.decoder_ffn_dim,
            },
            vocab_size: raw.vocab_size,
            num_mel_bins: raw.num_mel_bins,
            max_source_positions: raw.max_source_positions,
            max_target_positions: raw.max_target_positions,
            tied_embeddings: raw.tie_word_embeddings.unwrap_or(true),
            median_filter_width: median_filter_width(raw.median_filter_width)?,
            defaults: GenerationDefaults {
                suppress_tokens: raw.suppress_tokens,
                begin_suppress_tokens: raw.begin_suppress_tokens,
            },
        })
    }

    /// Mel frames of one window: the second convolution halves them.
    #[must_use]
    pub(super) fn window_frames(&self) -> usize {
        2 * self.max_source_positions
    }
}

/// The median filter of every published model, for repositories that do not say.
const MEDIAN_FILTER_WIDTH: usize = 7;

fn median_filter_width(width: Option<usize>) -> Result<usize, LoadError> {
    let width = width.unwrap_or(MEDIAN_FILTER_WIDTH);
    if width.is_multiple_of(2) || width > 99 {
        return Err(incompatible(
            FILE,
            "median_filter_width",
            format!("is {width}; it must be odd, 1 to 99"),
        ));
    }
    Ok(width)
}

/// The error of a field that no Whisper model has so.
pub(super) fn incompatible(file: &str, field: &str, message: impl std::fmt::Display) -> LoadError {
    LoadError::Incompatible(format!("{file}: {field} {message}"))
}

fn check_sizes(raw: &RawConfig) -> Result<(), LoadError> {
    let sizes = [
        raw.d_model,
        raw.encoder_layers,
        raw.decoder_layers,
        raw.encoder_ffn_dim,
        raw.decoder_ffn_dim,
        raw.vocab_size,
        raw.num_mel_bins,
        raw.max_source_positions,
    ];
    for ((field, largest), size) in LARGEST.into_iter().zip(sizes) {
        if size == 0 || size > largest {
            return Err(incompatible(FILE, field, format!("is {size}; it must be 1 to {largest}")));
        }
    }
    // A prompt takes half of the positions, so fewer than this leaves no room for text.
    if !(32..=100_000).contains(&raw.max_target_positions) {
        return Err(incompatible(
            FILE,
            "max_target_positions",
            format!("is {}; it must be 32 to 100000", raw.max_target_positions),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TINY: &str = r#"{"model_type": "whisper", "d_model": 8, "encoder_layers": 1, "encoder_attention_heads": 2,
        "encoder_ffn_dim": 16, "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 16,
        "vocab_size": 100, "num_mel_bins": 80, "max_source_positions": 1500, "max_target_positions": 448}"#;

    #[test]
    fn a_plain_config_is_read() {
        let config = ModelConfig::parse(TINY.as_bytes()).expect("valid");
        assert_eq!((config.d_model, config.window_frames(), config.tied_embeddings), (8, 3000, true));
    }

    #[test]
    fn what_is_no_whisper_is_refused_by_name() {
        for (from, to, words) in [
            ("\"whisper\"", "\"bert\"", "model_type is \"bert\""),
            ("\"d_model\": 8", "\"d_model\": 0", "d_model is 0"),
            ("\"encoder_attention_heads\": 2", "\"encoder_attention_heads\": 3", "must divide d_model, 8"),
            (
                "\"encoder_attention_heads\": 2",
                "\"encoder_attention_heads\": 0",
                "encoder_attention_heads is 0",
            ),
            ("\"vocab_size\": 100", "\"vocab_size\": 99999999999", "vocab_size is 99999999999"),
            ("\"max_target_positions\": 448", "\"max_target_positions\": 1", "max_target_positions is 1"),
            ("\"vocab_size\": 100,", "", "missing field `vocab_size`"),
        ] {
            let error = ModelConfig::parse(TINY.replace(from, to).as_bytes()).expect_err(words);
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
