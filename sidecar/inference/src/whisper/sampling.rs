//! Choosing a token at random from its row of logits.

use super::rules::log_sum_exp;

/// A chosen token and the logarithm of its probability at temperature 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Choice {
    /// The token.
    pub(super) token: u32,
    /// The logarithm of its probability among the tokens that the rules allow.
    pub(super) log_probability: f32,
}

/// The token at `uniform`, 0 to 1, of the distribution that `temperature` above 0 makes of the logits.
#[must_use]
pub(super) fn at(logits: &[f32], temperature: f32, uniform: f64) -> Option<Choice> {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if !highest.is_finite() {
        return None;
    }
    let weight = |logit: f32| (f64::from(logit - highest) / f64::from(temperature)).exp();
    let target = uniform * logits.iter().copied().map(weight).sum::<f64>();
    let mut reached = 0.0;
    let mut chosen = None;
    for (token, &logit) in logits.iter().enumerate() {
        let weight = weight(logit);
        if weight > 0.0 {
            chosen = Some((token, logit));
            reached += weight;
            if reached > target {
                break;
            }
        }
    }
    let (token, logit) = chosen?;
    choice(token, logit, logits)
}

/// The probability of one token among all.
#[must_use]
pub(super) fn probability(logits: &[f32], token: u32) -> f32 {
    logits.get(token as usize).map_or(0.0, |logit| (logit - log_sum_exp(logits)).exp())
}

fn choice(token: usize, logit: f32, logits: &[f32]) -> Option<Choice> {
    Some(Choice { token: u32::try_from(token).ok()?, log_probability: logit - log_sum_exp(logits) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORBIDDEN: f32 = f32::NEG_INFINITY;

    #[test]
    fn a_place_in_the_distribution_names_a_token() {
        let logits = [FORBIDDEN, 0.0, FORBIDDEN, 0.0];
        for (uniform, token) in [(0.0, 1), (0.49, 1), (0.51, 3), (1.0, 3)] {
            assert_eq!(at(&logits, 1.0, uniform).map(|choice| choice.token), Some(token), "{uniform}");
        }
        assert_eq!(at(&[FORBIDDEN], 1.0, 0.5), None);
        // Cold sharpens: nearly all of the weight is on the best token.
        assert_eq!(at(&[0.0, 1.0], 0.01, 0.01).map(|choice| choice.token), Some(1));
    }

    #[test]
    fn probabilities_add_up() {
        let logits = [0.3, -1.0, 2.0];
        let sum: f32 = (0..3).map(|token| probability(&logits, token)).sum();
        assert!((sum - 1.0).abs() < 1e-6);
        assert_eq!(probability(&logits, 9), 0.0);
    }
}
