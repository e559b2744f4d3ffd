//! Arithmetic over the scores of one row.

/// The natural logarithm of the softmax of `logits`, in place, as transformers takes it before beam search.
pub fn log_softmax(logits: &mut [f32]) {
    let maximum = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if maximum == f32::NEG_INFINITY {
        return;
    }
    let sum: f64 = logits.iter().map(|logit| f64::from((logit - maximum).exp())).sum();
    let logarithm = sum.ln() as f32;
    for logit in logits {
        *logit = *logit - maximum - logarithm;
    }
}

/// The place of the largest number, the first of equal ones; 0 where there is none.
#[must_use]
pub fn argmax(scores: &[f32]) -> usize {
    let mut best = 0;
    for (place, score) in scores.iter().enumerate() {
        if *score > scores[best] {
            best = place;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_add_up_to_one_however_large_the_logits() {
        let mut scores = vec![1000.0, 1001.0, -1000.0];
        log_softmax(&mut scores);
        let sum: f32 = scores.iter().map(|score| score.exp()).sum();
        assert!((sum - 1.0).abs() < 1e-6, "{sum}");
        assert_eq!(argmax(&scores), 1);
    }

    #[test]
    fn forbidden_scores_stay_forbidden_and_the_first_of_equal_ones_wins() {
        let mut scores = vec![f32::NEG_INFINITY, 2.0, 2.0];
        log_softmax(&mut scores);
        assert_eq!(scores[0], f32::NEG_INFINITY);
        assert_eq!(argmax(&scores), 1);
        let mut none = vec![f32::NEG_INFINITY; 2];
        log_softmax(&mut none);
        assert_eq!(none, [f32::NEG_INFINITY; 2]);
    }
}
