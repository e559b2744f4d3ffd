//! Weights for models on the kernels: packed while they are read, so that only a chunk of them is ever in memory
//! twice.

use ostler_kernels::{Format, Kernels, LayerNorm, Linear};

use super::safetensors::{Purpose, Weights};
use crate::error::LoadError;

/// One of the linear layers that are packed as one, below one another.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its tensors are `{name}.weight` and `{name}.bias`.
    pub name: String,
    /// Its outputs.
    pub outputs: usize,
    /// Whether it has a bias; one that has none among others that do gets zeros.
    pub has_bias: bool,
}

impl Weights {
    /// A tensor of one dimension.
    ///
    /// # Errors
    /// Where it is not there, has other dimensions, or cannot be read.
    pub fn vector(&self, name: &str, length: usize) -> Result<Vec<f32>, LoadError> {
        self.table(name, &[length])
    }

    /// A tensor's numbers, the last dimension running fastest.
    ///
    /// # Errors
    /// As [`Weights::vector`].
    pub fn table(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, LoadError> {
        let mut numbers = Vec::new();
        self.read_rows(name, shape, &mut |rows| {
            numbers.extend_from_slice(rows);
        })?;
        self.count_bytes(4 * shape.iter().product::<usize>() as u64);
        if self.purpose() == Purpose::Measure {
            numbers.resize(shape.iter().product(), 0.0);
        }
        Ok(numbers)
    }

    /// `{name}.weight` and `{name}.bias` of a layer norm.
    ///
    /// # Errors
    /// As [`Weights::vector`].
    pub fn layer_norm(&self, name: &str, width: usize, epsilon: f32) -> Result<LayerNorm, LoadError> {
        Ok(LayerNorm {
            gain: self.vector(&format!("{name}.weight"), width)?,
            bias: self.vector(&format!("{name}.bias"), width)?,
            epsilon,
        })
    }

    /// Linear layers that see the same rows, packed as one: outputs of the first part come first.
    ///
    /// # Errors
    /// As [`Weights::vector`].
    pub fn linear(
        &self,
        kernels: Kernels,
        format: Format,
        parts: &[Part],
        inputs: usize,
    ) -> Result<Linear, LoadError> {
        let outputs = parts.iter().map(|part| part.outputs).sum();
        let has_bias = parts.iter().any(|part| part.has_bias);
        let mut bias = Vec::with_capacity(if has_bias { outputs } else { 0 });
        for part in parts.iter().filter(|_| has_bias) {
            if part.has_bias {
                self.read_rows(&format!("{}.bias", part.name), &[part.outputs], &mut |rows| {
                    bias.extend_from_slice(rows);
                })?;
            } else {
                bias.resize(bias.len() + part.outputs, 0.0);
            }
        }
        let names: Vec<(String, usize)> =
            parts.iter().map(|part| (format!("{}.weight", part.name), part.outputs)).collect();
        self.pack(kernels, format, &names, inputs, has_bias.then_some(bias))
    }

    /// A linear layer of a tensor's rows, such as an embedding that is tied to the output, with a bias that is
    /// another tensor or none.
    ///
    /// # Errors
    /// As [`Weights::vector`].
    pub fn linear_of(
        &self,
        kernels: Kernels,
        format: Format,
        tensor: &str,
        (outputs, inputs): (usize, usize),
        bias: Option<Vec<f32>>,
    ) -> Result<Linear, LoadError> {
        self.pack(kernels, format, &[(tensor.to_owned(), outputs)], inputs, bias)
    }

    /// A convolution over `taken` frames, whose weights `{name}.weight` are outputs x channels x frames, as a linear
    /// layer over frames that follow one another, with the bias `{name}.bias`.
    ///
    /// # Errors
    /// As [`Weights::vector`].
    pub fn convolution(
        &self,
        kernels: Kernels,
        format: Format,
        name: &str,
        [outputs, channels, taken]: [usize; 3],
    ) -> Result<Linear, LoadError> {
        let mut bias = Vec::with_capacity(outputs);
        self.read_rows(&format!("{name}.bias"), &[outputs], &mut |rows| bias.extend_from_slice(rows))?;
        let inputs = channels * taken;
        // The space for a layer is taken only once its tensor has shown to be as large.
        self.take(&format!("{name}.weight"), &[outputs, channels, taken])?;
        self.count_bytes(Linear::bytes(format, outputs, inputs, true));
        let bias = Some(bias).filter(|bias| bias.len() == outputs);
        let mut builder = Linear::builder(kernels, format, outputs, inputs, bias.as_deref());
        let mut turned = vec![0.0; inputs];
        self.read_rows(&format!("{name}.weight"), &[outputs, channels, taken], &mut |rows| {
            for row in rows.chunks_exact(inputs) {
                for (index, weight) in row.iter().enumerate() {
                    turned[index % taken * channels + index / taken] = *weight;
                }
                builder.push(&turned);
            }
        })?;
        Ok(self.finish_layer(builder))
    }

    fn pack(
        &self,
        kernels: Kernels,
        format: Format,
        tensors: &[(String, usize)],
        inputs: usize,
        bias: Option<Vec<f32>>,
    ) -> Result<Linear, LoadError> {
        let outputs = tensors.iter().map(|(_, outputs)| outputs).sum();
        // The space for a layer is taken only once its tensors have shown to be as large.
        for (tensor, outputs) in tensors {
            self.take(tensor, &[*outputs, inputs])?;
        }
        self.count_bytes(Linear::bytes(format, outputs, inputs, bias.is_some()));
        // To be measured, no bias was read.
        let bias = bias.filter(|bias| bias.len() == outputs);
        let mut builder = Linear::builder(kernels, format, outputs, inputs, bias.as_deref());
        for (tensor, outputs) in tensors {
            self.read_rows(tensor, &[*outputs, inputs], &mut |rows| builder.push(rows))?;
        }
        Ok(self.finish_layer(builder))
    }

    fn finish_layer(&self, builder: ostler_kernels::LinearBuilder) -> Linear {
        match self.purpose() {
            Purpose::Measure => builder.empty(),
            Purpose::Run => builder.finish(),
        }
    }
}
