//! From a folder of files to an engine: its size first, then the engine.

use std::path::Path;
use std::sync::Arc;

use ostler_crds::names::{Dtype, Task};
use serde::Deserialize;

pub use crate::error::LoadError;
pub use crate::footprint::Footprint;
pub use crate::weights::pickle::PicklePolicy;
pub use crate::weights::{BoxError, PackedCache, PackedError, PackedEvent};

use crate::encoder::{self, Architecture, Computation};
use crate::engine::Engine;
use crate::files;
use crate::processor::{Precision, Processor, automatic_dtype};
use crate::weights::{PackedPlace, Purpose, Source};
use crate::{classify, embed, fasttext, seq2seq, whisper};

/// How a model is to be loaded.
#[derive(Clone)]
pub struct LoadOptions {
    /// The number format to compute in.
    pub dtype: Dtype,
    /// What happens with weights that are a pickle.
    pub pickle: PicklePolicy,
    /// What the model computes with.
    pub processor: Arc<Processor>,
    /// Where packed weights are kept for the next load, if they are.
    pub packed: Option<PackedCache>,
}

#[derive(Deserialize)]
struct ModelType {
    model_type: String,
}

/// The architectures that there are engines for.
enum Family {
    Translator(seq2seq::Family),
    Classifier(Architecture),
    SentenceEncoder(Architecture),
    /// With the name of its one file.
    FastText(&'static str),
    Whisper,
}

/// Measures a model from its headers and config.json, before any weight is read. A pickle is converted for it,
/// where that is allowed and was not done before.
///
/// # Errors
/// As [`load`], but for what only the weights' numbers can show.
pub fn inspect(folder: &Path, task: Task, options: &LoadOptions) -> Result<Footprint, LoadError> {
    let dtype = options.dtype;
    let family = family(folder, task)?;
    check_dtype(&family, dtype)?;
    let source = source(folder, task, options);
    match family {
        Family::Translator(family) => seq2seq::inspect(&seq2seq::Origin { source, family }, dtype),
        Family::Classifier(architecture) => {
            classify::inspect(&source, architecture, &computation(task, options)?)
        }
        Family::SentenceEncoder(architecture) => {
            embed::inspect(&source, architecture, &computation(task, options)?)
        }
        Family::FastText(name) => fasttext::inspect(folder, name),
        Family::Whisper => whisper::inspect(&source, dtype),
    }
}

/// Loads a model.
///
/// # Errors
/// [`LoadError`] names the file, and the tensor or field, that is missing, damaged, unsafe or not supported.
pub fn load(folder: &Path, task: Task, options: &LoadOptions) -> Result<Box<dyn Engine>, LoadError> {
    let dtype = options.dtype;
    let family = family(folder, task)?;
    check_dtype(&family, dtype)?;
    let source = source(folder, task, options);
    match family {
        Family::Translator(family) => {
            Ok(Box::new(seq2seq::load(&seq2seq::Origin { source, family }, dtype)?))
        }
        Family::Classifier(architecture) => {
            let computation = computation(task, options)?;
            Ok(Box::new(classify::load(&source, architecture, &computation, Purpose::Run)?))
        }
        Family::SentenceEncoder(architecture) => {
            let computation = computation(task, options)?;
            Ok(Box::new(embed::load(&source, architecture, &computation, Purpose::Run)?))
        }
        Family::FastText(name) => Ok(Box::new(fasttext::load(folder, name)?)),
        Family::Whisper => whisper::load(&source, dtype),
    }
}

/// The number format that a model of a task is computed in where `dtype` is asked for.
#[must_use]
pub fn computed_dtype(task: Task, dtype: Dtype, processor: &Processor) -> Dtype {
    match (task, dtype) {
        // A classifier may be fastText's, which has one format.
        (Task::TextClassification, Dtype::Auto) => Dtype::Float32,
        (_, Dtype::Auto) => automatic_dtype(processor.kernels()),
        (_, dtype) => dtype,
    }
}

fn source<'a>(folder: &'a Path, task: Task, options: &'a LoadOptions) -> Source<'a> {
    let dtype = computed_dtype(task, options.dtype, &options.processor);
    let packed = options.packed.as_ref().map(|cache| PackedPlace { cache, task, dtype });
    Source { folder, pickle: &options.pickle, processor: &options.processor, packed, part: "" }
}

/// What an encoder is computed with.
fn computation(task: Task, options: &LoadOptions) -> Result<Computation, LoadError> {
    let processor = Arc::clone(&options.processor);
    let dtype = computed_dtype(task, options.dtype, &processor);
    let precision = Precision::of(dtype, processor.kernels())?;
    Ok(Computation { processor, precision })
}

fn check_dtype(family: &Family, dtype: Dtype) -> Result<(), LoadError> {
    match (family, dtype) {
        (Family::FastText(_), Dtype::Bfloat16 | Dtype::Float16 | Dtype::Int8) => {
            Err(LoadError::Incompatible(format!(
                "dtype {dtype} does not run for a fastText model; write auto or float32"
            )))
        }
        // The others check for themselves.
        _ => Ok(()),
    }
}

fn family(folder: &Path, task: Task) -> Result<Family, LoadError> {
    if task == Task::TextClassification
        && let Some(name) = files::fasttext_model(|name| folder.join(name).exists())
    {
        return Ok(Family::FastText(name));
    }
    let ModelType { model_type } = files::read_json(folder, files::CONFIG)?;
    let known = match task {
        Task::AutomaticSpeechRecognition => "whisper",
        Task::Translation => "marian, mbart, m2m_100",
        Task::TextClassification | Task::FeatureExtraction | Task::SentenceSimilarity => encoder::SUPPORTED,
    };
    let architecture = Architecture::of(&model_type);
    match (task, model_type.as_str(), architecture) {
        (Task::AutomaticSpeechRecognition, "whisper", _) => Ok(Family::Whisper),
        (Task::Translation, "marian", _) => Ok(Family::Translator(seq2seq::Family::Marian)),
        (Task::Translation, "mbart", _) => Ok(Family::Translator(seq2seq::Family::Mbart)),
        (Task::Translation, "m2m_100", _) => Ok(Family::Translator(seq2seq::Family::M2m100)),
        (Task::TextClassification, _, Some(architecture)) => Ok(Family::Classifier(architecture)),
        (Task::FeatureExtraction | Task::SentenceSimilarity, _, Some(architecture)) => {
            Ok(Family::SentenceEncoder(architecture))
        }
        _ => Err(LoadError::Incompatible(format!(
            "config.json: model_type {model_type:?} is not supported for {task}; supported: {known}"
        ))),
    }
}

#[cfg(test)]
mod tests;
