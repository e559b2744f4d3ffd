//! A whole clip: window after window until its end, as transformers' sequential long form has it.

use std::io::Write;

use candle_core::{IndexOp, Tensor};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

use super::Whisper;
use super::decoder::DecoderState;
use super::ladder::{self, Measures, Verdict};
use super::language;
use super::mel::ClipMel;
use super::preprocessor::SAMPLE_RATE;
use super::prompt::{self, Prompt};
use super::request::{Request, RequestedLanguage};
use super::rules::{DecodingRules, TimestampRules};
use super::segments::{self, FRAME_SECONDS, TokenSegment};
use super::window::{AfterPrompt, Attempt, Window, WindowOptions};
use crate::engine::{Control, EngineError, JobProgress, Segment, TranscribeJob, Transcript};
use crate::generate::BeamOptions;

/// The language of a clip, once it is known.
struct Language {
    code: String,
    token: Option<u32>,
    probability: Option<f32>,
}

/// A window that was decoded and kept.
struct Decoded {
    attempt: Attempt,
    temperature: f32,
    measures: Measures,
}

/// One transcription at work.
struct Transcription<'a> {
    engine: &'a Whisper,
    job: &'a TranscribeJob,
    control: &'a Control,
    request: Request,
    mel: ClipMel<'a>,
    rules: DecodingRules,
}

pub(super) fn transcribe(
    engine: &Whisper,
    job: &TranscribeJob,
    control: &Control,
) -> Result<Transcript, EngineError> {
    let generation = &engine.generation;
    let request = Request::new(job, generation, &engine.vocabulary)?;
    control.check()?;
    let rules = DecodingRules {
        suppress: generation.suppress.clone(),
        begin_suppress: generation.begin_suppress.clone(),
        timestamps: job.timestamps.then_some(TimestampRules {
            no_timestamps: generation.no_timestamps,
            end: generation.end,
            max_initial_index: generation.max_initial_timestamp_index,
        }),
    };
    let mel = engine.mel.clip(&job.samples);
    Transcription { engine, job, control, request, mel, rules }.run()
}

impl Transcription<'_> {
    fn run(&self) -> Result<Transcript, EngineError> {
        let duration = self.job.samples.len() as f64 / SAMPLE_RATE as f64;
        let window_frames = self.engine.config.window_frames();
        let first_timestamp = self.engine.generation.first_timestamp();
        let mut encoded = Some(self.encode(0)?);
        let language = self.language(encoded.as_ref())?;
        let initial = self.initial_tokens(&language);
        let mut segments: Vec<Segment> = Vec::new();
        // What the next window may read: the prompt at first, then the text so far where that is asked for.
        let mut earlier = self.request.prompt.clone();
        let mut show_earlier = !earlier.is_empty();
        let mut max_length = self.engine.generation.max_length;
        let mut seek = 0;
        while seek < self.mel.frames() {
            let frames = (self.mel.frames() - seek).min(window_frames);
            let states = match encoded.take() {
                Some(states) => states,
                None => self.encode(seek)?,
            };
            let positions = self.engine.config.max_target_positions;
            let shown = if show_earlier { &earlier[..] } else { &[] };
            let prompt =
                prompt::assemble(self.engine.generation.previous, shown, prompt::room(positions), &initial);
            max_length = self.max_length(max_length, &prompt);
            let decoded = self.decode(&states, &prompt, max_length, seek)?;
            let advance = match decoded {
                None => {
                    show_earlier = self.job.condition_on_previous_text;
                    frames
                }
                Some(decoded) => {
                    show_earlier =
                        self.job.condition_on_previous_text && ladder::may_condition(decoded.temperature);
                    let (parts, advance) =
                        segments::split(&decoded.attempt.tokens, first_timestamp, seek, frames);
                    for part in &parts {
                        earlier.extend_from_slice(prompt::as_earlier_text(&part.tokens, first_timestamp));
                    }
                    let finished = self.finish(parts, &decoded, seek, segments.len(), duration)?;
                    segments.extend(finished.iter().cloned());
                    self.report(seek + advance, duration, finished);
                    advance
                }
            };
            seek += advance;
        }
        let text: String = segments.iter().map(|segment| segment.text.as_str()).collect();
        Ok(Transcript {
            text: text.trim().to_owned(),
            language: language.code,
            language_probability: language.probability,
            duration_seconds: duration,
            segments,
        })
    }

    fn encode(&self, seek: usize) -> Result<Tensor, EngineError> {
        self.engine.encoder.forward(self.mel.window(seek, self.engine.config.window_frames()), self.control)
    }

    fn language(&self, first_window: Option<&Tensor>) -> Result<Language, EngineError> {
        let detect = match &self.request.language {
            RequestedLanguage::EnglishOnly => {
                return Ok(Language { code: "en".to_owned(), token: None, probability: None });
            }
            RequestedLanguage::Given { code, token } => {
                return Ok(Language { code: code.clone(), token: Some(*token), probability: None });
            }
            RequestedLanguage::Detect => self.engine.generation.multilingual.as_ref().zip(first_window),
        };
        let (multilingual, states) = detect.ok_or(EngineError::WrongTask("detect languages"))?;
        let decoder = &self.engine.decoder;
        let cross = decoder.remember(states)?;
        let start = [self.engine.generation.start];
        let states = decoder.forward(&[&start], &cross, &mut DecoderState::default(), self.control)?;
        let logits = decoder.logits(&states.i((.., 0))?)?;
        if logits.iter().any(|logit| !logit.is_finite()) {
            return Err(EngineError::NotFinite("a logit"));
        }
        let (code, token, probability) =
            language::detect(multilingual, &logits).ok_or(EngineError::WrongTask("detect languages"))?;
        Ok(Language { code, token: Some(token), probability: Some(probability) })
    }

    fn initial_tokens(&self, language: &Language) -> Vec<u32> {
        let mut tokens = vec![self.engine.generation.start];
        tokens.extend(language.token);
        tokens.extend(self.request.task);
        if !self.job.timestamps {
            tokens.push(self.engine.generation.no_timestamps);
        }
        tokens
    }

    /// The reference adds the prompt's length to the limit, again for every window, up to the model's positions.
    fn max_length(&self, before: usize, prompt: &Prompt) -> usize {
        let positions = self.engine.config.max_target_positions;
        match self.engine.generation.common.max_new_tokens {
            Some(new) => (prompt.tokens.len() + new).min(positions),
            None => (before + prompt.tokens.len().min(prompt::room(positions))).min(positions),
        }
    }

    /// Decodes a window, again and again while the ladder says so. `None` where there is no speech in it.
    fn decode(
        &self,
        states: &Tensor,
        prompt: &Prompt,
        max_length: usize,
        seek: usize,
    ) -> Result<Option<Decoded>, EngineError> {
        let generation = &self.engine.generation;
        let mut processors = generation.common.processors(prompt.tokens.len(), max_length);
        processors
            .push(Box::new(AfterPrompt { rules: self.rules.clone(), prompt_length: prompt.tokens.len() }));
        let beam = BeamOptions {
            max_length,
            ..generation.common.beam_options(Some(self.request.beams), prompt.tokens.len())
        };
        let options = WindowOptions { prompt, processors, beam, no_speech: generation.no_speech() };
        let window = Window::open(&self.engine.decoder, states, options, self.control)?;
        let mut last = None;
        for temperature in ladder::temperatures(self.job.temperature) {
            let attempt = self.attempt(&window, temperature, seek)?;
            let text = self.text(&attempt.tokens)?;
            let measures = Measures {
                compression_ratio: compression_ratio(&text),
                average_log_probability: attempt.average_log_probability,
                no_speech_probability: window.no_speech_probability,
            };
            last = Some(Decoded { attempt, temperature, measures });
            match ladder::judge(self.job.temperature, measures) {
                Verdict::Accept => break,
                Verdict::Retry => {}
                Verdict::Skip => return Ok(None),
            }
        }
        Ok(last)
    }

    fn attempt(&self, window: &Window<'_>, temperature: f32, seek: usize) -> Result<Attempt, EngineError> {
        if temperature <= 0.0 {
            return window.search(self.control);
        }
        let mut random = self.random(temperature, seek);
        window.sample(temperature, || random.random(), self.control)
    }

    /// Randomness that the same clip, window and temperature give again.
    fn random(&self, temperature: f32, seek: usize) -> StdRng {
        let mut hash = Sha256::new();
        for sample in self.job.samples.iter() {
            hash.update(sample.to_bits().to_le_bytes());
        }
        hash.update((seek as u64).to_le_bytes());
        hash.update(temperature.to_bits().to_le_bytes());
        StdRng::from_seed(hash.finalize().into())
    }

    fn text(&self, tokens: &[u32]) -> Result<String, EngineError> {
        let end = self.engine.generation.end;
        let text: Vec<u32> = tokens.iter().copied().filter(|token| *token < end).collect();
        self.engine.vocabulary.decode(&text)
    }

    fn finish(
        &self,
        parts: Vec<TokenSegment>,
        decoded: &Decoded,
        seek: usize,
        first_id: usize,
        duration: f64,
    ) -> Result<Vec<Segment>, EngineError> {
        parts
            .into_iter()
            .enumerate()
            .map(|(index, part)| {
                // Without timestamps a segment would last to the end of its window, silence included.
                let end = if self.job.timestamps { part.end } else { part.end.min(duration) };
                Ok(Segment {
                    id: first_id + index,
                    seek,
                    start: part.start,
                    end,
                    text: self.text(&part.tokens)?,
                    tokens: part.tokens,
                    temperature: decoded.temperature,
                    average_log_probability: decoded.measures.average_log_probability,
                    compression_ratio: decoded.measures.compression_ratio,
                    no_speech_probability: decoded.measures.no_speech_probability,
                })
            })
            .collect()
    }

    fn report(&self, frames: usize, duration: f64, segments: Vec<Segment>) {
        let seconds = (frames as f64 * FRAME_SECONDS).min(duration);
        self.control.report(JobProgress::Transcribed { seconds, total_seconds: duration, segments });
    }
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
