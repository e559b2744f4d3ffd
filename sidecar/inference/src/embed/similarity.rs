//! The length and the angle of vectors. Pure.

/// Lengths below these count as them, so that nothing is divided by 0: torch's `normalize` and `CosineSimilarity`.
const SHORTEST_TO_SCALE: f64 = 1e-12;
const SHORTEST_TO_COMPARE: f64 = 1e-8;

/// Scales a vector to length 1; one of zeros stays as it is.
pub fn scale_to_one(vector: &mut [f32]) {
    let length = length(vector).max(SHORTEST_TO_SCALE);
    vector.iter_mut().for_each(|number| *number = (f64::from(*number) / length) as f32);
}

/// The cosine of the angle between two vectors of the same length: 1 for the same direction, 0 for a right angle, -1
/// for the opposite; 0 where one of them is all zeros.
#[must_use]
pub fn cosine_similarity(left: &[f32], right: &[f32]) -> f32 {
    let product: f64 = left.iter().zip(right).map(|(left, right)| f64::from(*left) * f64::from(*right)).sum();
    let lengths = length(left).max(SHORTEST_TO_COMPARE) * length(right).max(SHORTEST_TO_COMPARE);
    (product / lengths).clamp(-1.0, 1.0) as f32
}

fn length(vector: &[f32]) -> f64 {
    vector.iter().map(|number| f64::from(*number).powi(2)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_scaled_and_compared() {
        let mut vector = [3.0, -4.0];
        scale_to_one(&mut vector);
        assert_eq!(vector, [0.6, -0.8]);
        let mut zeros = [0.0, 0.0];
        scale_to_one(&mut zeros);
        assert_eq!(zeros, [0.0, 0.0]);
        assert_eq!(cosine_similarity(&[2.0, 0.0], &[7.0, 0.0]), 1.0);
        assert_eq!(cosine_similarity(&[2.0, 0.0], &[0.0, 1.0]), 0.0);
        assert_eq!(cosine_similarity(&[2.0, 1.0], &[-2.0, -1.0]), -1.0);
        assert_eq!(cosine_similarity(&[0.0, 0.0], &[1.0, 1.0]), 0.0);
    }
}
