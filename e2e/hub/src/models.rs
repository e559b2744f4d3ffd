//! Repositories of translation models of any size, with random weights: what they answer is noise, what it costs is not.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use safetensors::Dtype;
use safetensors::tensor::{TensorView, serialize_to_file};
use serde_json::{Value, json};

use crate::error::TestHubError;

/// The numbers of a token, as opus-mt models have.
const WIDTH: usize = 512;
/// The numbers between the two halves of a feed-forward layer.
const INNER: usize = 2048;

/// Bytes of one number in the file.
const BYTES: usize = 2;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Writes a model with so many layers in its encoder and its decoder into a folder, which it gives back; one takes 15 MB.
///
/// # Errors
/// Where the folder cannot be written to, or the example that the vocabulary is taken from is not there.
pub fn write(folder: &Path, layers: usize) -> Result<PathBuf, TestHubError> {
    let failed = |source| TestHubError::Model { folder: folder.to_owned(), source };
    write_files(folder, layers).map_err(failed)?;
    Ok(folder.to_owned())
}

fn write_files(folder: &Path, layers: usize) -> Result<(), Failure> {
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/models/opus-mt-en-de");
    fs::create_dir_all(folder)?;
    for name in ["source.spm", "target.spm", "vocab.json", "tokenizer_config.json"] {
        fs::copy(template.join(name), folder.join(name))?;
    }
    let mut config: Value = serde_json::from_slice(&fs::read(template.join("config.json"))?)?;
    for (key, value) in [
        ("d_model", WIDTH),
        ("encoder_ffn_dim", INNER),
        ("decoder_ffn_dim", INNER),
        ("encoder_attention_heads", 8),
        ("decoder_attention_heads", 8),
        ("encoder_layers", layers),
        ("decoder_layers", layers),
    ] {
        config[key] = json!(value);
    }
    let vocabulary = config["vocab_size"].as_u64().ok_or("the template has no vocabulary")? as usize;
    fs::write(folder.join("config.json"), config.to_string())?;
    let mut generation: Value = serde_json::from_slice(&fs::read(template.join("generation_config.json"))?)?;
    generation["num_beams"] = json!(1);
    generation["max_length"] = json!(24);
    fs::write(folder.join("generation_config.json"), generation.to_string())?;
    weights(&folder.join("model.safetensors"), vocabulary, layers)
}

fn weights(path: &Path, vocabulary: usize, layers: usize) -> Result<(), Failure> {
    let shapes = shapes(vocabulary, layers);
    let largest = shapes.values().map(|shape| shape.iter().product::<usize>()).max().unwrap_or_default();
    let mut random = StdRng::seed_from_u64(7);
    // The first 16 bits of a float32 are a bfloat16. One stretch of chance is enough for all.
    let half = |value: f32| ((value.to_bits() >> 16) as u16).to_le_bytes();
    let noise: Vec<u8> = (0..largest).flat_map(|_| half(random.random_range(-0.05..0.05))).collect();
    let ones: Vec<u8> = (0..WIDTH).flat_map(|_| half(1.0)).collect();
    let view = |(name, shape): (&String, &Vec<usize>)| {
        let bytes = shape.iter().product::<usize>() * BYTES;
        let data = if name.ends_with("layer_norm.weight") { &ones } else { &noise };
        TensorView::new(Dtype::BF16, shape.clone(), &data[..bytes]).map(|view| (name.clone(), view))
    };
    let views = shapes.iter().map(view).collect::<Result<Vec<_>, _>>()?;
    Ok(serialize_to_file(views, None, path)?)
}

fn shapes(vocabulary: usize, layers: usize) -> BTreeMap<String, Vec<usize>> {
    let mut shapes = BTreeMap::from([
        ("model.shared.weight".to_owned(), vec![vocabulary, WIDTH]),
        ("final_logits_bias".to_owned(), vec![1, vocabulary]),
    ]);
    for layer in 0..layers {
        for (half, attentions) in
            [("encoder", &["self_attn"][..]), ("decoder", &["self_attn", "encoder_attn"])]
        {
            let mut put = |name: &str, shape: &[usize]| {
                shapes.insert(format!("model.{half}.layers.{layer}.{name}"), shape.to_vec());
            };
            for attention in attentions {
                for projection in ["q_proj", "k_proj", "v_proj", "out_proj"] {
                    put(&format!("{attention}.{projection}.weight"), &[WIDTH, WIDTH]);
                    put(&format!("{attention}.{projection}.bias"), &[WIDTH]);
                }
                put(&format!("{attention}_layer_norm.weight"), &[WIDTH]);
                put(&format!("{attention}_layer_norm.bias"), &[WIDTH]);
            }
            put("fc1.weight", &[INNER, WIDTH]);
            put("fc1.bias", &[INNER]);
            put("fc2.weight", &[WIDTH, INNER]);
            put("fc2.bias", &[WIDTH]);
            put("final_layer_norm.weight", &[WIDTH]);
            put("final_layer_norm.bias", &[WIDTH]);
        }
    }
    shapes
}
