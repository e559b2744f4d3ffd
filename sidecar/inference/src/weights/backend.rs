//! Weights for models of candle-transformers, which ask for tensors through a `VarBuilder`.

use std::sync::Arc;

use candle_core::{DType, Device, Error, Result, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};

use super::safetensors::Weights;
use crate::error::LoadError;

struct Backend(Arc<Weights>);

impl Backend {
    fn take(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.0.tensor(name, shape).map_err(|error| {
            let text = Error::msg(&error);
            self.0.remember(error);
            text
        })
    }
}

impl SimpleBackend for Backend {
    fn get(&self, shape: Shape, name: &str, _: Init, _: DType, _: &Device) -> Result<Tensor> {
        self.take(name, shape.dims())
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        let shape = self.0.shape(name).unwrap_or_default().to_vec();
        self.take(name, &shape)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.0.contains(name)
    }
}

impl Weights {
    /// A builder that takes tensors from these weights, as 32-bit floats on the processor.
    #[must_use]
    pub fn builder(self: &Arc<Self>) -> VarBuilder<'static> {
        VarBuilder::from_backend(Box::new(Backend(Arc::clone(self))), DType::F32, Device::Cpu)
    }

    /// What a model that was put together through [`Weights::builder`] failed with: candle keeps the text of an
    /// error alone, the weights remember the error itself.
    #[must_use]
    pub fn failure(&self, error: Error) -> LoadError {
        self.recall().unwrap_or(LoadError::Compute(error))
    }
}
