//! The network against candle-transformers' models of the same weights.

use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{VarBuilder, VarMap};
use candle_transformers::models::{bert, xlm_roberta};
use ostler_crds::names::Dtype;
use serde_json::{Value, json};

use super::{Architecture, Computation, Config, Network};
use crate::engine::Control;
use crate::processor::{Precision, Processor};
use crate::weights::pickle::PicklePolicy;
use crate::weights::{Purpose, Weights};

/// config.json of an encoder whose sizes are no multiples of vectors or panels.
fn config(width: usize, heads: usize) -> Value {
    json!({
        "vocab_size": 83, "hidden_size": width, "num_hidden_layers": 3, "num_attention_heads": heads,
        "intermediate_size": 3 * width + 5, "hidden_act": "gelu", "max_position_embeddings": 90,
        "type_vocab_size": 2, "layer_norm_eps": 1e-5, "pad_token_id": 1, "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0, "initializer_range": 0.02, "position_embedding_type": "absolute",
    })
}

/// Numbers from -1 to 1 that look like chance and are always the same.
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Gives every weight numbers, gains of norms around 1.
fn fill(variables: &VarMap) -> Result<()> {
    let data = variables.data().lock().unwrap();
    let mut names: Vec<&String> = data.keys().collect();
    names.sort();
    for (seed, name) in names.into_iter().enumerate() {
        let variable = &data[name];
        let gain = if name.ends_with("LayerNorm.weight") { 1.0 } else { 0.0 };
        let numbers: Vec<f32> = numbers(variable.elem_count(), seed as u64 + 1)
            .into_iter()
            .map(|number| gain + 0.3 * number)
            .collect();
        variable.set(&Tensor::from_vec(numbers, variable.shape(), &Device::Cpu)?)?;
    }
    Ok(())
}

/// Texts of several lengths, one of them with the padding token within.
fn texts() -> Vec<Vec<u32>> {
    let token = |place: usize, salt: usize| (2 + (place * 7919 + salt * 104_729) % 81) as u32;
    let mut texts: Vec<Vec<u32>> = [1, 40, 7, 85, 16]
        .iter()
        .enumerate()
        .map(|(salt, length)| (0..*length).map(|place| token(place, salt)).collect())
        .collect();
    texts[2][3] = 1;
    texts
}

fn states(folder: &Path, architecture: Architecture, texts: &[Vec<u32>]) -> Vec<f32> {
    let weights = Weights::open(folder, &PicklePolicy::Refused, Purpose::Run).unwrap();
    let processor = Arc::new(Processor::new(std::num::NonZeroUsize::new(2), None).unwrap());
    let precision = Precision::of(Dtype::Float32, processor.kernels()).unwrap();
    let config = Config::read(folder, architecture).unwrap();
    let network = Network::load(&weights, "", config, Computation { processor, precision }).unwrap();
    let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
    network.states(&texts, &Control::default()).unwrap()
}

/// What a model of candle-transformers answers to tokens, their kinds and their mask, each 1 x tokens.
type Model = Box<dyn Fn(&Tensor, &Tensor, &Tensor) -> Result<Tensor>>;

fn model(architecture: Architecture, config: &Value, variables: VarBuilder<'_>) -> Result<Model> {
    match architecture {
        Architecture::Bert => {
            let config: bert::Config = serde_json::from_value(config.clone()).unwrap();
            let model = bert::BertModel::load(variables, &config)?;
            Ok(Box::new(move |tokens, kinds, mask| model.forward(tokens, kinds, Some(mask))))
        }
        Architecture::XlmRoberta => {
            let config: xlm_roberta::Config = serde_json::from_value(config.clone()).unwrap();
            let model = xlm_roberta::XLMRobertaModel::new(&config, variables)?;
            Ok(Box::new(move |tokens, kinds, mask| model.forward(tokens, mask, kinds, None, None, None)))
        }
    }
}

#[test]
fn states_are_those_of_candle_transformers() {
    let texts = texts();
    for architecture in [Architecture::Bert, Architecture::XlmRoberta] {
        for (width, heads) in [(48, 4), (130, 5)] {
            let folder = tempfile::tempdir().unwrap();
            let config = config(width, heads);
            std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
            let variables = VarMap::new();
            let builder = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
            let model = model(architecture, &config, builder).unwrap();
            fill(&variables).unwrap();
            variables.save(folder.path().join("model.safetensors")).unwrap();
            let found = states(folder.path(), architecture, &texts);
            let mut rest = found.as_slice();
            for text in &texts {
                let tokens = Tensor::new(text.as_slice(), &Device::Cpu).unwrap().unsqueeze(0).unwrap();
                let (kinds, mask) = (tokens.zeros_like().unwrap(), tokens.ones_like().unwrap());
                let expected = model(&tokens, &kinds, &mask).unwrap().flatten_all().unwrap();
                let expected: Vec<f32> = expected.to_vec1().unwrap();
                let (own, others) = rest.split_at(expected.len());
                rest = others;
                let off = own.iter().zip(&expected).map(|(left, right)| (left - right).abs());
                let most = off.fold(0.0, f32::max);
                assert!(most < 1e-4, "{architecture:?} of {width}, {} tokens: off by {most}", text.len());
            }
            assert!(rest.is_empty());
        }
    }
}
