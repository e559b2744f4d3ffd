//! The tables of positions: which tensors hold them, and the formulas of those that are computed.

use super::architecture::{Architecture, POSITION_OFFSET, Positions};
use crate::error::LoadError;
use crate::weights::Weights;
use ostler_kernels::Numbers;

/// Positions x width: what is added to the embedding of the token at each position. `stack` is `encoder` or
/// `decoder`.
pub(super) fn table(weights: &Weights, stack: &str, model: &Architecture) -> Result<Numbers<f32>, LoadError> {
    let Architecture { longest, width, .. } = *model;
    let name = format!("model.{stack}.embed_positions.weight");
    let shape = [longest, width];
    match model.positions {
        Positions::Sinusoids if weights.contains(&name) => weights.table(&name, &shape),
        Positions::Sinusoids => weights.computed("sinusoids", &shape, || sinusoids(longest, width)),
        Positions::OffsetSinusoids => {
            weights.computed("offset sinusoids", &shape, || offset_sinusoids(longest, width))
        }
        Positions::Learned => {
            let end = longest + POSITION_OFFSET;
            weights.rows(&name, &[end, width], POSITION_OFFSET..end)
        }
    }
}

/// Positions x width: for position p and pair i of dimensions, the sine of p / 10000^(2i / width) in the first
/// half and the cosine in the second ("Attention is all you need", 3.5, without interleaving, as XLM has it).
fn sinusoids(positions: usize, width: usize) -> Vec<f32> {
    let angle =
        |position: usize, pair: usize| position as f64 / 10_000f64.powf(2.0 * pair as f64 / width as f64);
    let sines = width.div_ceil(2);
    (0..positions)
        .flat_map(|position| {
            let sine = (0..sines).map(move |pair| angle(position, pair).sin() as f32);
            sine.chain((0..width - sines).map(move |pair| angle(position, pair).cos() as f32))
        })
        .collect()
}

/// As [`sinusoids`], but the frequencies of the pairs go down to 1 / 10000 itself, positions start at
/// [`POSITION_OFFSET`], and an odd width ends with a zero. In 32 bits, step by step as transformers computes it: the
/// sine of a large angle keeps the rounding of the angle.
fn offset_sinusoids(positions: usize, width: usize) -> Vec<f32> {
    let pairs = width / 2;
    let step = (10_000f64.ln() / (pairs.max(2) - 1) as f64) as f32;
    let frequencies: Vec<f32> = (0..pairs).map(|pair| (pair as f32 * -step).exp()).collect();
    (POSITION_OFFSET..positions + POSITION_OFFSET)
        .flat_map(|position| {
            let angles = frequencies.iter().map(move |frequency| position as f32 * frequency);
            let sines = angles.clone().map(f32::sin);
            sines.chain(angles.map(f32::cos)).chain(std::iter::repeat_n(0.0, width % 2))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formulas_give_what_their_papers_say() {
        let table = sinusoids(2, 4);
        assert_eq!(table[..4], [0.0, 0.0, 1.0, 1.0]);
        assert!((table[4] - 1f32.sin()).abs() < 1e-7 && (table[5] - 0.01f32.sin()).abs() < 1e-7);
        let table = offset_sinusoids(1, 5);
        let expected = [2f32.sin(), 2e-4f32.sin(), 2f32.cos(), 2e-4f32.cos(), 0.0];
        for (ours, expected) in table.iter().zip(expected) {
            assert!((ours - expected).abs() < 1e-6, "{table:?}");
        }
    }
}
