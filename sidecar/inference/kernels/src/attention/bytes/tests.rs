use proptest::prelude::*;

use super::super::KeyValues;
use super::super::tests::reference;
use super::*;
use crate::format::Format;
use crate::instructions::Instructions;
use crate::linear::tests::numbers;
use crate::team::Team;

/// Rows of one head after rounding, by the definition: the mean that was taken off, and what is left in whole steps.
fn rounded(rows: &[f32], width: usize) -> (Vec<f32>, Vec<Vec<f32>>) {
    let count = rows.len() / width;
    let mean: Vec<f32> = (0..width)
        .map(|at| rows.chunks_exact(width).map(|row| row[at]).fold(0.0, |sum, number| sum + number))
        .map(|sum| sum * (1.0 / count as f32))
        .collect();
    let round = |row: &[f32]| {
        let less: Vec<f32> = row.iter().zip(&mean).map(|(number, mean)| number - mean).collect();
        let greatest = less.iter().fold(0.0f32, |most, number| most.max(number.abs()));
        let step = if greatest == 0.0 { 1.0 } else { greatest / 127.0 };
        less.iter().map(|number| (number / step).round_ties_even() * step).collect()
    };
    let rows = rows.chunks_exact(width).map(round).collect();
    (mean, rows)
}

/// Attends with one head's queries to as many keys as there are.
fn attend(kernels: Kernels, width: usize, queries: &[f32], keys: &[f32], values: &[f32]) -> Vec<f32> {
    let count = keys.len() / width;
    let asked = queries.len() / width;
    let team = Team::new(1);
    let rows = |data, count| Rows { data, stride: width, count };
    let mut context = KeyValues::new(kernels, Format::Int8, 1, width, count);
    context.fill(&team.enter(), rows(keys, count), rows(values, count));
    let mut scratch = AttentionScratch::new(Format::Int8, asked, count, width);
    let mut out = vec![0.0; queries.len()];
    context.attend(0, rows(queries, asked), 1.0 / (width as f32).sqrt(), &mut scratch, &mut out, width);
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Nothing is lost but what rounding keys and values loses: neither of queries nor of weights.
    #[test]
    fn attention_is_that_to_rounded_keys_and_values(
        width in 1usize..80,
        count in 1usize..200,
        queries in 1usize..4,
        seed: u64,
        sharpness in prop_oneof![Just(0.0f32), Just(1.0), Just(20.0)],
    ) {
        let (keys, values) = (numbers(count * width, seed), numbers(count * width, seed ^ 1));
        let asked: Vec<f32> = numbers(queries * width, seed ^ 2).iter().map(|number| number * sharpness).collect();
        let (_, near_keys) = rounded(&keys, width);
        let (mean, near_values) = rounded(&values, width);
        let near_keys: Vec<&[f32]> = near_keys.iter().map(Vec::as_slice).collect();
        let near_values: Vec<&[f32]> = near_values.iter().map(Vec::as_slice).collect();
        for instructions in Instructions::supported() {
            let kernels = Kernels::of(instructions).unwrap();
            let out = attend(kernels, width, &asked, &keys, &values);
            for (query, out) in asked.chunks_exact(width).zip(out.chunks_exact(width)) {
                let expected = reference(query, &near_keys, &near_values, 1.0 / (width as f32).sqrt());
                for ((got, want), mean) in out.iter().zip(expected).zip(&mean) {
                    let want = want + f64::from(*mean);
                    // Half a step of 7 + 7 bits of each number of a query, times what it is sharpened by.
                    let allowed = 2e-4 * (1.0 + f64::from(sharpness));
                    prop_assert!((f64::from(*got) - want).abs() < allowed, "{instructions}: {got} {want}");
                }
            }
        }
    }

    /// What all keys have in common changes nothing, and what all values have in common is not rounded.
    #[test]
    fn what_is_common_costs_nothing(width in 1usize..80, count in 2usize..100, seed: u64) {
        let shifted = |seed, shift: &[f32]| -> Vec<f32> {
            let rows = numbers(count * width, seed);
            rows.chunks_exact(width).flat_map(|row| row.iter().zip(shift).map(|(one, two)| one + two)).collect()
        };
        let (nothing, shift) = (vec![0.0; width], numbers(width, seed ^ 3));
        let shift: Vec<f32> = shift.iter().map(|number| number * 100.0).collect();
        let query = numbers(width, seed ^ 2);
        for instructions in Instructions::supported() {
            let kernels = Kernels::of(instructions).unwrap();
            let plain = attend(kernels, width, &query, &shifted(seed, &nothing), &shifted(seed ^ 1, &nothing));
            let other = attend(kernels, width, &query, &shifted(seed, &shift), &shifted(seed ^ 1, &shift));
            for ((plain, other), shift) in plain.iter().zip(&other).zip(&shift) {
                prop_assert!((plain + shift - other).abs() < 3e-2, "{instructions}: {plain} {shift} {other}");
            }
        }
    }

    #[test]
    fn a_pair_of_bytes_is_its_number(count in 1usize..100, seed: u64, shift in -3f32..3.0) {
        let row: Vec<f32> = numbers(count, seed).iter().map(|number| number + shift).collect();
        for instructions in Instructions::supported() {
            let table = Kernels::of(instructions).unwrap().table;
            let base = table.greatest_byte + 1;
            let (mut high, mut low) = (vec![0u8; count], vec![0u8; count]);
            // SAFETY: the processor has the instructions, and there is a place for each number in both.
            let (step, zero) = unsafe {
                (table.to_byte_pairs)(row.as_ptr(), count, 2.0, table.greatest_byte, high.as_mut_ptr(), low.as_mut_ptr())
            };
            for ((number, high), low) in row.iter().zip(&high).zip(&low) {
                prop_assert!(i32::from(*high) < base && i32::from(*low) < base);
                let found = (i32::from(*high) * base + i32::from(*low) - zero) as f32 * step;
                prop_assert!((found - 2.0 * number).abs() <= step * 0.51, "{instructions}: {found} {number}");
            }
        }
    }
}

#[test]
fn numbers_that_are_none_are_not_hidden() {
    let (width, count) = (20, 70);
    let (query, rows) = (numbers(width, 1), numbers(count * width, 2));
    for instructions in Instructions::supported() {
        let kernels = Kernels::of(instructions).unwrap();
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for place in [0, 33 * width + 7, count * width - 1] {
                let mut other = rows.clone();
                other[place] = bad;
                let out = attend(kernels, width, &query, &other, &rows);
                assert!(out.iter().all(|number| !number.is_finite()), "{instructions} key {bad}: {out:?}");
                let out = attend(kernels, width, &query, &rows, &other);
                assert!(!out[place % width].is_finite(), "{instructions} value {bad}: {out:?}");
            }
        }
    }
}
