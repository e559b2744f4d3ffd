use super::super::{Bfloat16, Configuration, Multiply, TILES, Tiles};
use super::*;
use crate::vector::portable::{self, from_bfloat16, to_bfloat16};

/// Two bfloat16, finished by plain Rust.
pub(super) type Plain = Bfloat16<portable::Bfloat16>;

/// Numbers that are none, or are as large or small as can be.
const SPECIAL: [f32; 8] =
    [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN_POSITIVE, 1e-40, -0.0, -3e38];

/// Operands of numbers times `scale`, of which one in so many is special.
pub(super) fn operands(shape: Shape, scale: f32, special: Option<usize>) -> Operands {
    // Rows begin with a whole number.
    let shape = Shape { row_stride: shape.row_stride.next_multiple_of(2), ..shape };
    let numbers = numbers(4096, shape.seed);
    let half = |index: usize| {
        let at = index.wrapping_mul(31) + index / 4096;
        match special {
            Some(every) if at.wrapping_add(shape.seed as usize % 1000).is_multiple_of(every) => {
                to_bfloat16(SPECIAL[at / every % SPECIAL.len()])
            }
            _ => to_bfloat16(numbers[at % 4096] * scale),
        }
    };
    let at = |place: usize| half(place / 2).to_le_bytes()[place % 2];
    Operands::new(shape.clone(), at, |place| at(place + 1000))
}

fn halves(four: [u8; 4]) -> [f64; 2] {
    let of = |low, high| match from_bfloat16(u16::from_le_bytes([low, high])) {
        number if number.is_subnormal() => 0.0,
        number => f64::from(number),
    };
    [of(four[0], four[1]), of(four[2], four[3])]
}

impl Operands {
    /// What the definition says in float64, and how large what is added up to it is.
    pub(super) fn expected_of_bfloat16(&self, place: usize, row: usize, column: usize) -> (f64, f64) {
        let (mut sum, mut size) = (0.0, 0.0);
        for step in 0..self.shape.steps {
            let (row, column) = self.step(row, column, step);
            for (left, right) in halves(row).into_iter().zip(halves(column)) {
                sum += left * right;
                size += (left * right).abs();
            }
        }
        for more in self.more(place, column).into_iter().flatten() {
            sum += f64::from(more);
            size += f64::from(more.abs());
        }
        (sum, size)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn products_are_near_the_definition_and_the_same_beside_others(
        shape in shapes(),
        scale in prop_oneof![Just(1.0f32), Just(1e-18), Just(1e15)],
    ) {
        let operands = operands(shape, scale, None);
        let got = operands.emulated::<Plain>();
        for (place, computed) in operands.places() {
            match computed {
                Some((row, column)) => {
                    let (expected, size) = operands.expected_of_bfloat16(place, row, column);
                    // What is too small to count may be lost in every sum.
                    let allowed = 1e-5 * size + 1e-35;
                    prop_assert!((f64::from(got[place]) - expected).abs() <= allowed, "{} {}: {} {}", row, column, got[place], expected);
                }
                None => prop_assert_eq!(got[place].to_bits(), operands.before[place].to_bits()),
            }
        }
        let alone = operands.emulated_alone::<Plain>();
        prop_assert!(got.iter().zip(&alone).all(|(got, alone)| same(*got, *alone)));
    }

    #[test]
    fn special_numbers_stay_with_their_rows_and_columns(shape in shapes(), every in 50usize..2000) {
        let operands = operands(shape, 1.0, Some(every));
        let got = operands.emulated::<Plain>();
        for (place, computed) in operands.places() {
            let Some((row, column)) = computed else { continue };
            let (expected, size) = operands.expected_of_bfloat16(place, row, column);
            if size.is_nan() {
                prop_assert!(got[place].is_nan(), "{} {}", row, column);
            } else if size.is_infinite() {
                prop_assert!(!got[place].is_finite(), "{} {}", row, column);
            } else if size < 1e38 {
                let allowed = 1e-5 * size + 1e-35;
                prop_assert!((f64::from(got[place]) - expected).abs() <= allowed, "{} {}", row, column);
            }
        }
        let alone = operands.emulated_alone::<Plain>();
        prop_assert!(got.iter().zip(&alone).all(|(got, alone)| same(*got, *alone)));
    }
}

/// A product of two rows with two columns of two steps, added to itself.
fn small(rows: [[f32; 4]; 2], columns: [[f32; 4]; 2]) -> [f32; 4] {
    let bytes = |of: [[f32; 4]; 2]| -> Vec<u8> {
        of.as_flattened().iter().flat_map(|number| to_bfloat16(*number).to_le_bytes()).collect()
    };
    let (rows, columns) = (bytes(rows), bytes(columns));
    let mut tiles = Emulated::new(&[&rows, &columns]);
    let mut sums = [0f32; 4];
    // SAFETY: all registers are two rows of eight bytes, as are the operands and the result.
    unsafe {
        tiles.configure(&Configuration::of_shapes([(2, 8); TILES]));
        tiles.load::<4>(rows.as_ptr(), 8);
        tiles.load::<6>(columns.as_ptr(), 8);
        Plain::multiply::<_, 0, 4, 6>(&mut tiles);
        tiles.store::<0>(sums.as_mut_ptr().cast(), 8);
    }
    sums
}

#[test]
fn pairs_are_added_up_apart_and_denormals_are_zero() {
    // Each row of columns is a step: the pair of the first column, then that of the second.
    let sums = small(
        [[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]],
        [[1.0, 10.0, 0.0, 1.0], [100.0, 1000.0, 0.0, 2.0]],
    );
    assert_eq!(sums, [1.0 + 20.0 + 300.0 + 4000.0, 2.0 + 8.0, 5.0 + 60.0 + 700.0 + 8000.0, 6.0 + 16.0]);
    // The first numbers of the pairs give 2^24 + 1, which float32 has not; the second ones 1, which comes too late for it.
    let large = 4096.0;
    let sums = small([[large, 0.0, 1.0, 1.0], [0.0; 4]], [[large, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0]]);
    assert_eq!(sums[0], 16_777_216.0);
    let sums = small([[1e-40, 1e-20, 0.0, 0.0], [0.0; 4]], [[1e30, 1e-20, 0.0, 0.0], [0.0; 4]]);
    assert_eq!(sums[0].to_bits(), 0);
}
