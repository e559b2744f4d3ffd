//! Whisper: speech to text, every size, multilingual and English-only, straight from a repository's files.
//!
//! What is right is what Hugging Face transformers answers on the same weights in float32. Samples become a
//! log-mel spectrogram ([`mel`]), a window of it states, and those, token by token, text. What may follow what is
//! decided by [`rules`], how a window is cut by [`segments`], when it is tried again by [`ladder`]: all of them see
//! only numbers.

mod alignment;
mod batched;
mod byte_level;
#[cfg(test)]
mod candle;
mod config;
mod cuts;
mod decode;
mod finish;
mod forward;
mod generation_config;
mod kernels;
mod ladder;
mod language;
mod loudness;
mod mel;
mod mel_filters;
mod preprocessor;
mod prompt;
mod request;
mod rules;
mod sampling;
mod scratch;
mod segments;
mod sequential;
mod transcribe;
mod transcription;
mod vocabulary;
mod window;
mod words;

use ostler_crds::names::Dtype;

use self::config::ModelConfig;
use self::forward::{Forward, Session};
use self::generation_config::GenerationConfig;
use self::kernels::KernelForward;
use self::mel::MelExtractor;
use self::preprocessor::MelConfig;
use self::vocabulary::Vocabulary;
use crate::engine::{Control, Engine, EngineError, Job, Output};
use crate::error::LoadError;
use crate::files;
use crate::footprint::Footprint;
use crate::processor::Precision;
use crate::weights::{self, Purpose, Source, Usage, Weights};

/// Mel frames of the canary: a second of them, so that it costs little.
const CANARY_FRAMES: usize = 100;

/// A loaded Whisper model with one of the forward passes.
struct Whisper<F> {
    config: ModelConfig,
    generation: GenerationConfig,
    vocabulary: Vocabulary,
    mel: MelExtractor,
    forward: F,
}

/// Measures a model from its configs and the headers of its weights.
///
/// # Errors
/// As [`load`], but for what only the weights' numbers show.
pub fn inspect(source: &Source<'_>, dtype: Dtype) -> Result<Footprint, LoadError> {
    let (whisper, usage) = packed(source, dtype, Purpose::Measure)?;
    let beams = request::MAX_BEAMS.max(whisper.generation.common.num_beams.unwrap_or(1));
    let heads = whisper.generation.alignment_heads.len();
    let kept = whisper.mel.kept_bytes();
    Ok(Footprint::new(usage, scratch::bytes(&whisper.forward, &whisper.config, heads, beams, kept)))
}

/// Loads a model.
///
/// # Errors
/// Where a file is missing or damaged, or asks for what there is no code for.
pub fn load(source: &Source<'_>, dtype: Dtype) -> Result<Box<dyn Engine>, LoadError> {
    let (whisper, _) = packed(source, dtype, Purpose::Run)?;
    Ok(Box::new(whisper))
}

fn packed(
    source: &Source<'_>,
    dtype: Dtype,
    purpose: Purpose,
) -> Result<(Whisper<KernelForward>, Usage), LoadError> {
    let precision = Precision::of(dtype, source.processor.kernels())?;
    assemble(source, purpose, |weights, config| {
        KernelForward::load(weights, config, precision, source.processor)
    })
}

fn assemble<F>(
    source: &Source<'_>,
    purpose: Purpose,
    load: impl Fn(&Weights, &ModelConfig) -> Result<F, LoadError>,
) -> Result<(Whisper<F>, Usage), LoadError> {
    let folder = source.folder;
    let config = ModelConfig::parse(&files::read_capped(folder, files::CONFIG)?)?;
    let preprocessor = files::read_optional(folder, preprocessor::FILE)?;
    let mel = MelConfig::parse(preprocessor.as_deref().unwrap_or(b"{}"), &config)?;
    let vocabulary = Vocabulary::begin(folder, source.processor)?;
    // A tied output projection is in some files too; it is the embedding once more.
    let ignorable = |tensor: &str| tensor == config::OUTPUT_PROJECTION;
    let (forward, usage) = weights::assemble(source, purpose, ignorable, |weights| load(weights, &config))?;
    let vocabulary = vocabulary.wait()?;
    let generation = GenerationConfig::read(folder, &config, &vocabulary)?;
    let whisper = Whisper { config, generation, vocabulary, mel: MelExtractor::new(mel), forward };
    Ok((whisper, usage))
}

impl<F> Whisper<F> {
    /// The text of tokens, without timestamps and other special ones.
    fn text(&self, tokens: &[u32]) -> Result<String, EngineError> {
        let text: Vec<u32> = tokens.iter().copied().filter(|token| *token < self.generation.end).collect();
        self.vocabulary.decode(&text)
    }
}

impl<F: Forward> Engine for Whisper<F> {
    fn run(&self, job: &Job, control: &Control) -> Result<Output, EngineError> {
        match job {
            Job::Transcribe(job) => transcribe::transcribe(self, job, control).map(Output::Transcript),
            Job::DetectLanguage(job) => language::of_clip(self, job, control).map(Output::Languages),
            other => Err(EngineError::WrongTask(other.verb())),
        }
    }

    fn canary(&self) -> Result<(), EngineError> {
        let control = Control::default();
        let frames = CANARY_FRAMES.min(self.config.window_frames());
        let numbers = 0..self.config.num_mel_bins * frames;
        let mel: Vec<f32> = numbers.map(|place| (place % 7) as f32 / 7.0 - 0.5).collect();
        let memory = self.forward.encode(&mel, &control)?;
        let mut session = self.forward.session(&[&memory], 1)?;
        let mut logits = Vec::new();
        session.feed(&[&[self.generation.start]], &[0], &mut logits, &control)?;
        if logits.iter().all(|logit| logit.is_finite()) {
            Ok(())
        } else {
            Err(EngineError::NotFinite("the output of the first step"))
        }
    }
}

#[cfg(test)]
mod tests;
