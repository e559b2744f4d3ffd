//! OpenAI's temperature ladder: what is tried when a window came out badly.

use crate::engine::Temperature;

/// The temperatures of the ladder, in their order.
const LADDER: [f32; 6] = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0];

/// A text that deflates better than this repeats itself.
const MOST_COMPRESSION: f32 = 2.4;
/// A mean log probability below this means that the model guessed.
const LEAST_LOG_PROBABILITY: f32 = -1.0;
/// A guess with a probability of "no speech" above this is silence.
const MOST_NO_SPEECH: f32 = 0.6;
/// Text decoded at this temperature or above is too wild to be shown to later windows.
const TOO_WILD: f32 = 0.5;

/// What a window's text is judged by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Measures {
    /// Bytes of the text over bytes of the same deflated.
    pub(super) compression_ratio: f32,
    /// The mean log probability of the tokens.
    pub(super) average_log_probability: f32,
    /// The probability that the window holds no speech.
    pub(super) no_speech_probability: f32,
}

/// What to do with a window's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Keep it.
    Accept,
    /// Decode again at the next temperature; keep it where there is none.
    Retry,
    /// There is no speech in this window.
    Skip,
}

/// The temperatures to try.
#[must_use]
pub(super) fn temperatures(temperature: Temperature) -> Vec<f32> {
    match temperature {
        Temperature::Ladder => LADDER.to_vec(),
        Temperature::Fixed(one) => vec![one],
    }
}

/// Judges a window. A fixed temperature keeps everything, as transformers does without thresholds.
#[must_use]
pub(super) fn judge(temperature: Temperature, measures: Measures) -> Verdict {
    if matches!(temperature, Temperature::Fixed(_)) {
        return Verdict::Accept;
    }
    let is_guess = measures.average_log_probability < LEAST_LOG_PROBABILITY;
    if is_guess && measures.no_speech_probability > MOST_NO_SPEECH {
        Verdict::Skip
    } else if is_guess || measures.compression_ratio > MOST_COMPRESSION {
        Verdict::Retry
    } else {
        Verdict::Accept
    }
}

/// Whether later windows may see a text that was decoded at this temperature.
#[must_use]
pub(super) fn may_condition(temperature: f32) -> bool {
    temperature < TOO_WILD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thresholds() {
        let good =
            Measures { compression_ratio: 2.4, average_log_probability: -1.0, no_speech_probability: 0.9 };
        let repeating = Measures { compression_ratio: 2.5, ..good };
        let guessed = Measures { average_log_probability: -1.1, no_speech_probability: 0.6, ..good };
        let silent = Measures { no_speech_probability: 0.61, ..guessed };
        for (measures, verdict) in [
            (good, Verdict::Accept),
            (repeating, Verdict::Retry),
            (guessed, Verdict::Retry),
            (silent, Verdict::Skip),
            (Measures { compression_ratio: 9.0, ..silent }, Verdict::Skip),
        ] {
            assert_eq!(judge(Temperature::Ladder, measures), verdict, "{measures:?}");
            assert_eq!(judge(Temperature::Fixed(0.0), measures), Verdict::Accept);
        }
    }
}
