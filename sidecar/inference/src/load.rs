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
use crate::{classify, seq2seq, whisper};

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
    Translator(seq2seq::Family),
    Classifier(classify::Architecture),
    Whisper,
}

/// Measures a model from its headers and config.json, before any weight is read. A pickle is converted for it,
/// where that is allowed and was not done before.
///
/// # Errors
/// As [`load`], but for what only the weights' numbers can show.
pub fn inspect(folder: &Path, task: Task, options: &LoadOptions) -> Result<Footprint, LoadError> {
    let LoadOptions { dtype, pickle, processor } = options;
    let family = family(folder, task)?;
    check_dtype(&family, *dtype)?;
    match family {
        Family::Translator(family) => {
            seq2seq::inspect(&seq2seq::Origin { folder, family, pickle }, *dtype, processor)
        }
        Family::Classifier(architecture) => classify::inspect(folder, architecture, pickle),
        Family::Whisper => whisper::inspect(folder, *dtype, pickle, processor),
    }
}

/// Loads a model.
///
/// # Errors
/// [`LoadError`] names the file, and the tensor or field, that is missing, damaged, unsafe or not supported.
pub fn load(folder: &Path, task: Task, options: &LoadOptions) -> Result<Box<dyn Engine>, LoadError> {
    let LoadOptions { dtype, pickle, processor } = options;
    let family = family(folder, task)?;
    check_dtype(&family, *dtype)?;
    match family {
        Family::Translator(family) => {
            let origin = seq2seq::Origin { folder, family, pickle };
            Ok(Box::new(seq2seq::load(&origin, *dtype, processor)?))
        }
        Family::Classifier(architecture) => {
            Ok(Box::new(classify::load(folder, architecture, pickle, Purpose::Run)?))
        }
        Family::Whisper => whisper::load(folder, *dtype, pickle, processor),
    }
}

/// The number format that a model of a task is computed in where `dtype` is asked for.
#[must_use]
pub fn computed_dtype(task: Task, dtype: Dtype, processor: &Processor) -> Dtype {
    let has_bfloat16 = processor.kernels().instructions().has_bfloat16();
    match (task, dtype) {
        (Task::AutomaticSpeechRecognition | Task::Translation, Dtype::Auto) if has_bfloat16 => {
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
        _ if matches!(family, Family::Whisper | Family::Translator(_)) => Ok(()),
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
        Task::Translation => "marian, mbart, m2m_100",
        Task::TextClassification => "xlm-roberta, roberta, bert",
    };
    match (task, model_type.as_str()) {
        (Task::AutomaticSpeechRecognition, "whisper") => Ok(Family::Whisper),
        (Task::Translation, "marian") => Ok(Family::Translator(seq2seq::Family::Marian)),
        (Task::Translation, "mbart") => Ok(Family::Translator(seq2seq::Family::Mbart)),
        (Task::Translation, "m2m_100") => Ok(Family::Translator(seq2seq::Family::M2m100)),
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
