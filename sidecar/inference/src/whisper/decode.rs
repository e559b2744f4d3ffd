//! Decodes windows, again and again while the temperature ladder says so.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

use super::forward::Forward;
use super::ladder::{self, Measures, Verdict};
use super::prompt::Prompt;
use super::transcription::Transcription;
use super::window::{AfterPrompt, Attempt, WindowOptions, Windows};
use crate::engine::EngineError;
use crate::generate::BeamOptions;

/// A window that was decoded and kept.
pub(super) struct Decoded {
    /// Its tokens.
    pub(super) attempt: Attempt,
    /// The temperature that gave them.
    pub(super) temperature: f32,
    /// What they were judged by.
    pub(super) measures: Measures,
}

/// Decodes windows, each given by its states and the frame that it starts at. `None` where there is no speech.
pub(super) fn decode<F: Forward>(
    transcription: &Transcription<'_, F>,
    windows: &[(&F::Memory, usize)],
    prompt: &Prompt,
    max_length: usize,
) -> Result<Vec<Option<Decoded>>, EngineError> {
    let generation = &transcription.engine.generation;
    let mut processors = generation.common.processors(prompt.tokens.len(), max_length);
    processors.push(Box::new(AfterPrompt {
        rules: transcription.rules.clone(),
        prompt_length: prompt.tokens.len(),
    }));
    let beam = BeamOptions {
        max_length,
        ..generation.common.beam_options(Some(transcription.request.beams), prompt.tokens.len())
    };
    let options = WindowOptions { prompt, processors, beam, no_speech: generation.no_speech() };
    let memories: Vec<&F::Memory> = windows.iter().map(|(memory, _)| *memory).collect();
    let opened = Windows::open(&transcription.engine.forward, &memories, options, transcription.control)?;
    let mut found: Vec<Option<Decoded>> = windows.iter().map(|_| None).collect();
    let mut undecided: Vec<usize> = (0..windows.len()).collect();
    for temperature in ladder::temperatures(transcription.job.temperature) {
        if undecided.is_empty() {
            break;
        }
        let attempts = attempts(transcription, &opened, windows, &undecided, temperature)?;
        let mut again = Vec::new();
        for (window, attempt) in undecided.into_iter().zip(attempts) {
            let measures = Measures {
                compression_ratio: compression_ratio(&transcription.engine.text(&attempt.tokens)?),
                average_log_probability: attempt.average_log_probability,
                no_speech_probability: opened.no_speech_probabilities[window],
            };
            found[window] = Some(Decoded { attempt, temperature, measures });
            match ladder::judge(transcription.job.temperature, measures) {
                Verdict::Accept => {}
                Verdict::Retry => again.push(window),
                Verdict::Skip => found[window] = None,
            }
        }
        undecided = again;
    }
    Ok(found)
}

/// What the `undecided` of the windows come to at a temperature.
fn attempts<F: Forward>(
    transcription: &Transcription<'_, F>,
    opened: &Windows<'_, F>,
    windows: &[(&F::Memory, usize)],
    undecided: &[usize],
    temperature: f32,
) -> Result<Vec<Attempt>, EngineError> {
    let control = transcription.control;
    if temperature <= 0.0 {
        return opened.search(undecided, control);
    }
    let sample = |window: &usize| {
        let seek = windows[*window].1;
        let mut random: Vec<StdRng> = (0..transcription.request.best_of)
            .map(|sample| random(&transcription.job.samples, seek, temperature, sample))
            .collect();
        let samples =
            opened.sample(*window, temperature, random.len(), |row| random[row].random(), control)?;
        // Of equal ones the first.
        let best = samples.into_iter().reduce(|best, other| {
            if other.average_log_probability > best.average_log_probability { other } else { best }
        });
        best.ok_or(EngineError::NotFinite("every logit"))
    };
    undecided.iter().map(sample).collect()
}

/// Randomness that the same clip, window, temperature and sample give again.
fn random(samples: &[f32], seek: usize, temperature: f32, sample: usize) -> StdRng {
    let mut hash = Sha256::new();
    for sample in samples {
        hash.update(sample.to_bits().to_le_bytes());
    }
    hash.update((seek as u64).to_le_bytes());
    hash.update(temperature.to_bits().to_le_bytes());
    if sample > 0 {
        hash.update((sample as u64).to_le_bytes());
    }
    StdRng::from_seed(hash.finalize().into())
}

/// Bytes of a text over bytes of the same deflated; of no text 0.
fn compression_ratio(text: &str) -> f32 {
    if text.is_empty() {
        return 0.0;
    }
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    // Writing into memory cannot fail; a ratio of 0 would be taken for a text that does not repeat.
    match encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish()) {
        Ok(deflated) => text.len() as f32 / deflated.len() as f32,
        Err(_) => 0.0,
    }
}
