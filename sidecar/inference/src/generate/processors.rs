//! Rules over the scores of the next token, as transformers' logits processors of the same names have them.

use ostler_kernels::Kernels;

/// A rule: it sees a row's tokens so far, the prompt among them, and changes the scores of the next one.
pub trait LogitsProcessor: Send + Sync {
    /// Changes `scores`, one for each token of the vocabulary.
    fn apply(&self, tokens: &[u32], scores: &mut [f32]);
}

fn forbid(scores: &mut [f32], token: u32) {
    if let Some(score) = scores.get_mut(token as usize) {
        *score = f32::NEG_INFINITY;
    }
}

/// Sets every score but that of `token` to minus infinity, and its own to 0.
fn force(scores: &mut [f32], tokens: &[u32]) {
    scores.fill(f32::NEG_INFINITY);
    for token in tokens {
        if let Some(score) = scores.get_mut(*token as usize) {
            *score = 0.0;
        }
    }
}

/// Divides the score of each token that occurred by `penalty` where it is positive, else multiplies it.
pub struct RepetitionPenalty {
    /// Above 1 to discourage repetition.
    pub penalty: f32,
}

impl LogitsProcessor for RepetitionPenalty {
    fn apply(&self, tokens: &[u32], scores: &mut [f32]) {
        let mut seen = tokens.to_vec();
        seen.sort_unstable();
        seen.dedup();
        for token in seen {
            if let Some(score) = scores.get_mut(token as usize) {
                *score = if *score < 0.0 { *score * self.penalty } else { *score / self.penalty };
            }
        }
    }
}

/// Forbids the token that would repeat a run of `size` tokens.
pub struct NoRepeatNgram {
    /// The length of the runs, at least 1.
    pub size: usize,
}

impl LogitsProcessor for NoRepeatNgram {
    fn apply(&self, tokens: &[u32], scores: &mut [f32]) {
        let Some(context_length) = self.size.checked_sub(1) else { return };
        if tokens.len() < self.size {
            return;
        }
        let context = &tokens[tokens.len() - context_length..];
        for run in tokens.windows(self.size) {
            if run[..context_length] == *context {
                forbid(scores, run[context_length]);
            }
        }
    }
}

/// Forbids runs of tokens: the last token of each, where the ones before it have just been generated.
pub struct BadWords {
    /// The runs, none of them empty.
    pub words: Vec<Vec<u32>>,
}

impl LogitsProcessor for BadWords {
    fn apply(&self, tokens: &[u32], scores: &mut [f32]) {
        for word in &self.words {
            if let Some((last, before)) = word.split_last()
                && tokens.ends_with(before)
            {
                forbid(scores, *last);
            }
        }
    }
}

/// Forbids the end before a length, prompt included, is reached.
pub struct MinLength {
    /// The length in tokens.
    pub length: usize,
    /// The tokens that end a text.
    pub end: Vec<u32>,
}

impl LogitsProcessor for MinLength {
    fn apply(&self, tokens: &[u32], scores: &mut [f32]) {
        if tokens.len() < self.length {
            self.end.iter().for_each(|token| forbid(scores, *token));
        }
    }
}

/// Makes the first token after a prompt of one token a certain one.
pub struct ForcedBegin {
    /// The token.
    pub token: u32,
}

impl LogitsProcessor for ForcedBegin {
    fn apply(&self, tokens: &[u32], scores: &mut [f32]) {
        if tokens.len() == 1 {
            force(scores, &[self.token]);
        }
    }
}

/// Ends a text that reaches the greatest length.
pub struct ForcedEnd {
    /// The greatest length in tokens, prompt included.
    pub max_length: usize,
    /// The tokens that end a text.
    pub tokens: Vec<u32>,
}

impl LogitsProcessor for ForcedEnd {
    fn apply(&self, tokens: &[u32], scores: &mut [f32]) {
        if tokens.len() + 1 == self.max_length {
            force(scores, &self.tokens);
        }
    }
}

/// Forbids tokens everywhere.
pub struct SuppressTokens {
    /// The tokens.
    pub tokens: Vec<u32>,
}

impl LogitsProcessor for SuppressTokens {
    fn apply(&self, _tokens: &[u32], scores: &mut [f32]) {
        self.tokens.iter().for_each(|token| forbid(scores, *token));
    }
}

/// Forbids tokens right after the prompt.
pub struct SuppressTokensAtBegin {
    /// The length of the prompt in tokens.
    pub begin: usize,
    /// The tokens.
    pub tokens: Vec<u32>,
}

impl LogitsProcessor for SuppressTokensAtBegin {
    fn apply(&self, tokens: &[u32], scores: &mut [f32]) {
        if tokens.len() == self.begin {
            self.tokens.iter().for_each(|token| forbid(scores, *token));
        }
    }
}

/// Takes the logarithm of the softmax again after the other rules, so that scores stay log probabilities.
pub struct Renormalize;

impl LogitsProcessor for Renormalize {
    fn apply(&self, _tokens: &[u32], scores: &mut [f32]) {
        Kernels::best().log_softmax(scores);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORBIDDEN: f32 = f32::NEG_INFINITY;

    /// What it shows, the rule, the tokens so far, the scores after it.
    type Case = (&'static str, Box<dyn LogitsProcessor>, &'static [u32], [f32; 4]);

    fn applied(processor: &dyn LogitsProcessor, tokens: &[u32]) -> Vec<f32> {
        let mut scores = vec![1.0, -1.0, 2.0, 0.5];
        processor.apply(tokens, &mut scores);
        scores
    }

    #[test]
    fn each_rule_changes_what_its_name_says() {
        let cases: Vec<Case> = vec![
            ("repetition", Box::new(RepetitionPenalty { penalty: 2.0 }), &[0, 1, 0], [0.5, -2.0, 2.0, 0.5]),
            ("ngram", Box::new(NoRepeatNgram { size: 2 }), &[0, 2, 0], [1.0, -1.0, FORBIDDEN, 0.5]),
            ("ngram, short", Box::new(NoRepeatNgram { size: 2 }), &[0], [1.0, -1.0, 2.0, 0.5]),
            ("bad word", Box::new(BadWords { words: vec![vec![2]] }), &[], [1.0, -1.0, FORBIDDEN, 0.5]),
            ("bad run", Box::new(BadWords { words: vec![vec![3, 2]] }), &[1, 3], [1.0, -1.0, FORBIDDEN, 0.5]),
            (
                "bad run, not begun",
                Box::new(BadWords { words: vec![vec![3, 2]] }),
                &[1],
                [1.0, -1.0, 2.0, 0.5],
            ),
            ("bad word beyond", Box::new(BadWords { words: vec![vec![9]] }), &[1], [1.0, -1.0, 2.0, 0.5]),
            (
                "minimum",
                Box::new(MinLength { length: 3, end: vec![0] }),
                &[1, 1],
                [FORBIDDEN, -1.0, 2.0, 0.5],
            ),
            ("minimum met", Box::new(MinLength { length: 2, end: vec![0] }), &[1, 1], [1.0, -1.0, 2.0, 0.5]),
            ("begin", Box::new(ForcedBegin { token: 3 }), &[1], [FORBIDDEN, FORBIDDEN, FORBIDDEN, 0.0]),
            (
                "end",
                Box::new(ForcedEnd { max_length: 3, tokens: vec![0] }),
                &[1, 1],
                [0.0, FORBIDDEN, FORBIDDEN, FORBIDDEN],
            ),
            (
                "end, early",
                Box::new(ForcedEnd { max_length: 4, tokens: vec![0] }),
                &[1, 1],
                [1.0, -1.0, 2.0, 0.5],
            ),
            ("suppress", Box::new(SuppressTokens { tokens: vec![1, 9] }), &[], [1.0, FORBIDDEN, 2.0, 0.5]),
            (
                "suppress at begin",
                Box::new(SuppressTokensAtBegin { begin: 1, tokens: vec![1] }),
                &[5],
                [1.0, FORBIDDEN, 2.0, 0.5],
            ),
            (
                "suppress after begin",
                Box::new(SuppressTokensAtBegin { begin: 1, tokens: vec![1] }),
                &[5, 5],
                [1.0, -1.0, 2.0, 0.5],
            ),
        ];
        for (name, processor, tokens, expected) in cases {
            assert_eq!(applied(processor.as_ref(), tokens), expected, "{name}");
        }
    }

    #[test]
    fn renormalized_scores_are_log_probabilities() {
        let scores = applied(&Renormalize, &[]);
        let sum: f32 = scores.iter().map(|score| score.exp()).sum();
        assert!((sum - 1.0).abs() < 1e-6, "{sum}");
    }
}
