use proptest::prelude::*;

use super::*;
use crate::arena::Arena;
use crate::instructions::Instructions;
use crate::team::Team;
use crate::vector::portable::{from_bfloat16, to_bfloat16};

/// Numbers that look random and come again: xorshift, from -1 to 1.
pub(crate) fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

fn round(format: Format, number: f32) -> f32 {
    if format == Format::Bfloat16 { from_bfloat16(to_bfloat16(number)) } else { number }
}

/// What a layer gives, step by step in float64 from what the format makes of weights and rows.
fn reference(layer: &Linear, rows: &[f32], bias: Option<&[f32]>) -> Vec<f64> {
    let mut weights = vec![0.0; layer.inputs()];
    let mut out = vec![0.0; rows.len() / layer.inputs() * layer.outputs()];
    for output in 0..layer.outputs() {
        layer.weight_row(output, &mut weights);
        for (row, numbers) in rows.chunks_exact(layer.inputs()).enumerate() {
            let sum: f64 = numbers
                .iter()
                .zip(&weights)
                .map(|(number, weight)| f64::from(round(layer.format(), *number)) * f64::from(*weight))
                .sum();
            out[row * layer.outputs() + output] = sum + bias.map_or(0.0, |bias| f64::from(bias[output]));
        }
    }
    out
}

/// How far a result may be off: rounding of sums, and for bytes half a step of each number of the row.
fn tolerance(layer: &Linear, row: &[f32], greatest_byte: i32) -> f64 {
    let sum = f64::from(row.iter().map(|number| number.abs()).sum::<f32>());
    let rounding = 1e-5 * (1.0 + sum);
    if layer.format() != Format::Int8 {
        return rounding;
    }
    let low = row.iter().copied().fold(0.0, f32::min);
    let high = row.iter().copied().fold(0.0, f32::max);
    let step = f64::from(high - low) / f64::from(greatest_byte);
    rounding + step * layer.inputs() as f64
}

const FORMATS: [Format; 3] = [Format::Float32, Format::Bfloat16, Format::Int8];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_layer_gives_what_the_definition_says(
        rows in 1usize..30,
        inputs in 1usize..200,
        outputs in 1usize..170,
        seed: u64,
        scale in prop_oneof![Just(1.0f32), Just(1e-20), Just(1e20)],
        has_bias: bool,
    ) {
        let weights = numbers(outputs * inputs, seed);
        let bias = has_bias.then(|| numbers(outputs, seed ^ 1));
        let data: Vec<f32> = numbers(rows * inputs, seed ^ 2).iter().map(|number| number * scale).collect();
        for instructions in Instructions::supported() {
            let kernels = Kernels::of(instructions).unwrap();
            for format in FORMATS {
                let layer = Linear::new(kernels, format, outputs, inputs, &weights, bias.as_deref());
                let mut prepared = Inputs::new(rows, inputs);
                for (row, numbers) in data.chunks_exact(inputs).enumerate() {
                    layer.prepare(&mut prepared, row, numbers);
                }
                let mut out = vec![7.0; rows * (outputs + 3)];
                layer.forward_here(&prepared, rows, &mut out, outputs + 3, Write::Set);
                let expected = reference(&layer, &data, bias.as_deref());
                for row in 0..rows {
                    let numbers = &data[row * inputs..][..inputs];
                    let allowed = tolerance(&layer, numbers, kernels.table.greatest_byte);
                    for column in 0..outputs {
                        let (got, want) = (f64::from(out[row * (outputs + 3) + column]), expected[row * outputs + column]);
                        prop_assert!((got - want).abs() <= allowed, "{instructions} {format:?} {row} {column}: {got} {want}");
                    }
                    // What lies between rows is not touched.
                    prop_assert!(out[row * (outputs + 3) + outputs..][..3].iter().all(|gap| *gap == 7.0));
                }
            }
        }
    }

    #[test]
    fn a_row_never_depends_on_its_batch_or_on_the_threads(
        rows in 2usize..40,
        inputs in 1usize..300,
        outputs in 1usize..300,
        seed: u64,
    ) {
        let team = Team::new(3);
        let lanes = team.enter();
        let weights = numbers(outputs * inputs, seed);
        let data = numbers(rows * inputs, seed ^ 3);
        for instructions in Instructions::supported() {
            let kernels = Kernels::of(instructions).unwrap();
            for format in FORMATS {
                let layer = Linear::new(kernels, format, outputs, inputs, &weights, None);
                let mut prepared = Inputs::new(rows, inputs);
                for (place, numbers) in layer.places(&mut prepared, rows).zip(data.chunks_exact(inputs)) {
                    place.set(numbers);
                }
                let mut together = vec![0.0; rows * outputs];
                layer.forward(&lanes, &prepared, rows, &mut together, outputs, Write::Set);
                let mut one = Inputs::new(1, inputs);
                let mut alone = vec![0.0; outputs];
                for (row, numbers) in data.chunks_exact(inputs).enumerate() {
                    layer.prepare(&mut one, 0, numbers);
                    layer.forward_here(&one, 1, &mut alone, outputs, Write::Set);
                    prop_assert_eq!(&together[row * outputs..][..outputs], &alone[..], "{} {:?}", instructions, format);
                }
            }
        }
    }
}

#[test]
fn a_result_can_be_added() {
    let kernels = Kernels::best();
    let layer = Linear::new(kernels, Format::Float32, 33, 5, &numbers(165, 1), None);
    let mut inputs = Inputs::new(1, 5);
    layer.prepare(&mut inputs, 0, &numbers(5, 2));
    let (mut once, mut twice) = (vec![0.0; 33], vec![0.0; 33]);
    layer.forward_here(&inputs, 1, &mut once, 33, Write::Set);
    for _ in 0..2 {
        layer.forward_here(&inputs, 1, &mut twice, 33, Write::Add);
    }
    assert!(once.iter().zip(&twice).all(|(once, twice)| (2.0 * once - twice).abs() < 1e-6));
}

#[test]
fn numbers_that_are_none_are_not_hidden() {
    for instructions in Instructions::supported() {
        let kernels = Kernels::of(instructions).unwrap();
        for format in FORMATS {
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut weights = numbers(64, 4);
                weights[37] = bad;
                let layer = Linear::new(kernels, format, 4, 16, &weights, None);
                let mut inputs = Inputs::new(1, 16);
                layer.prepare(&mut inputs, 0, &numbers(16, 5));
                let mut out = [0.0; 4];
                layer.forward_here(&inputs, 1, &mut out, 4, Write::Set);
                assert!(!out[2].is_finite(), "{instructions} {format:?} {bad}: {out:?}");
                assert!(out[0].is_finite() && out[3].is_finite());
            }
        }
    }
}

#[test]
fn overlapping_rows_are_a_convolution() {
    let (channels, taken, frames, outputs) = (6, 3, 21, 40);
    let weights = numbers(outputs * channels * taken, 6);
    let signal = numbers(frames * channels, 7);
    for instructions in Instructions::supported() {
        let kernels = Kernels::of(instructions).unwrap();
        for format in [Format::Float32, Format::Bfloat16] {
            let layer = Linear::new(kernels, format, outputs, channels * taken, &weights, None);
            let mut packed = Frames::zeroed(kernels, format, frames, channels);
            for (index, mut block) in packed.blocks_mut(0, 1).enumerate() {
                block.set(0, &signal[index * channels..][..channels]);
            }
            for step in [1, 2] {
                let rows = (frames - taken) / step;
                let mut out = vec![0.0; rows * outputs];
                layer.forward_overlapping(&packed, 1, step, rows, &mut out, outputs);
                for row in 0..rows {
                    let window = &signal[(1 + row * step) * channels..][..taken * channels];
                    let expected = reference(&layer, window, None);
                    for column in 0..outputs {
                        assert!((f64::from(out[row * outputs + column]) - expected[column]).abs() < 1e-4);
                    }
                }
            }
        }
    }
}

#[test]
fn the_size_is_known_before_and_is_all_that_an_arena_needs() {
    for format in FORMATS {
        let (kernels, weights, bias) = (Kernels::best(), numbers(3500, 8), numbers(70, 9));
        let layer = Linear::new(kernels, format, 70, 50, &weights, Some(&bias));
        let held = layer.panels.len() + 4 * (layer.bias.len() + layer.scales.len() + layer.totals.len());
        let shape = LinearShape { kernels, format, outputs: 70, inputs: 50, has_bias: true };
        assert_eq!(held as u64, shape.bytes());
        let mut arena = Arena::new(shape.bytes()).unwrap();
        let mut builder = LinearBuilder::within(shape, &mut arena).unwrap();
        builder.bias_mut().copy_from_slice(&bias);
        // Blocks may be set in any order.
        let mut blocks: Vec<_> = builder.blocks_mut(70).collect();
        assert_eq!(blocks.iter().map(RowBlock::rows).collect::<Vec<_>>(), [0..64, 64..70]);
        for block in blocks.iter_mut().rev() {
            for row in block.rows() {
                block.set(row, &weights[row * 50..][..50]);
            }
        }
        let other = builder.finish();
        assert_eq!(&layer.panels[..], &other.panels[..]);
        assert_eq!(&layer.bias[..], &other.bias[..]);
        assert_eq!((&layer.scales[..], &layer.totals[..]), (&other.scales[..], &other.totals[..]));
        assert_eq!(arena.bytes().unwrap().len() as u64, shape.bytes());
        let mut small = Arena::new(0).unwrap();
        assert!(LinearBuilder::within(LinearShape { outputs: 1 << 20, ..shape }, &mut small).is_none());
    }
}

#[test]
fn a_hollow_layer_has_a_shape_and_computes_nothing() {
    let kernels = Kernels::best();
    let shape = LinearShape { kernels, format: Format::Int8, outputs: 70, inputs: 50, has_bias: true };
    let layer = shape.hollow();
    assert_eq!((layer.outputs(), layer.inputs(), layer.format()), (70, 50, Format::Int8));
    let mut inputs = Inputs::new(1, 50);
    layer.prepare(&mut inputs, 0, &[0.0; 50]);
    let compute = || layer.forward_here(&inputs, 1, &mut [0.0; 70], 70, Write::Set);
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(compute)).is_err());
    let embed = || layer.weight_row(0, &mut [0.0; 50]);
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(embed)).is_err());
}

/// The bytes, scale and total of a row, as they are defined.
fn int8(row: &[f32]) -> (Vec<i8>, f32, i32) {
    let greatest = row.iter().fold(0.0f32, |greatest, weight| greatest.max(weight.abs()));
    let greatest = if row.iter().all(|weight| weight.is_finite()) { greatest } else { f32::NAN };
    let step = if greatest == 0.0 { 1.0 } else { greatest / 127.0 };
    let bytes: Vec<i8> =
        row.iter().map(|weight| (weight / step).round_ties_even().clamp(-127.0, 127.0) as i8).collect();
    let total = bytes.iter().map(|byte| i32::from(*byte)).sum();
    (bytes, step, total)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Every set packs to the same bytes, and what was packed comes back as the definition says, bit for bit.
    #[test]
    fn packing_is_its_definition(
        inputs in 1usize..2100,
        outputs in 1usize..40,
        seed: u64,
        scale in prop_oneof![
            Just(1.0f32), Just(1e-20), Just(1e20), Just(1e-38), Just(1e-43), Just(2e-45), Just(3e38), Just(0.0)
        ],
        special in proptest::option::of(prop_oneof![
            Just(f32::NAN), Just(f32::INFINITY), Just(f32::NEG_INFINITY), Just(-0.0), Just(f32::MAX)
        ]),
    ) {
        let mut weights: Vec<f32> =
            numbers(outputs * inputs, seed).iter().map(|number| number * scale).collect();
        if let Some(special) = special {
            let place = seed as usize % weights.len();
            weights[place] = special;
        }
        for instructions in Instructions::supported() {
            let kernels = Kernels::of(instructions).unwrap();
            for format in FORMATS {
                let layer = Linear::new(kernels, format, outputs, inputs, &weights, None);
                let mut got = vec![7.0; inputs];
                for (output, row) in weights.chunks_exact(inputs).enumerate() {
                    layer.weight_row(output, &mut got);
                    let (bytes, step, total) = int8(row);
                    let wanted: Vec<f32> = match format {
                        Format::Float32 => row.to_vec(),
                        Format::Bfloat16 => row.iter().map(|weight| round(format, *weight)).collect(),
                        Format::Int8 => bytes.iter().map(|byte| f32::from(*byte) * step).collect(),
                    };
                    let same = |got: &f32, wanted: &f32| {
                        got.to_bits() == wanted.to_bits() || got.is_nan() && wanted.is_nan()
                    };
                    prop_assert!(
                        got.iter().zip(&wanted).all(|(got, wanted)| same(got, wanted)),
                        "{instructions} {format:?} {output}"
                    );
                    if format == Format::Int8 {
                        prop_assert!(same(&layer.scales[output], &step), "{instructions} {output}");
                        prop_assert_eq!(layer.totals[output], total, "{} {}", instructions, output);
                    }
                }
                // What fills a panel up is zero.
                let used = inputs.div_ceil(format.numbers_a_step());
                for output in outputs..outputs.next_multiple_of(PANEL) {
                    for step in 0..layer.steps {
                        let place = column(layer.steps, output) + step * STEP_BYTES;
                        prop_assert_eq!(&layer.panels[place..place + 4], &[0; 4]);
                    }
                }
                for step in used..layer.steps {
                    let place = step * STEP_BYTES;
                    prop_assert_eq!(&layer.panels[place..place + 4], &[0; 4]);
                }
            }
        }
    }
}
