//! From a folder of files to an engine: its size first, then the engine.

use std::path::Path;
use std::sync::Arc;

use ostler_crds::names::{Dtype, Task};
use serde::Deserialize;

pub use crate::error::LoadError;
pub use crate::footprint::Footprint;
pub use crate::weights::pickle::PicklePolicy;

use crate::engine::Engine;
use crate::files;
use crate::processor::Processor;
use crate::weights::Purpose;
use crate::{classify, marian, whisper};

/// How a model is to be loaded.
#[derive(Clone)]
pub struct LoadOptions {
    /// The number format to compute in.
    pub dtype: Dtype,
    /// What happens with weights that are a pickle.
    pub pickle: PicklePolicy,
    /// What the model computes with.
    pub processor: Arc<Processor>,
}

#[derive(Deserialize)]
struct ModelType {
    model_type: String,
}

/// The architectures that there are engines for.
enum Family {
    Marian,
    Classifier(classify::Architecture),
    Whisper,
}

/// Measures a model from its headers and config.json, before any weight is read. A pickle is converted for it,
/// where that is allowed and was not done before.
///
/// # Errors
/// As [`load`], but for what only the weights' numbers can show.
pub fn inspect(folder: &Path, task: Task, options: &LoadOptions) -> Result<Footprint, LoadError> {
    let family = family(folder, task)?;
    check_dtype(&family, options.dtype)?;
    match family {
        Family::Marian => marian::inspect(folder, &options.pickle),
        Family::Classifier(architecture) => classify::inspect(folder, architecture, &options.pickle),
        Family::Whisper => whisper::inspect(folder, options.dtype, &options.pickle, &options.processor),
    }
}

/// Loads a model.
///
/// # Errors
/// [`LoadError`] names the file, and the tensor or field, that is missing, damaged, unsafe or not supported.
pub fn load(folder: &Path, task: Task, options: &LoadOptions) -> Result<Box<dyn Engine>, LoadError> {
    let family = family(folder, task)?;
    check_dtype(&family, options.dtype)?;
    match family {
        Family::Marian => Ok(Box::new(marian::load(folder, &options.pickle, Purpose::Run)?)),
        Family::Classifier(architecture) => {
            Ok(Box::new(classify::load(folder, architecture, &options.pickle, Purpose::Run)?))
        }
        Family::Whisper => whisper::load(folder, options.dtype, &options.pickle, &options.processor),
    }
}

/// The number format that a model of a task is computed in where `dtype` is asked for.
#[must_use]
pub fn computed_dtype(task: Task, dtype: Dtype, processor: &Processor) -> Dtype {
    match (task, dtype) {
        (Task::AutomaticSpeechRecognition, Dtype::Auto)
            if processor.kernels().instructions().has_bfloat16() =>
        {
            Dtype::Bfloat16
        }
        // The one format that every engine computes in.
        (_, Dtype::Auto) => Dtype::Float32,
        (_, dtype) => dtype,
    }
}

fn check_dtype(family: &Family, dtype: Dtype) -> Result<(), LoadError> {
    match dtype {
        // It checks for itself, as all will that compute on the kernels.
        _ if matches!(family, Family::Whisper) => Ok(()),
        Dtype::Auto | Dtype::Float32 => Ok(()),
        Dtype::Bfloat16 | Dtype::Float16 | Dtype::Int8 => Err(LoadError::Incompatible(format!(
            "dtype {dtype} does not run here yet; write auto or float32"
        ))),
    }
}

fn family(folder: &Path, task: Task) -> Result<Family, LoadError> {
    let ModelType { model_type } = files::read_json(folder, files::CONFIG)?;
    let known = match task {
        Task::AutomaticSpeechRecognition => "whisper",
        Task::Translation => "marian",
        Task::TextClassification => "xlm-roberta, roberta, bert",
    };
    match (task, model_type.as_str()) {
        (Task::AutomaticSpeechRecognition, "whisper") => Ok(Family::Whisper),
        (Task::Translation, "marian") => Ok(Family::Marian),
        (Task::TextClassification, "xlm-roberta" | "roberta") => {
            Ok(Family::Classifier(classify::Architecture::XlmRoberta))
        }
        (Task::TextClassification, "bert") => Ok(Family::Classifier(classify::Architecture::Bert)),
        _ => Err(LoadError::Incompatible(format!(
            "config.json: model_type {model_type:?} is not supported for {task}; supported: {known}"
        ))),
    }
}

#[cfg(test)]
mod tests;
