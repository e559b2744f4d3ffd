use proptest::prelude::*;

use super::*;
use crate::instructions::Instructions;
use crate::linear::tests::numbers;
use crate::team::Team;

/// Softmax of scaled products times values, in float64.
pub(super) fn reference(query: &[f32], keys: &[&[f32]], values: &[&[f32]], scale: f32) -> Vec<f64> {
    let scores: Vec<f64> = keys
        .iter()
        .map(|key| {
            query.iter().zip(*key).map(|(left, right)| f64::from(left * right)).sum::<f64>()
                * f64::from(scale)
        })
        .collect();
    let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = scores.iter().map(|score| (score - most).exp()).collect();
    let sum: f64 = weights.iter().sum();
    (0..query.len())
        .map(|at| weights.iter().zip(values).map(|(weight, value)| weight / sum * f64::from(value[at])).sum())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn attention_to_packed_keys_is_that_of_the_definition(
        heads in 1usize..4,
        width in 1usize..80,
        count in 1usize..100,
        spare in 0usize..40,
        queries in 1usize..14,
        seed: u64,
    ) {
        let all = heads * width;
        let (keys, values) = (numbers(count * all, seed), numbers(count * all, seed ^ 1));
        let asked = numbers(queries * all, seed ^ 2);
        let scale = 1.0 / (width as f32).sqrt();
        let team = Team::new(2);
        let lanes = team.enter();
        for instructions in Instructions::supported() {
            let kernels = Kernels::of(instructions).unwrap();
            for (format, allowed) in [(Format::Float32, 1e-5), (Format::Bfloat16, 3e-2), (Format::Int8, 3e-2)] {
                let mut context = KeyValues::new(kernels, format, heads, width, count + spare);
                // Another context was there before; nothing of it may be left.
                let before = numbers((count + spare) * all, seed ^ 3);
                let whole = Rows { data: &before, stride: all, count: count + spare };
                context.fill(&lanes, whole, whole);
                let rows = |data| Rows { data, stride: all, count };
                context.fill(&lanes, rows(&keys), rows(&values));
                let mut scratch = AttentionScratch::new(format, queries, count + spare, width);
                for head in 0..heads {
                    let of = |data: &'_ [f32], row: usize| data[row * all + head * width..][..width].to_vec();
                    let keys: Vec<Vec<f32>> = (0..count).map(|row| of(&keys, row)).collect();
                    let values: Vec<Vec<f32>> = (0..count).map(|row| of(&values, row)).collect();
                    let mut out = vec![0.0; queries * width];
                    let asked = Rows { data: &asked[head * width..], stride: all, count: queries };
                    context.attend(head, asked, scale, &mut scratch, &mut out, width);
                    let mut weights = vec![0.0; queries * count];
                    context.weights(head, asked, scale, &mut scratch, &mut weights);
                    for row in 0..queries {
                        let query = &asked.data[row * all..][..width];
                        let keys: Vec<&[f32]> = keys.iter().map(Vec::as_slice).collect();
                        let values: Vec<&[f32]> = values.iter().map(Vec::as_slice).collect();
                        let expected = reference(query, &keys, &values, scale);
                        for at in 0..width {
                            let (got, want) = (f64::from(out[row * width + at]), expected[at]);
                            prop_assert!((got - want).abs() < allowed, "{instructions} {format:?}: {got} {want}");
                        }
                        let sum: f32 = weights[row * count..][..count].iter().sum();
                        prop_assert!((sum - 1.0).abs() < 1e-2, "{sum}");
                        // One query alone sees the same, bit for bit.
                        let mut alone = vec![0.0; width];
                        let one = Rows { data: query, stride: width, count: 1 };
                        context.attend(head, one, scale, &mut scratch, &mut alone, width);
                        prop_assert_eq!(&out[row * width..][..width], &alone[..]);
                    }
                }
            }
            // The same keys as rows that lie apart.
            let offsets: Vec<usize> = (0..count).map(|row| row * all).collect();
            let (mut scores, mut out) = (vec![0.0; heads * count], vec![0.0; all]);
            kernels.attend_rows(
                &asked[..all], Context::Float32 { keys: &keys, values: &values }, &offsets, width, scale, &mut scores, &mut out,
            );
            // And rounded to bfloat16, as if they had been so in float32.
            let round = |numbers: &[f32]| {
                let mut rounded = vec![0; numbers.len()];
                kernels.to_bfloat16(numbers, &mut rounded);
                rounded
            };
            let wide = |numbers: &[u16]| -> Vec<f32> {
                numbers.iter().map(|number| crate::vector::portable::from_bfloat16(*number)).collect()
            };
            let (narrow_keys, narrow_values) = (round(&keys), round(&values));
            let (mut narrow, mut widened) = (vec![0.0; all], vec![0.0; all]);
            kernels.attend_rows(
                &asked[..all], Context::Bfloat16 { keys: &narrow_keys, values: &narrow_values }, &offsets, width, scale, &mut scores, &mut narrow,
            );
            kernels.attend_rows(
                &asked[..all], Context::Float32 { keys: &wide(&narrow_keys), values: &wide(&narrow_values) }, &offsets, width, scale, &mut scores,
                &mut widened,
            );
            prop_assert_eq!(narrow, widened);
            for head in 0..heads {
                let part = head * width..(head + 1) * width;
                let keys: Vec<&[f32]> = keys.chunks_exact(all).map(|row| &row[part.clone()]).collect();
                let values: Vec<&[f32]> = values.chunks_exact(all).map(|row| &row[part.clone()]).collect();
                let expected = reference(&asked[part.clone()], &keys, &values, scale);
                for (got, want) in out[part].iter().zip(expected) {
                    prop_assert!((f64::from(*got) - want).abs() < 1e-5);
                }
            }
        }
    }
}
