//! What the faster number formats cost: edits of their answers against those of float32, over windows of real speech.

use std::sync::Arc;

use ostler_crds::names::Dtype;
use ostler_inference::engine::{Temperature, TranscribeJob};

use crate::edits::{distance, units};
use crate::recordings::{clip, expected, weights};
use crate::speech::{Clip, job, load, run};

/// Samples of a second.
const RATE: usize = 16_000;
/// Samples of a window: what a sentence takes. Encoding costs as much as for 30 s, decoding a third.
const WINDOW: usize = 10 * RATE;
/// Windows of a recording of less than 30 s, each beginning later than the one before it, and of a longer one.
const WINDOWS: (usize, usize) = (8, 26);
/// What is left of a recording in the last of its windows, in samples: enough for some words.
const LEAST: usize = 5 * RATE / 2;
/// The most edits of a hundred words or letters.
const MOST_EDITS: [(Dtype, f64); 2] = [(Dtype::Bfloat16, 1.0), (Dtype::Int8, 4.0)];

/// A window and the language that is spoken in it.
struct Window {
    language: String,
    clip: Clip,
}

/// The windows of every recording.
fn windows() -> Vec<Window> {
    let lines = expected().into_iter().filter(|line| line.model == "whisper-base");
    lines
        .flat_map(|line| {
            let samples = clip(&line.file).samples;
            let count = if samples.len() > 30 * RATE { WINDOWS.1 } else { WINDOWS.0 };
            let step = (samples.len() - LEAST) / count;
            (0..count).map(move |number| {
                let from = number * step;
                let samples = Arc::from(&samples[from..samples.len().min(from + WINDOW)]);
                Window { language: line.language.clone(), clip: Clip { samples } }
            })
        })
        .collect()
}

#[test]
fn bfloat16_and_bytes_cost_little() {
    let windows = windows();
    assert!(windows.len() >= 100, "{}", windows.len());
    let texts = |dtype: Dtype| -> Vec<Vec<String>> {
        let engine = load(&weights("whisper-base"), dtype);
        let hear = |window: &Window| {
            let language = Some(window.language.clone());
            let plain = TranscribeJob { language, temperature: Temperature::Fixed(0.0), ..job(&window.clip) };
            units(&run(engine.as_ref(), plain).text, &window.language)
        };
        windows.iter().map(hear).collect()
    };
    let reference = texts(Dtype::Float32);
    let total: usize = reference.iter().map(Vec::len).sum();
    for (dtype, most) in MOST_EDITS {
        let pairs = || reference.iter().zip(texts(dtype));
        let edits: Vec<usize> = pairs().map(|(reference, found)| distance(reference, &found)).collect();
        let (sum, changed) = (edits.iter().sum::<usize>(), edits.iter().filter(|edits| **edits > 0).count());
        let percent = sum as f64 / total as f64 * 100.0;
        println!(
            "{dtype}: {sum} edits of {total} ({percent:.2} %), in {changed} of {} windows",
            windows.len()
        );
        assert!(percent <= most, "{dtype}: {percent:.2} % of the words, over {most} %");
    }
}
