//! Whisper: speech to text, every size, multilingual and English-only, straight from a repository's files.
//!
//! What is right is what Hugging Face transformers answers on the same weights in float32. Samples become a
//! log-mel spectrogram ([`mel`]), a window of it states, and those, token by token, text. What may follow what is
//! decided by [`rules`], how a window is cut by [`segments`], when it is tried again by [`ladder`]: all of them see
//! only numbers.

mod config;
mod decoder;
mod encoder;
mod generation_config;
mod ladder;
mod language;
mod layers;
mod mel;
mod mel_filters;
mod preprocessor;
mod prompt;
mod request;
mod rules;
mod sampling;
mod scratch;
mod segments;
mod transcribe;
mod vocabulary;
mod window;

use std::path::Path;

use candle_core::IndexOp;

use self::config::ModelConfig;
use self::decoder::{Decoder, DecoderState};
use self::encoder::Encoder;
use self::generation_config::GenerationConfig;
use self::mel::MelExtractor;
use self::preprocessor::MelConfig;
use self::vocabulary::Vocabulary;
use crate::engine::{Control, Engine, EngineError, Job, Output};
use crate::error::LoadError;
use crate::files;
use crate::footprint::Footprint;
use crate::weights::pickle::PicklePolicy;
use crate::weights::{Purpose, Usage, Weights};

/// Mel frames of the canary: a second of them, so that it costs little.
const CANARY_FRAMES: usize = 100;

/// A loaded Whisper model.
pub struct Whisper {
    config: ModelConfig,
    generation: GenerationConfig,
    vocabulary: Vocabulary,
    mel: MelExtractor,
    encoder: Encoder,
    decoder: Decoder,
}

/// Measures a model from its configs and the headers of its weights.
///
/// # Errors
/// As [`load`], but for what only the weights' numbers show.
pub fn inspect(folder: &Path, pickle: &PicklePolicy) -> Result<Footprint, LoadError> {
    let (whisper, usage) = assemble(folder, pickle, Purpose::Measure)?;
    let beams = request::MAX_BEAMS.max(whisper.generation.common.num_beams.unwrap_or(1));
    Ok(Footprint::new(usage, scratch::bytes(&whisper.config, beams)))
}

/// Loads a model.
///
/// # Errors
/// Where a file is missing or damaged, or asks for what there is no code for.
pub fn load(folder: &Path, pickle: &PicklePolicy, purpose: Purpose) -> Result<Whisper, LoadError> {
    assemble(folder, pickle, purpose).map(|(whisper, _)| whisper)
}

fn assemble(folder: &Path, pickle: &PicklePolicy, purpose: Purpose) -> Result<(Whisper, Usage), LoadError> {
    let config = ModelConfig::parse(&files::read_capped(folder, files::CONFIG)?)?;
    let preprocessor = files::read_optional(folder, preprocessor::FILE)?;
    let mel = MelConfig::parse(preprocessor.as_deref().unwrap_or(b"{}"), &config)?;
    let vocabulary = Vocabulary::read(folder)?;
    let generation = GenerationConfig::read(folder, &config, &vocabulary)?;
    let weights = Weights::open(folder, pickle, purpose)?;
    let encoder = Encoder::load(&weights, &config)?;
    let decoder = Decoder::load(&weights, &config)?;
    // A tied output projection is in some files too; it is the embedding once more.
    let usage = weights.finish(|tensor| tensor == decoder::PROJECTION)?;
    let whisper = Whisper { config, generation, vocabulary, mel: MelExtractor::new(mel), encoder, decoder };
    Ok((whisper, usage))
}

impl Engine for Whisper {
    fn run(&self, job: &Job, control: &Control) -> Result<Output, EngineError> {
        match job {
            Job::Transcribe(job) => transcribe::transcribe(self, job, control).map(Output::Transcript),
            Job::Translate(_) => Err(EngineError::WrongTask("translate text")),
            Job::Classify(_) => Err(EngineError::WrongTask("classify text")),
        }
    }

    fn canary(&self) -> Result<(), EngineError> {
        let control = Control::default();
        let frames = CANARY_FRAMES.min(self.config.window_frames());
        let mel =
            (0..self.config.num_mel_bins * frames).map(|place| (place % 7) as f32 / 7.0 - 0.5).collect();
        let states = self.encoder.forward(mel, &control)?;
        let cross = self.decoder.remember(&states)?;
        let start = [self.generation.start];
        let states = self.decoder.forward(&[&start], &cross, &mut DecoderState::default(), &control)?;
        let logits = self.decoder.logits(&states.i((.., 0))?)?;
        if logits.iter().all(|logit| logit.is_finite()) {
            Ok(())
        } else {
            Err(EngineError::NotFinite("the output of the first step"))
        }
    }
}

#[cfg(test)]
mod tests;
