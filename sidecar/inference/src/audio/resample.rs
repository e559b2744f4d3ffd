//! Many channels at any rate to one channel at 16 kHz, piece by piece, so that memory follows the result.

use audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Indexing, Resampler};

use super::error::AudioError;
use super::source::Spec;
use super::{SAMPLE_RATE, error};

/// Frames that go through the resampler at a time.
const CHUNK: usize = 4096;

/// Takes interleaved samples, keeps their mean at 16 kHz.
pub(super) struct MonoResampler {
    spec: Spec,
    max_frames: u64,
    max_numbers: u64,
    max_seconds: f64,
    frames: u64,
    /// Of all channels.
    numbers: u64,
    output: Vec<f32>,
    /// `None` where the file is at 16 kHz already and its samples pass untouched.
    fft: Option<Pending>,
}

struct Pending {
    resampler: Fft<f32>,
    input: Vec<f32>,
    block: Vec<f32>,
}

impl MonoResampler {
    pub(super) fn new(spec: Spec, max_seconds: f64) -> Result<Self, AudioError> {
        if !(AudioError::LEAST_RATE..=AudioError::MOST_RATE).contains(&spec.sample_rate) {
            return Err(AudioError::SampleRate(spec.sample_rate));
        }
        if !(1..=AudioError::MOST_CHANNELS).contains(&spec.channels) {
            return Err(AudioError::Channels(spec.channels));
        }
        let fft = if spec.sample_rate == SAMPLE_RATE {
            None
        } else {
            let resampler =
                Fft::new(spec.sample_rate as usize, SAMPLE_RATE as usize, CHUNK, 1, FixedSync::Input)
                    .map_err(|error| AudioError::Resample(error.to_string()))?;
            let block = vec![0.0; resampler.output_frames_max()];
            Some(Pending { resampler, input: Vec::new(), block })
        };
        let max_frames = (max_seconds * f64::from(spec.sample_rate)) as u64;
        let seconds_of_numbers = max_seconds.max(AudioError::SECONDS_OF_NUMBERS);
        let max_numbers = (seconds_of_numbers * AudioError::NUMBERS_PER_SECOND) as u64;
        Ok(Self {
            spec,
            max_frames,
            max_numbers,
            max_seconds,
            frames: 0,
            numbers: 0,
            output: Vec::new(),
            fft,
        })
    }

    pub(super) fn spec(&self) -> Spec {
        self.spec
    }

    /// Takes the next samples of the file.
    pub(super) fn push(&mut self, spec: Spec, interleaved: &[f32]) -> Result<(), error::AudioError> {
        if spec != self.spec {
            return Err(AudioError::ChangingFormat);
        }
        if interleaved.iter().any(|sample| !sample.is_finite()) {
            return Err(AudioError::NotFinite);
        }
        self.frames += (interleaved.len() / spec.channels) as u64;
        if self.frames > self.max_frames {
            return Err(AudioError::TooLong { max_seconds: self.max_seconds });
        }
        // A small file may unpack to hours at a rate and on channels that nobody records speech with.
        self.numbers += interleaved.len() as u64;
        if self.numbers > self.max_numbers {
            return Err(AudioError::TooManySamples { most: self.max_numbers });
        }
        let share = 1.0 / spec.channels as f32;
        let mono = interleaved
            .chunks_exact(spec.channels)
            .map(|frame| if let [only] = frame { *only } else { frame.iter().sum::<f32>() * share });
        match &mut self.fft {
            None => self.output.extend(mono),
            Some(pending) => {
                pending.input.extend(mono);
                pending.run(&mut self.output)?;
            }
        }
        Ok(())
    }

    /// All samples. There are as many as the file's length at 16 kHz, rounded up.
    pub(super) fn finish(mut self) -> Result<Vec<f32>, AudioError> {
        if let Some(mut pending) = self.fft {
            let wanted =
                (self.frames * u64::from(SAMPLE_RATE)).div_ceil(u64::from(self.spec.sample_rate)) as usize;
            let delay = pending.resampler.output_delay();
            // Silence pushes the last samples through the filter.
            while self.output.len() < wanted + delay {
                let missing = pending.resampler.input_frames_next().saturating_sub(pending.input.len());
                pending.input.extend(std::iter::repeat_n(0.0, missing));
                pending.run(&mut self.output)?;
            }
            self.output.drain(..delay);
            self.output.truncate(wanted);
        }
        Ok(self.output)
    }
}

impl Pending {
    /// Moves every whole chunk of the input to the output.
    fn run(&mut self, output: &mut Vec<f32>) -> Result<(), AudioError> {
        let failed = |error: &dyn std::fmt::Display| AudioError::Resample(error.to_string());
        let mut read = 0;
        loop {
            let needed = self.resampler.input_frames_next();
            if self.input.len() - read < needed {
                break;
            }
            let chunk = &self.input[read..read + needed];
            let frames = self.block.len();
            let input = InterleavedSlice::new(chunk, 1, needed).map_err(|error| failed(&error))?;
            let mut block =
                InterleavedSlice::new_mut(&mut self.block, 1, frames).map_err(|error| failed(&error))?;
            let (_, written) = self
                .resampler
                .process_into_buffer(&input, &mut block, None::<&Indexing>)
                .map_err(|error| failed(&error))?;
            output.extend_from_slice(&self.block[..written]);
            read += needed;
        }
        self.input.drain(..read);
        Ok(())
    }
}
