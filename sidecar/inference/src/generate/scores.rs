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

/// Whether every number is finite.
#[must_use]
pub fn are_finite(numbers: &[f32]) -> bool {
    // The exponent of what is not finite is all ones, so that its bits without the sign are the greatest; comparing
    // whole numbers, unlike stopping at the first, is done for many at once.
    const INFINITY: u32 = f32::INFINITY.to_bits();
    numbers.iter().fold(0, |most, number| most.max(number.to_bits() & (u32::MAX >> 1))) < INFINITY
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
    }

    #[test]
    fn what_is_not_finite_is_seen_anywhere() {
        assert!(are_finite(&[]) && are_finite(&[0.0, -f32::MAX, f32::MIN_POSITIVE]));
        for number in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut numbers = vec![1.0; 40];
            numbers[33] = number;
            assert!(!are_finite(&numbers), "{number}");
        }
    }

    #[test]
    fn forbidden_scores_stay_forbidden() {
        let mut scores = vec![f32::NEG_INFINITY, 2.0, 2.0];
        log_softmax(&mut scores);
        assert_eq!(scores[0], f32::NEG_INFINITY);
        let mut none = vec![f32::NEG_INFINITY; 2];
        log_softmax(&mut none);
        assert_eq!(none, [f32::NEG_INFINITY; 2]);
    }
}
