//! A linear layer over a vector with an activation, as sentence-transformers' module Dense has it.

use ostler_kernels::{Activation as KernelActivation, Format, Inputs, Kernels, Linear, MAX_INPUTS, Write};
use serde::Deserialize;

use crate::error::LoadError;
use crate::files;
use crate::weights::{self, Part, Purpose, Source, Usage};

/// A layer of a sentence encoder.
pub(super) struct Dense {
    linear: Linear,
    activation: Activation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Activation {
    Identity,
    Tanh,
    Relu,
    Gelu,
    Sigmoid,
}

impl Activation {
    /// From the name of torch's class; sentence-transformers takes tanh where none is named.
    fn of(name: Option<&str>) -> Option<Self> {
        let Some(name) = name else { return Some(Self::Tanh) };
        match name.strip_prefix("torch.nn.modules.")? {
            "linear.Identity" => Some(Self::Identity),
            "activation.Tanh" => Some(Self::Tanh),
            "activation.ReLU" => Some(Self::Relu),
            "activation.GELU" => Some(Self::Gelu),
            "activation.Sigmoid" => Some(Self::Sigmoid),
            _ => None,
        }
    }

    fn apply(self, kernels: Kernels, numbers: &mut [f32]) {
        match self {
            Self::Identity => {}
            Self::Tanh => numbers.iter_mut().for_each(|number| *number = number.tanh()),
            Self::Relu => kernels.activate(KernelActivation::Relu, numbers),
            Self::Gelu => kernels.activate(KernelActivation::Gelu, numbers),
            Self::Sigmoid => numbers.iter_mut().for_each(|number| *number = 1.0 / (1.0 + (-*number).exp())),
        }
    }
}

#[derive(Deserialize)]
struct RawDense {
    in_features: usize,
    out_features: usize,
    bias: Option<bool>,
    activation_function: Option<String>,
    #[serde(default)]
    use_residual: bool,
    module_input_name: Option<String>,
    module_output_name: Option<String>,
}

/// Wide enough for every published encoder, and small enough that no product of two widths overflows.
const MAX_WIDTH: usize = 1 << 20;

/// The one vector that is computed here; newer releases can name others.
pub(super) const VECTOR: &str = "sentence_embedding";

impl Dense {
    /// Reads the layer in the folder `name` of a model's folder. `inputs` is the width of the vectors it gets.
    ///
    /// # Errors
    /// Where a file is missing or damaged, or asks for what is not computed here.
    pub(super) fn load(
        model: &Source<'_>,
        name: &str,
        inputs: usize,
        purpose: Purpose,
    ) -> Result<(Self, Usage), LoadError> {
        let file = format!("{name}/{}", files::CONFIG);
        let raw: RawDense = files::read_json(model.folder, &file)?;
        let (activation, outputs) = checked(&raw, inputs).map_err(|message| incompatible(&file, &message))?;
        let folder = model.folder.join(name);
        let source = Source { folder: &folder, part: name, ..*model };
        let loaded = weights::assemble(
            &source,
            purpose,
            |_| false,
            |weights| {
                let has_bias = raw.bias.unwrap_or(true);
                let part = Part { name: "linear".to_owned(), outputs, has_bias };
                // So little work that rounding it would gain nothing.
                let linear = weights.linear(model.processor.kernels(), Format::Float32, &[part], inputs)?;
                Ok(Self { linear, activation })
            },
        );
        loaded.map_err(|error: LoadError| error.in_folder(name))
    }

    /// The numbers of the vectors it makes.
    pub(super) fn outputs(&self) -> usize {
        self.linear.outputs()
    }

    /// The vectors that come out for those that go in, all of the layer's width.
    pub(super) fn forward(&self, vectors: &[Vec<f32>]) -> Vec<Vec<f32>> {
        let mut inputs = Inputs::new(vectors.len(), self.linear.inputs());
        for (row, vector) in vectors.iter().enumerate() {
            self.linear.prepare(&mut inputs, row, vector);
        }
        let width = self.outputs();
        let mut numbers = vec![0.0; vectors.len() * width];
        self.linear.forward_here(&inputs, vectors.len(), &mut numbers, width, Write::Set);
        self.activation.apply(self.linear.kernels(), &mut numbers);
        numbers.chunks_exact(width).map(<[f32]>::to_vec).collect()
    }
}

fn checked(raw: &RawDense, inputs: usize) -> Result<(Activation, usize), String> {
    if raw.in_features != inputs {
        return Err(format!("in_features is {}, the vectors have {inputs} numbers", raw.in_features));
    }
    if inputs > MAX_INPUTS {
        return Err(format!("in_features is {inputs}, it must be at most {MAX_INPUTS}"));
    }
    if !(1..=MAX_WIDTH).contains(&raw.out_features) {
        return Err(format!("out_features is {}, it must be 1 to {MAX_WIDTH}", raw.out_features));
    }
    if raw.use_residual {
        return Err("use_residual is not supported".to_owned());
    }
    for (field, name) in
        [("module_input_name", &raw.module_input_name), ("module_output_name", &raw.module_output_name)]
    {
        if let Some(name) = name.as_deref().filter(|name| *name != VECTOR) {
            return Err(format!("{field} {name:?} is not supported; {VECTOR:?} is"));
        }
    }
    let name = raw.activation_function.as_deref();
    let activation = Activation::of(name).ok_or_else(|| {
        let name = name.unwrap_or_default();
        format!("activation_function {name:?} is not supported; Tanh, Identity, ReLU, GELU and Sigmoid are")
    })?;
    Ok((activation, raw.out_features))
}

fn incompatible(file: &str, message: &str) -> LoadError {
    LoadError::Incompatible(format!("{file}: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_computed_here_is_refused_by_the_name_of_its_field() {
        let sound = serde_json::json!({"in_features": 4, "out_features": 2});
        let check = |json: serde_json::Value| checked(&serde_json::from_value(json).unwrap(), 4);
        assert_eq!(check(sound.clone()), Ok((Activation::Tanh, 2)));
        let cases: [(&str, serde_json::Value); 6] = [
            ("in_features", 5.into()),
            ("out_features", 0.into()),
            ("use_residual", true.into()),
            ("module_input_name", "token_embeddings".into()),
            ("module_output_name", "token_embeddings".into()),
            ("activation_function", "custom.Activation".into()),
        ];
        for (field, value) in cases {
            let mut json = sound.clone();
            json[field] = value;
            let error = check(json).unwrap_err();
            assert!(error.contains(field), "{error}");
        }
    }

    #[test]
    fn activations_are_torchs() {
        let cases: [(&str, [f32; 3]); 5] = [
            ("linear.Identity", [-1.0, 0.0, 2.0]),
            ("activation.Tanh", [-0.761_594, 0.0, 0.964_028]),
            ("activation.ReLU", [0.0, 0.0, 2.0]),
            ("activation.GELU", [-0.158_655, 0.0, 1.954_5]),
            ("activation.Sigmoid", [0.268_941, 0.5, 0.880_797]),
        ];
        for (name, expected) in cases {
            let activation = Activation::of(Some(&format!("torch.nn.modules.{name}"))).unwrap();
            let mut outputs = [-1f32, 0.0, 2.0];
            activation.apply(Kernels::best(), &mut outputs);
            for (output, expected) in outputs.iter().zip(expected) {
                assert!((output - expected).abs() < 1e-5, "{name}: {output} {expected}");
            }
        }
    }
}
