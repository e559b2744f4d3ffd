//! Tensors for the forward passes on candle, which the kernels are checked against.

use candle_core::{DType, Device, Tensor};
use ostler_kernels::Numbers;

use super::safetensors::{Filling, Weights, elements};
use crate::error::LoadError;

impl Weights {
    /// A tensor of these dimensions, as 32-bit floats on the processor.
    pub(crate) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor, LoadError> {
        let (file, info) = self.take(name, shape)?;
        let count = elements(file, info)?;
        self.count_bytes(4 * count as u64);
        if self.filling() == Filling::Measured {
            return Ok(Tensor::zeros((), DType::F32, &Device::Cpu)?.broadcast_as(shape)?);
        }
        let mut numbers = Vec::with_capacity(count);
        file.read((name, info), 0..count, 1, &mut Default::default(), &mut |piece, _| {
            numbers.extend_from_slice(piece);
        })?;
        Ok(Tensor::from_vec(numbers, shape, &Device::Cpu)?)
    }

    /// A table of these dimensions as a tensor.
    pub(crate) fn table_tensor(&self, table: &Numbers<f32>, shape: &[usize]) -> Result<Tensor, LoadError> {
        if self.filling() == Filling::Measured {
            return Ok(Tensor::zeros((), DType::F32, &Device::Cpu)?.broadcast_as(shape)?);
        }
        Ok(Tensor::from_slice(table, shape, &Device::Cpu)?)
    }

    /// A tensor that some checkpoints lack.
    pub(crate) fn optional(&self, name: &str, shape: &[usize]) -> Result<Option<Tensor>, LoadError> {
        if self.contains(name) { self.tensor(name, shape).map(Some) } else { Ok(None) }
    }
}
