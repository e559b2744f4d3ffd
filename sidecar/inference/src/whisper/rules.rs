//! Which tokens may come next: the lists of suppressed tokens and the grammar of timestamps.
//!
//! Everything here changes a row of logits and nothing else. A forbidden token's logit becomes negative infinity.

use ostler_kernels::Kernels;

/// What a window's decoding must keep to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DecodingRules {
    /// Tokens never chosen.
    pub(super) suppress: Vec<u32>,
    /// Tokens never chosen first.
    pub(super) begin_suppress: Vec<u32>,
    /// The grammar of timestamps, where the window is decoded with them.
    pub(super) timestamps: Option<TimestampRules>,
}

impl DecodingRules {
    /// Forbids what may not follow `generated`, the window's own tokens without the prompt.
    pub(super) fn apply(&self, generated: &[u32], logits: &mut [f32]) {
        if generated.is_empty() {
            forbid_each(logits, &self.begin_suppress);
        }
        forbid_each(logits, &self.suppress);
        if let Some(timestamps) = &self.timestamps {
            timestamps.apply(generated, logits);
        }
    }
}

/// The grammar of timestamps: a window starts with one, they come in pairs except before the end, and never go
/// back. So rules the `WhisperTimeStampLogitsProcessor` of transformers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TimestampRules {
    /// The token of "no timestamps"; timestamps are the tokens above it.
    pub(super) no_timestamps: u32,
    /// The token that ends a text; text tokens are those below it.
    pub(super) end: u32,
    /// The highest timestamp that a window may start with, counted from the first one.
    pub(super) max_initial_index: Option<u32>,
}

impl TimestampRules {
    fn apply(&self, generated: &[u32], logits: &mut [f32]) {
        let first = self.no_timestamps as usize + 1;
        if first > logits.len() {
            return;
        }
        let is_timestamp = |token: &u32| *token as usize >= first;
        forbid(&mut logits[first - 1..first]);

        let last_was = generated.last().is_some_and(is_timestamp);
        let one_before_was = generated.len() < 2 || is_timestamp(&generated[generated.len() - 2]);
        if last_was && one_before_was {
            // A pair is complete, so text comes next.
            forbid(&mut logits[first..]);
        } else if last_was {
            // A segment was closed, so the next one opens or the text ends.
            let end = (self.end as usize).min(logits.len());
            forbid(&mut logits[..end]);
        }

        if let Some(&latest) = generated.iter().rev().find(|token| is_timestamp(token)) {
            // A segment may open where the last one closed, but must close later than it opened.
            let lowest = latest as usize + usize::from(!last_was || one_before_was);
            let lowest = lowest.min(logits.len());
            forbid(&mut logits[first..lowest.max(first)]);
        }

        if generated.is_empty() {
            forbid(&mut logits[..first]);
            if let Some(index) = self.max_initial_index {
                let highest = (first + index as usize + 1).min(logits.len());
                forbid(&mut logits[highest..]);
            }
        }

        // Where the timestamps together are more probable than the best of all other tokens, one of them it is.
        let (others, timestamps) = logits.split_at_mut(first);
        if log_sum_exp(timestamps) > Kernels::best().greatest(others) {
            forbid(others);
        }
    }
}

fn forbid(logits: &mut [f32]) {
    logits.fill(f32::NEG_INFINITY);
}

fn forbid_each(logits: &mut [f32], tokens: &[u32]) {
    for &token in tokens {
        if let Some(logit) = logits.get_mut(token as usize) {
            *logit = f32::NEG_INFINITY;
        }
    }
}

/// The logarithm of the sum of exponentials, without overflow; negative infinity of nothing.
#[must_use]
pub(super) fn log_sum_exp(logits: &[f32]) -> f32 {
    Kernels::best().log_sum_exp(logits)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Text is 0 to 3, the end 4, "no timestamps" 5, timestamps 6 to 11.
    fn allowed(generated: &[u32], logits: [f32; 12]) -> Vec<usize> {
        let rules = DecodingRules {
            suppress: vec![3],
            begin_suppress: vec![2, 4],
            timestamps: Some(TimestampRules { no_timestamps: 5, end: 4, max_initial_index: Some(2) }),
        };
        let mut logits = logits;
        rules.apply(generated, &mut logits);
        (0..12).filter(|token| logits[*token] > f32::NEG_INFINITY).collect()
    }

    #[test]
    fn the_grammar_of_timestamps() {
        // Text is much more probable than any timestamp.
        let text = [9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(allowed(&[], text), [6, 7, 8], "a window starts with a timestamp, not too late a one");
        assert_eq!(allowed(&[7], text), [0, 1, 2, 4], "text or the end after the first timestamp");
        assert_eq!(
            allowed(&[7, 0], text),
            [0, 1, 2, 4, 8, 9, 10, 11],
            "a later timestamp closes the segment"
        );
        assert_eq!(allowed(&[7, 0, 9], text), [4, 9, 10, 11], "closed: the end, or a segment from there on");
        assert_eq!(allowed(&[7, 0, 9, 9], text), [0, 1, 2, 4], "opened again: text or the end");
        assert_eq!(
            allowed(&[7, 0, 9, 9, 1], text),
            [0, 1, 2, 4, 10, 11],
            "and it may not close where it opened"
        );
        assert_eq!(allowed(&[7, 0, 11], text), [4, 11]);
    }

    #[test]
    fn timestamps_that_outweigh_every_text_token_win() {
        // Each timestamp alone is less probable than token 0, all six together are more.
        let logits = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5];
        assert_eq!(allowed(&[6, 0], logits), [7, 8, 9, 10, 11]);
    }

    #[test]
    fn without_timestamps_only_the_lists_rule() {
        let rules = DecodingRules { suppress: vec![3, 99], begin_suppress: vec![2], timestamps: None };
        let mut logits = [0.0; 5];
        rules.apply(&[], &mut logits);
        assert_eq!(logits.map(f32::is_finite), [true, true, false, false, true]);
    }

    #[test]
    fn log_sum_exp_neither_overflows_nor_invents() {
        assert_eq!(log_sum_exp(&[]), f32::NEG_INFINITY);
        assert_eq!(log_sum_exp(&[f32::NEG_INFINITY]), f32::NEG_INFINITY);
        assert!((log_sum_exp(&[1000.0, 1000.0]) - (1000.0 + 2.0_f32.ln())).abs() < 1e-3);
    }
}
