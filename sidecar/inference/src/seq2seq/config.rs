//! config.json of each family as the architecture that the computation follows.

use std::path::Path;

use serde::Deserialize;

use super::architecture::{Activation, Architecture, NormPlacement, Positions, Stack};
use crate::error::LoadError;
use crate::files;

fn yes() -> bool {
    true
}

#[derive(Debug, Deserialize)]
struct RawConfig {
    vocab_size: usize,
    decoder_vocab_size: Option<usize>,
    d_model: usize,
    encoder_layers: usize,
    encoder_attention_heads: usize,
    encoder_ffn_dim: usize,
    decoder_layers: usize,
    decoder_attention_heads: usize,
    decoder_ffn_dim: usize,
    max_position_embeddings: usize,
    activation_function: String,
    #[serde(default)]
    scale_embedding: bool,
    #[serde(default = "yes")]
    share_encoder_decoder_embeddings: bool,
    #[serde(default = "yes")]
    tie_word_embeddings: bool,
    #[serde(default)]
    normalize_embedding: bool,
    #[serde(default)]
    normalize_before: bool,
    #[serde(default)]
    add_final_layer_norm: bool,
    #[serde(default = "yes")]
    static_position_embeddings: bool,
}

/// The families, by their `model_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `marian`: opus-mt.
    Marian,
    /// `mbart`: mBART-50.
    Mbart,
    /// `m2m_100`: M2M100 and NLLB.
    M2m100,
}

/// Wide enough for every published model, and small enough that no product of two dimensions overflows.
const MAX_DIMENSION: usize = 1 << 20;
/// The most positions: their table may be computed, so no file bounds it.
const MAX_POSITIONS: usize = 1 << 14;

/// Reads config.json of a model's folder.
///
/// # Errors
/// Where a field is missing, out of range, or asks for what transformers does not compute for this family either.
pub(super) fn read(folder: &Path, family: Family) -> Result<Architecture, LoadError> {
    checked(files::read_json(folder, files::CONFIG)?, family)
}

fn incompatible(message: String) -> LoadError {
    LoadError::Incompatible(format!("{}: {message}", files::CONFIG))
}

fn checked(raw: RawConfig, family: Family) -> Result<Architecture, LoadError> {
    // The families beside Marian have one vocabulary whatever the config says.
    let shares_embeddings = raw.share_encoder_decoder_embeddings || family != Family::Marian;
    let target_vocabulary = raw.decoder_vocab_size.filter(|_| !shares_embeddings).unwrap_or(raw.vocab_size);
    check_dimensions(&raw, target_vocabulary)?;
    if family == Family::Marian {
        check_marian(&raw)?;
    }
    let activation = activation(&raw.activation_function).ok_or_else(|| {
        incompatible(format!("activation_function {:?} is not supported", raw.activation_function))
    })?;
    let is_marian = family == Family::Marian;
    Ok(Architecture {
        width: raw.d_model,
        source_vocabulary: raw.vocab_size,
        target_vocabulary,
        encoder: Stack {
            layers: raw.encoder_layers,
            heads: raw.encoder_attention_heads,
            feed_forward: raw.encoder_ffn_dim,
        },
        decoder: Stack {
            layers: raw.decoder_layers,
            heads: raw.decoder_attention_heads,
            feed_forward: raw.decoder_ffn_dim,
        },
        longest: raw.max_position_embeddings,
        positions: match family {
            Family::Marian => Positions::Sinusoids,
            Family::Mbart => Positions::Learned,
            Family::M2m100 => Positions::OffsetSinusoids,
        },
        norm_placement: if is_marian { NormPlacement::After } else { NormPlacement::Before },
        normalizes_embeddings: family == Family::Mbart,
        has_last_norm: !is_marian,
        activation,
        embedding_scale: if raw.scale_embedding { (raw.d_model as f64).sqrt() as f32 } else { 1.0 },
        shares_embeddings,
        ties_output: raw.tie_word_embeddings,
        has_output_bias: family != Family::M2m100,
    })
}

fn check_dimensions(raw: &RawConfig, target_vocabulary: usize) -> Result<(), LoadError> {
    let dimensions = [
        ("vocab_size", raw.vocab_size),
        ("decoder_vocab_size", target_vocabulary),
        ("d_model", raw.d_model),
        ("encoder_layers", raw.encoder_layers),
        ("encoder_attention_heads", raw.encoder_attention_heads),
        ("encoder_ffn_dim", raw.encoder_ffn_dim),
        ("decoder_layers", raw.decoder_layers),
        ("decoder_attention_heads", raw.decoder_attention_heads),
        ("decoder_ffn_dim", raw.decoder_ffn_dim),
    ];
    for (field, value) in dimensions {
        if !(1..=MAX_DIMENSION).contains(&value) {
            return Err(incompatible(format!("{field} is {value}, it must be 1 to {MAX_DIMENSION}")));
        }
    }
    if !(2..=MAX_POSITIONS).contains(&raw.max_position_embeddings) {
        let value = raw.max_position_embeddings;
        return Err(incompatible(format!(
            "max_position_embeddings is {value}, it must be 2 to {MAX_POSITIONS}"
        )));
    }
    let heads = [
        ("encoder_attention_heads", raw.encoder_attention_heads),
        ("decoder_attention_heads", raw.decoder_attention_heads),
    ];
    for (field, value) in heads {
        if !raw.d_model.is_multiple_of(value) {
            return Err(incompatible(format!("d_model is {}, no multiple of {field} {value}", raw.d_model)));
        }
    }
    Ok(())
}

/// Marian's own training code knows these switches; transformers' Marian computes one setting of each.
fn check_marian(raw: &RawConfig) -> Result<(), LoadError> {
    let unsupported = [
        ("normalize_embedding", raw.normalize_embedding, false),
        ("normalize_before", raw.normalize_before, false),
        ("add_final_layer_norm", raw.add_final_layer_norm, false),
        ("static_position_embeddings", raw.static_position_embeddings, true),
    ];
    match unsupported.into_iter().find(|(_, value, supported)| value != supported) {
        None => Ok(()),
        Some((field, value, _)) => Err(incompatible(format!("{field}: {value} is not supported for marian"))),
    }
}

/// The activations that transformers knows by these names (`ACT2FN`).
fn activation(name: &str) -> Option<Activation> {
    Some(match name {
        "gelu" | "gelu_python" => Activation::Gelu,
        "gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" => Activation::GeluTanh,
        "relu" => Activation::Relu,
        "relu6" => Activation::Relu6,
        "silu" | "swish" => Activation::Silu,
        "sigmoid" => Activation::Sigmoid,
        "mish" => Activation::Mish,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json() -> serde_json::Value {
        serde_json::json!({
            "vocab_size": 10, "decoder_vocab_size": 12, "d_model": 8,
            "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 16,
            "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 16,
            "max_position_embeddings": 16, "activation_function": "swish",
        })
    }

    fn checked(json: serde_json::Value) -> Result<Architecture, LoadError> {
        super::checked(serde_json::from_value(json).unwrap(), Family::Marian)
    }

    #[test]
    fn the_families_differ_in_where_they_normalise_and_count_positions() {
        let of = |family| super::checked(serde_json::from_value(json()).unwrap(), family).unwrap();
        let (marian, mbart, m2m100) = (of(Family::Marian), of(Family::Mbart), of(Family::M2m100));
        assert_eq!((marian.norm_placement, marian.has_last_norm), (NormPlacement::After, false));
        assert_eq!((mbart.norm_placement, mbart.has_last_norm), (NormPlacement::Before, true));
        assert!(mbart.normalizes_embeddings && !m2m100.normalizes_embeddings);
        assert_eq!(mbart.positions, Positions::Learned);
        assert_eq!(m2m100.positions, Positions::OffsetSinusoids);
        assert_eq!(m2m100.target_vocabulary, 10);
    }

    #[test]
    fn the_decoder_has_its_own_vocabulary_only_where_embeddings_are_apart() {
        let mut json = json();
        assert_eq!(checked(json.clone()).unwrap().target_vocabulary, 10);
        json["share_encoder_decoder_embeddings"] = false.into();
        assert_eq!(checked(json).unwrap().target_vocabulary, 12);
    }

    #[test]
    fn what_cannot_be_computed_is_refused_by_the_name_of_its_field() {
        let cases: [(&str, serde_json::Value); 8] = [
            ("normalize_embedding", true.into()),
            ("normalize_before", true.into()),
            ("add_final_layer_norm", true.into()),
            ("static_position_embeddings", false.into()),
            ("activation_function", "softsign".into()),
            ("d_model", 0.into()),
            ("encoder_attention_heads", 3.into()),
            ("max_position_embeddings", 100_000_000.into()),
        ];
        for (field, value) in cases {
            let mut json = json();
            json[field] = value;
            let error = checked(json).unwrap_err();
            assert_eq!(error.reason(), "Incompatible");
            assert!(error.to_string().contains(field), "{error}");
        }
    }
}
