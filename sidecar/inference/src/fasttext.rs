//! fastText classifiers, such as the language detectors `lid.176.bin` and `lid.176.ftz`: one file, no config.
//!
//! What is right is what fastText predicts (facebookresearch/fastText 0.9.2): words and their pieces of a few letters
//! each name a row of a matrix ([`features`]), the mean of the rows is compared with a row for each label, or for
//! each turning of a tree of labels ([`output`]). In `.ftz` files rows are codes ([`matrix`]).

mod dictionary;
mod features;
mod header;
mod matrix;
mod output;
mod source;

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use dictionary::Dictionary;
use features::Features;
use header::Header;
use matrix::Matrix;
use output::Output as Labels;
use source::Source;

use crate::encoder::MAX_TEXTS;
use crate::engine::{ClassifyJob, Control, Engine, EngineError, Job, LabelScore, Output};
use crate::error::LoadError;
use crate::footprint::Footprint;
use crate::weights::{Purpose, Usage};

/// What a job needs beside the model for each label: its probability and its name.
const SCRATCH_BYTES_PER_LABEL: u64 = 256;

/// A loaded classifier.
pub struct FastText {
    dictionary: Dictionary,
    features: Features,
    input: Matrix,
    labels: Labels,
}

/// Measures a model: its dictionary is read, its matrices are not.
///
/// # Errors
/// As [`load`], but for what only the matrices show.
pub fn inspect(folder: &Path, name: &str) -> Result<Footprint, LoadError> {
    let model = open(folder, name, Purpose::Measure)?;
    let resident_bytes = model.dictionary.bytes() + model.input.bytes() + model.labels.bytes();
    let scratch = model.labels.count() as u64 * SCRATCH_BYTES_PER_LABEL;
    Ok(Footprint::new(Usage { resident_bytes, transient_bytes: source::CHUNK_BYTES as u64 }, scratch))
}

/// Loads a model from the file `name` of a folder.
///
/// # Errors
/// Where the file is missing or damaged, or is another kind of fastText model than a classifier.
pub fn load(folder: &Path, name: &str) -> Result<FastText, LoadError> {
    open(folder, name, Purpose::Run)
}

fn open(folder: &Path, name: &str, purpose: Purpose) -> Result<FastText, LoadError> {
    let io = |source| LoadError::io(name, source);
    let file = File::open(folder.join(name)).map_err(io)?;
    let metadata = file.metadata().map_err(io)?;
    if !metadata.is_file() {
        return Err(LoadError::corrupted(name, "it is not a regular file"));
    }
    FastText::read(Source::new(BufReader::new(file), metadata.len(), name), purpose)
}

impl FastText {
    /// Reads a model from its bytes, which may be anything.
    fn read<R: Read + Seek>(mut source: Source<R>, purpose: Purpose) -> Result<Self, LoadError> {
        let header = Header::read(&mut source)?;
        let dictionary = Dictionary::read(&mut source)?;
        let is_quantised = source.flag("whether the input matrix is quantised")?;
        if dictionary.is_pruned() && !is_quantised {
            return Err(source.incompatible(
                "its dictionary is pruned and its matrix is not quantised, which fastText does not read either: \
                 download the model again from its author",
            ));
        }
        let dimension = header.dimension;
        let input = Matrix::read(&mut source, "the input matrix", is_quantised, dimension, purpose)?;
        let features = Features::new(&header, &dictionary, input.rows(), &source)?;
        let is_quantised = source.flag("whether the output matrix is quantised")? && is_quantised;
        let output = Matrix::read(&mut source, "the output matrix", is_quantised, dimension, purpose)?;
        let labels = Labels::new(header.loss, dictionary.labels(), output, &source)?;
        Ok(Self { dictionary, features, input, labels })
    }

    fn classify(&self, job: &ClassifyJob, control: &Control) -> Result<Vec<Vec<LabelScore>>, EngineError> {
        if job.texts.len() > MAX_TEXTS {
            let message = format!("there are {}, at most {MAX_TEXTS} are taken at once", job.texts.len());
            return Err(EngineError::InvalidInput { parameter: "texts", message });
        }
        job.texts
            .iter()
            .map(|text| {
                control.check()?;
                self.label(text)
            })
            .collect()
    }

    /// Every label with its probability, most probable first; none where no part of the text is known to the model.
    fn label(&self, text: &str) -> Result<Vec<LabelScore>, EngineError> {
        let mut hidden = vec![0.0; self.input.columns()];
        let mut count = 0u64;
        self.features.each(&self.dictionary, text.as_bytes(), |row| {
            self.input.add_row(row, &mut hidden);
            count += 1;
        });
        if count == 0 {
            return Ok(Vec::new());
        }
        let share = (1.0 / count as f64) as f32;
        hidden.iter_mut().for_each(|number| *number *= share);
        self.labels.probable(&hidden)
    }
}

impl Engine for FastText {
    fn run(&self, job: &Job, control: &Control) -> Result<Output, EngineError> {
        match job {
            Job::Classify(job) => self.classify(job, control).map(Output::Labels),
            other => Err(EngineError::WrongTask(other.verb())),
        }
    }

    fn canary(&self) -> Result<(), EngineError> {
        let mut hidden = vec![0.0; self.input.columns()];
        self.input.add_row(0, &mut hidden);
        self.labels.probable(&hidden).map(drop)
    }
}

#[cfg(test)]
mod tests;
