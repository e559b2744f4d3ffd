//! Translation by encoder-decoder transformers of the BART lineage, straight from their files: MarianMT (`opus-mt`),
//! mBART-50, M2M100 and NLLB.
//!
//! The families differ in values (`config`), in their tokenizers and in how a sentence names its languages; the
//! arithmetic behind `forward` and everything after it is one.

mod architecture;
// The reference that tests hold the kernels to.
#[cfg(test)]
mod candle;
mod config;
mod documents;
mod embeddings;
mod forward;
mod kernels;
mod language_codes;
mod languages;
mod plan;
mod positions;
mod tokenizer;
mod translator;

use std::sync::Arc;

use ostler_crds::names::Dtype;

use crate::engine::{
    Control, Engine, EngineError, Job, JobProgress, Output, SpokenLanguages, TranslateJob, Translation,
};
use crate::error::LoadError;
use crate::files;
use crate::footprint::Footprint;
use crate::generate::GenerationConfig;
use crate::processor::{Precision, Processor};
use crate::weights::{self, Purpose, Source, Usage, Weights};
use architecture::Architecture;
pub use config::Family;
use documents::Documents;
use forward::Forward;
use kernels::KernelModel;
use plan::Plan;
use tokenizer::TextTokenizer;
use translator::{Limits, Translator};

/// A loaded translation model.
pub struct Seq2Seq {
    translator: Translator,
    tokenizer: TextTokenizer,
}

/// Where a model comes from.
#[derive(Clone, Copy)]
pub struct Origin<'a> {
    /// Its files.
    pub source: Source<'a>,
    /// What its config.json says it is.
    pub family: Family,
}

/// Measures a model from config.json and the headers of its weights.
///
/// # Errors
/// As [`load`], but for what only the weights' numbers show.
pub fn inspect(origin: &Origin<'_>, dtype: Dtype) -> Result<Footprint, LoadError> {
    let (model, usage) = assemble(origin, Purpose::Measure, kernels(dtype, origin.source.processor)?)?;
    Ok(Footprint::new(usage, model.translator.scratch_bytes()))
}

/// Loads a model, its numbers in the format `dtype`.
///
/// # Errors
/// Where a file is missing or damaged, or asks for what there is no code for.
pub fn load(origin: &Origin<'_>, dtype: Dtype) -> Result<Seq2Seq, LoadError> {
    assemble(origin, Purpose::Run, kernels(dtype, origin.source.processor)?).map(|(model, _)| model)
}

/// How the weights of a model become its arithmetic.
type LoadForward<'a> = Box<dyn Fn(&Weights, Architecture) -> Result<Box<dyn Forward>, LoadError> + 'a>;

fn kernels(dtype: Dtype, processor: &Arc<Processor>) -> Result<LoadForward<'_>, LoadError> {
    let precision = Precision::of(dtype, processor.kernels())?;
    Ok(Box::new(move |weights, model| Ok(Box::new(KernelModel::load(weights, model, precision, processor)?))))
}

fn assemble(
    origin: &Origin<'_>,
    purpose: Purpose,
    load_forward: LoadForward<'_>,
) -> Result<(Seq2Seq, Usage), LoadError> {
    let Origin { source, family } = *origin;
    let folder = source.folder;
    let architecture = config::read(folder, family)?;
    let generation = GenerationConfig::parse(
        &files::read_capped(folder, files::CONFIG)?,
        files::read_optional(folder, files::GENERATION_CONFIG)?.as_deref(),
    )?;
    let tokenizer = TextTokenizer::read(folder, family, &architecture, generation.forced_bos_token_id)?;
    let limits = Limits::new(&generation, &architecture, tokenizer.max_length)?;
    let (model, usage) = weights::assemble(&source, purpose, embeddings::is_ignorable, |weights| {
        load_forward(weights, architecture.clone())
    })?;
    Ok((Seq2Seq { translator: Translator { architecture, model, generation, limits }, tokenizer }, usage))
}

impl Seq2Seq {
    fn translate(&self, job: &TranslateJob, control: &Control) -> Result<Vec<Translation>, EngineError> {
        let beams = self.translator.beams(job.beams, job.alternatives)?;
        plan::check_size(job)?;
        let (documents, texts) = Documents::read(job)?;
        let plan = Plan::new(job, &texts, &self.tokenizer, self.translator.limits.source_tokens, control)?;
        let translations = self.translate_units(&plan, beams, job.alternatives + 1, control)?;
        let answers = |place| documents.assemble(plan.answers(&translations, place));
        let mut results: Vec<Translation> =
            answers(0).into_iter().map(|text| Translation { text, alternatives: Vec::new() }).collect();
        for place in 1..=job.alternatives {
            for (result, other) in results.iter_mut().zip(answers(place)) {
                if other != result.text && !result.alternatives.contains(&other) {
                    result.alternatives.push(other);
                }
            }
        }
        Ok(results)
    }

    /// Translates sentences of tokens in batches of similar length, so that they end at similar times. Each has up to
    /// `count` translations, best first.
    fn translate_units(
        &self,
        plan: &Plan,
        beams: usize,
        count: usize,
        control: &Control,
    ) -> Result<Vec<Vec<String>>, EngineError> {
        let units = &plan.units;
        let mut order: Vec<usize> = (0..units.len()).collect();
        order.sort_by_key(|unit| std::cmp::Reverse(units[*unit].len()));
        let mut translations = vec![Vec::new(); units.len()];
        let mut rest = order.as_slice();
        while !rest.is_empty() {
            let lengths = rest.iter().map(|unit| units[*unit].len());
            let (batch, behind) = rest.split_at(self.translator.sentences_at_once(lengths, beams));
            rest = behind;
            let sentences: Vec<&[u32]> = batch.iter().map(|unit| units[*unit].as_slice()).collect();
            let generated = self.translator.generate(&sentences, plan.forced_begin, beams, control)?;
            for (unit, found) in batch.iter().zip(generated) {
                let texts = found.iter().take(count).map(|tokens| self.tokenizer.decode(tokens));
                translations[*unit] = texts.collect::<Result<_, _>>().map_err(EngineError::Tokenizer)?;
            }
            let done = units.len() - rest.len();
            control.report(JobProgress::Translated { done, total: units.len() });
        }
        Ok(translations)
    }
}

impl Engine for Seq2Seq {
    fn run(&self, job: &Job, control: &Control) -> Result<Output, EngineError> {
        match job {
            Job::Translate(job) => self.translate(job, control).map(Output::Translations),
            other => Err(EngineError::WrongTask(other.verb())),
        }
    }

    fn canary(&self) -> Result<(), EngineError> {
        let direction = self.tokenizer.languages.any_direction();
        let sentence = self.tokenizer.encode("1", &direction).map_err(EngineError::Tokenizer)?;
        self.translator.check(&sentence)
    }

    fn spoken_languages(&self) -> Option<SpokenLanguages> {
        Some(self.tokenizer.languages.spoken())
    }
}

#[cfg(test)]
mod tests;
