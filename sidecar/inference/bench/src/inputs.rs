//! What everybody works on: a window of speech, ten minutes of it, sentences.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use ostler_inference::audio::{self, AudioError, AudioLimits, SAMPLE_RATE};

use crate::shapes::{SENTENCE_TOKENS, WINDOWS};

/// Samples of a window.
const WINDOW: usize = 30 * SAMPLE_RATE as usize;

/// The reading that is longer than a window, and two shorter clips.
const READING: &str = "ljspeech_1_8.wav";
const SPEECH: &str = "jfk.wav";
const SENTENCE: &str = "quilter_en.wav";
/// Where the reading is cut in two: its quietest place between these, so that both halves fit a window.
const CUT_SECONDS: Range<f64> = 21.5..28.5;
/// How long a pause is.
const PAUSE_SECONDS: f64 = 0.3;

/// Why there are no inputs.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// A file cannot be read or written.
    #[error("{}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A clip cannot be decoded.
    #[error("{0} is not audio")]
    Audio(&'static str, #[source] AudioError),
    /// The table of what is said lacks a clip.
    #[error("expected.tsv has no line for {0} with whisper-base")]
    Unknown(&'static str),
}

/// Files of samples, and what is said in them.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// The first 30 s of a reading.
    pub window: PathBuf,
    /// Ten minutes in [`WINDOWS`] windows, each with a pause at both ends, so that no word is cut by whoever cuts there.
    pub recording: PathBuf,
    /// What is said in the ten minutes.
    pub reference: String,
}

impl Inputs {
    /// Reads the clips of `tests/real-models` and writes the inputs into a folder.
    ///
    /// # Errors
    /// See [`InputError`].
    pub fn write(clips: &Path, to: &Path) -> Result<Self, InputError> {
        let table = clips.join("expected.tsv");
        let table = fs::read_to_string(&table).map_err(|source| InputError::File { file: table, source })?;
        let clip = |name| read(clips, name);
        let said = |name| reference(&table, name).ok_or(InputError::Unknown(name));
        let (reading, speech, sentence) = (clip(READING)?, clip(SPEECH)?, clip(SENTENCE)?);
        let cut = quietest(&reading, CUT_SECONDS);
        let parts = [
            reading[..cut].to_vec(),
            reading[cut..].to_vec(),
            [&speech[..], &sentence[..], &speech[..]].concat(),
        ];
        let mut recording = Vec::with_capacity(WINDOWS * WINDOW);
        for number in 0..WINDOWS {
            recording.extend(padded(&parts[number % parts.len()], WINDOW));
        }
        let [reading_text, speech_text, sentence_text] = [said(READING)?, said(SPEECH)?, said(SENTENCE)?];
        let last = format!("{speech_text} {sentence_text} {speech_text}");
        // The words of both halves of the reading stand at its first one; windows are in order, so all is in order.
        let texts = [reading_text, "", &last];
        let reference = (0..WINDOWS).map(|number| texts[number % texts.len()]).collect::<Vec<_>>().join(" ");
        let inputs = Self { window: to.join("window.f32"), recording: to.join("recording.f32"), reference };
        write(&inputs.window, &reading[..WINDOW.min(reading.len())])?;
        write(&inputs.recording, &recording)?;
        Ok(inputs)
    }
}

fn read(clips: &Path, name: &'static str) -> Result<Vec<f32>, InputError> {
    let file = clips.join("audio").join(name);
    let bytes = fs::read(&file).map_err(|source| InputError::File { file, source })?;
    let pcm =
        audio::decode(&bytes, &AudioLimits::default()).map_err(|error| InputError::Audio(name, error))?;
    Ok(pcm.samples)
}

fn write(file: &Path, samples: &[f32]) -> Result<(), InputError> {
    let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    fs::write(file, bytes).map_err(|source| InputError::File { file: file.to_owned(), source })
}

/// What is said in a clip, from the table of expected answers: its last column, in the line of whisper-base.
fn reference<'a>(table: &'a str, clip: &str) -> Option<&'a str> {
    let mut lines = table.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    lines.find(|columns| columns[..2.min(columns.len())] == [clip, "whisper-base"])?.last().copied()
}

/// The middle of the quietest pause within a range of seconds, as a number of samples.
fn quietest(samples: &[f32], within: Range<f64>) -> usize {
    let at = |seconds: f64| ((seconds * f64::from(SAMPLE_RATE)) as usize).min(samples.len());
    let pause = at(PAUSE_SECONDS).max(1);
    let step = pause / 10 + 1;
    let starts = (at(within.start)..at(within.end).saturating_sub(pause)).step_by(step);
    let energy =
        |start: usize| samples[start..start + pause].iter().map(|sample| sample * sample).sum::<f32>();
    let quietest = starts.min_by(|one, other| energy(*one).total_cmp(&energy(*other)));
    quietest.map_or(at(within.start), |start| start + pause / 2)
}

/// The samples after a pause, filled up with silence to `length`.
fn padded(samples: &[f32], length: usize) -> Vec<f32> {
    let pause = (PAUSE_SECONDS * f64::from(SAMPLE_RATE)) as usize;
    let mut window = vec![0.0; pause];
    window.extend_from_slice(&samples[..samples.len().min(length.saturating_sub(2 * pause))]);
    window.resize(length, 0.0);
    window
}

/// So many sentences of the made model's words, each of [`SENTENCE_TOKENS`] tokens with its end.
#[must_use]
pub fn sentences(count: usize) -> Vec<String> {
    let words = SENTENCE_TOKENS - 1;
    let sentence = |number: usize| {
        let numbers = (0..words).map(|place| (1000 + 7919 * (words * number + place)) % 58_000);
        numbers.map(word).collect::<Vec<_>>().join(" ")
    };
    (0..count).map(sentence).collect()
}

/// Word `number` of the made model's vocabulary, as `peers/make_marian.py` has it.
fn word(number: usize) -> String {
    const LETTERS: &[u8; 26] = b"etaoinshrdlucmfwypvbgkjqxz";
    (0..4).rev().map(|place| char::from(LETTERS[number / 26usize.pow(place) % 26])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_all_different_and_of_one_length() {
        let sentences = sentences(128);
        assert!(sentences.iter().all(|sentence| sentence.split(' ').count() == 24));
        let mut unique = sentences.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), 128);
        assert_eq!([word(0), word(1), word(26)], ["eeee", "eeet", "eete"]);
    }

    #[test]
    fn a_cut_is_in_the_pause_and_windows_are_of_one_length() {
        let rate = SAMPLE_RATE as usize;
        let mut samples = vec![0.5f32; 4 * rate];
        samples[2 * rate..2 * rate + rate / 2].fill(0.0);
        let cut = quietest(&samples, 1.0..3.5);
        assert!((2 * rate..2 * rate + rate / 2).contains(&cut), "{cut}");
        let window = padded(&samples, 5 * rate);
        assert_eq!(window.len(), 5 * rate);
        assert!(window[..rate / 5].iter().chain(&window[5 * rate - rate / 5..]).all(|sample| *sample == 0.0));
    }

    #[test]
    fn the_inputs_are_ten_minutes_and_a_window() {
        let clips = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/real-models");
        let folder = tempfile::tempdir().unwrap();
        let inputs = Inputs::write(&clips, folder.path()).unwrap();
        let samples = |file: &Path| fs::metadata(file).unwrap().len() as usize / 4;
        assert_eq!((samples(&inputs.window), samples(&inputs.recording)), (WINDOW, WINDOWS * WINDOW));
        assert!(crate::agreement::words(&inputs.reference).len() > 1200);
    }
}
