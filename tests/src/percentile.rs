//! Percentiles of measured values.

/// The value below which so many percent of the sorted values lie; of none it is no number.
#[must_use]
pub fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

/// The values from small to large.
#[must_use]
pub fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values = sorted(vec![3.0, 1.0, 2.0, 4.0]);
        assert_eq!([0, 50, 99, 100].map(|percent| percentile(&values, percent)), [1.0, 3.0, 4.0, 4.0]);
        assert!(percentile(&[], 50).is_nan());
    }
}
