//! MarianMT: translation models of the `opus-mt` family, straight from their files.

mod config;
mod decoding;
mod languages;
mod layers;
mod model;
mod plan;
mod tokenizer;
mod translator;

use std::path::Path;

use crate::engine::{Control, Engine, EngineError, Job, JobProgress, Output, TranslateJob};
use crate::error::LoadError;
use crate::files;
use crate::footprint::Footprint;
use crate::generate::GenerationConfig;
use crate::weights::pickle::PicklePolicy;
use crate::weights::{Purpose, Usage, Weights};
use config::Config;
use model::Model;
use plan::Plan;
use tokenizer::MarianTokenizer;
use translator::{Limits, Translator};

/// A loaded translation model.
pub struct Marian {
    translator: Translator,
    tokenizer: MarianTokenizer,
}

/// Measures a model from config.json and the headers of its weights.
///
/// # Errors
/// As [`load`], but for what only the weights' numbers show.
pub fn inspect(folder: &Path, pickle: &PicklePolicy) -> Result<Footprint, LoadError> {
    let (marian, usage) = assemble(folder, pickle, Purpose::Measure)?;
    Ok(Footprint::new(usage, marian.translator.scratch_bytes()))
}

/// Loads a model.
///
/// # Errors
/// Where a file is missing or damaged, or asks for what there is no code for.
pub fn load(folder: &Path, pickle: &PicklePolicy, purpose: Purpose) -> Result<Marian, LoadError> {
    assemble(folder, pickle, purpose).map(|(marian, _)| marian)
}

fn assemble(folder: &Path, pickle: &PicklePolicy, purpose: Purpose) -> Result<(Marian, Usage), LoadError> {
    let config = Config::read(folder)?;
    let vocabularies = (config.source_vocabulary, config.target_vocabulary);
    let generation = GenerationConfig::parse(
        &files::read_capped(folder, files::CONFIG)?,
        files::read_optional(folder, files::GENERATION_CONFIG)?.as_deref(),
    )?;
    let tokenizer = MarianTokenizer::read(folder, vocabularies.0, vocabularies.1)?;
    let limits = Limits::new(&generation, vocabularies, config.positions, tokenizer.max_length)?;
    let weights = Weights::open(folder, pickle, purpose)?;
    let model = Model::load(&weights, config)?;
    let usage = weights.finish(model::is_ignorable)?;
    Ok((Marian { translator: Translator::new(model, generation, limits), tokenizer }, usage))
}

impl Marian {
    fn translate(&self, job: &TranslateJob, control: &Control) -> Result<Vec<String>, EngineError> {
        let beams = self.translator.beams(job.beams)?;
        let plan = Plan::new(job, &self.tokenizer, self.translator.limits.source_tokens, control)?;
        let translations = self.translate_units(&plan.units, beams, control)?;
        Ok(plan.answers(&translations))
    }

    /// Translates sentences of tokens in batches of similar length, so that little is filled up.
    fn translate_units(
        &self,
        units: &[Vec<u32>],
        beams: usize,
        control: &Control,
    ) -> Result<Vec<String>, EngineError> {
        let mut order: Vec<usize> = (0..units.len()).collect();
        order.sort_by_key(|unit| std::cmp::Reverse(units[*unit].len()));
        let mut translations = vec![String::new(); units.len()];
        let mut done = 0;
        for batch in order.chunks(self.translator.sentences_at_once(beams)) {
            let sentences: Vec<Vec<u32>> = batch.iter().map(|unit| units[*unit].clone()).collect();
            let generated = self.translator.generate(&sentences, beams, control)?;
            for (unit, tokens) in batch.iter().zip(generated) {
                translations[*unit] = self.tokenizer.decode(&tokens).map_err(EngineError::Tokenizer)?;
            }
            done += batch.len();
            control.report(JobProgress::Translated { done, total: units.len() });
        }
        Ok(translations)
    }
}

impl Engine for Marian {
    fn run(&self, job: &Job, control: &Control) -> Result<Output, EngineError> {
        match job {
            Job::Translate(job) => self.translate(job, control).map(Output::Translations),
            Job::Transcribe(_) => Err(EngineError::WrongTask("transcribe")),
            Job::Classify(_) => Err(EngineError::WrongTask("classify")),
        }
    }

    fn canary(&self) -> Result<(), EngineError> {
        self.translator.check(self.tokenizer.encode("1").map_err(EngineError::Tokenizer)?)
    }
}

#[cfg(test)]
mod tests;
