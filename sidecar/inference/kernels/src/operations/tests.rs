use proptest::prelude::*;

use super::*;
use crate::instructions::Instructions;
use crate::linear::tests::numbers;

/// The error function to 1e-12: its Taylor series near 0, its continued fraction elsewhere.
fn erf(x: f64) -> f64 {
    if x.abs() < 3.0 {
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        return sum * std::f64::consts::FRAC_2_SQRT_PI;
    }
    let mut fraction = 0.0;
    for n in (1..200).rev() {
        fraction = f64::from(n) / 2.0 / (x.abs() + fraction);
    }
    let rest = (-x * x).exp() / std::f64::consts::PI.sqrt() / (x.abs() + fraction);
    x.signum() * (1.0 - rest)
}

fn exactly(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Gelu => 0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2)),
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Relu => x.max(0.0),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn activations_are_their_functions(count in 1usize..70, seed: u64, scale in prop_oneof![Just(4.0f32), Just(80.0), Just(1e-3), Just(1e6)]) {
        let row: Vec<f32> = numbers(count, seed).iter().map(|number| number * scale).collect();
        for instructions in Instructions::supported() {
            let kernels = Kernels::of(instructions).unwrap();
            for activation in [Activation::Gelu, Activation::Silu, Activation::Relu] {
                let mut out = row.clone();
                kernels.activate(activation, &mut out);
                for (x, got) in row.iter().zip(&out) {
                    let want = exactly(activation, f64::from(*x));
                    let allowed = 1e-6 * (1.0 + f64::from(x.abs()));
                    prop_assert!((f64::from(*got) - want).abs() < allowed, "{instructions} {activation:?} of {x}: {got} {want}");
                }
                let mut exact = row.clone();
                kernels.activate_for(Format::Float32, activation, &mut exact);
                prop_assert_eq!(&exact, &out);
                for format in [Format::Bfloat16, Format::Int8] {
                    let mut rough = row.clone();
                    kernels.activate_for(format, activation, &mut rough);
                    for (x, got) in row.iter().zip(&rough) {
                        let want = exactly(activation, f64::from(*x));
                        let allowed = 1e-4 + 3e-5 * f64::from(x.abs());
                        prop_assert!((f64::from(*got) - want).abs() < allowed, "{instructions} {activation:?} of {x}: {got} {want}");
                    }
                }
            }
        }
    }

    #[test]
    fn layer_norm_is_its_definition(count in 1usize..600, seed: u64, offset in -100f32..100.0) {
        let row: Vec<f32> = numbers(count, seed).iter().map(|number| number + offset).collect();
        let norm = LayerNorm { gain: numbers(count, seed ^ 1).into(), bias: numbers(count, seed ^ 2).into(), epsilon: 1e-5 };
        let mean = row.iter().map(|x| f64::from(*x)).sum::<f64>() / count as f64;
        let variance = row.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / count as f64;
        for instructions in Instructions::supported() {
            let kernels = Kernels::of(instructions).unwrap();
            let mut out = vec![0.0; count];
            kernels.layer_norm(&norm, &row, &mut out);
            let mut in_place = row.clone();
            kernels.layer_norm_in_place(&norm, &mut in_place);
            prop_assert_eq!(&out, &in_place);
            for (at, got) in out.iter().enumerate() {
                let normed = (f64::from(row[at]) - mean) / (variance + 1e-5).sqrt();
                let want = normed * f64::from(norm.gain[at]) + f64::from(norm.bias[at]);
                // The mean itself is rounded, which counts for more where deviations are small.
                let allowed = 1e-5 * (1.0 + f64::from(offset.abs()) / (variance + 1e-5).sqrt());
                prop_assert!((f64::from(*got) - want).abs() < allowed, "{instructions}: {got} {want}");
            }
        }
    }

    #[test]
    fn what_is_not_finite_is_seen_anywhere(count in 1usize..1200, seed: u64, at in 0usize..1200) {
        let row: Vec<f32> = numbers(count, seed).iter().map(|number| number * f32::MAX).collect();
        for instructions in Instructions::supported() {
            let kernels = Kernels::of(instructions).unwrap();
            prop_assert!(kernels.is_finite(&row), "{instructions}");
            for number in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut row = row.clone();
                row[at % count] = number;
                prop_assert!(!kernels.is_finite(&row), "{instructions} {number} of {count}");
            }
        }
    }

    #[test]
    fn the_first_of_the_greatest_is_found(count in 1usize..2000, at in 0usize..2000, again in 0usize..2000) {
        let mut row = vec![-3.0f32; count];
        (row[at % count], row[again % count]) = (2.0, 2.0);
        for instructions in Instructions::supported() {
            let kernels = Kernels::of(instructions).unwrap();
            prop_assert_eq!(kernels.position_of_greatest(&row), (at % count).min(again % count));
        }
    }

    #[test]
    fn log_softmax_and_the_greatest(count in 1usize..300, seed: u64, scale in prop_oneof![Just(1.0f32), Just(50.0)], forbidden in 0usize..300) {
        let mut row: Vec<f32> = numbers(count, seed).iter().map(|number| number * scale).collect();
        if forbidden < count && count > 1 {
            row[forbidden] = f32::NEG_INFINITY;
        }
        let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = row.iter().map(|x| f64::from(x - most).exp()).sum();
        for instructions in Instructions::supported() {
            let kernels = Kernels::of(instructions).unwrap();
            prop_assert_eq!(kernels.greatest(&row), most);
            let first = row.iter().position(|x| *x == most).unwrap();
            prop_assert_eq!(kernels.position_of_greatest(&row), first);
            let mut out = row.clone();
            kernels.log_softmax(&mut out);
            for (x, got) in row.iter().zip(&out) {
                let want = f64::from(*x) - f64::from(most) - sum.ln();
                let is_close = *got == f32::NEG_INFINITY && want == f64::NEG_INFINITY || (f64::from(*got) - want).abs() < 1e-4;
                prop_assert!(is_close, "{instructions}: {got} {want}");
            }
        }
    }
}

#[test]
fn the_greatest_of_nothing() {
    let kernels = Kernels::best();
    assert_eq!(kernels.greatest(&[]), f32::NEG_INFINITY);
    assert_eq!(kernels.position_of_greatest(&[]), 0);
    assert!(kernels.is_finite(&[]));
    let mut none = [f32::NEG_INFINITY; 20];
    kernels.log_softmax(&mut none);
    assert_eq!(none, [f32::NEG_INFINITY; 20]);
    assert_eq!(kernels.log_sum_exp(&[f32::NEG_INFINITY]), f32::NEG_INFINITY);
}
