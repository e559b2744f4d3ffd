use proptest::prelude::*;

use super::super::{Bytes, Configuration, Multiply, TILES, Tiles};
use super::*;
use crate::vector::portable;

/// Bytes, finished by plain Rust.
pub(super) type Plain = Bytes<portable::Int8>;

/// What bytes are taken from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// All of them.
    Any,
    /// The greatest and the least.
    Extreme,
    /// The greatest alone, whose sums are as large as they can be.
    Greatest,
}

pub(super) fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Any), Just(Kind::Extreme), Just(Kind::Greatest)]
}

/// Operands with scales and zeros, and any totals: what they are of is no matter of a product.
pub(super) fn operands(shape: Shape, kind: Kind) -> Operands {
    let bytes: Vec<u8> = numbers(4096, shape.seed).iter().map(|number| (number * 1e6) as i32 as u8).collect();
    let at = |place: usize| bytes[place.wrapping_mul(31) % 4096] ^ (place / 4096) as u8;
    let pick = |place: usize, least: u8, greatest: u8| match kind {
        Kind::Any => at(place),
        Kind::Extreme => [least, greatest][usize::from(at(place) >> 7)],
        Kind::Greatest => greatest,
    };
    let (rows, padded, seed) = (shape.rows, shape.columns.next_multiple_of(PANEL), shape.seed);
    let of_rows = |place| pick(place, 0, 255);
    let of_panels = |place: usize| pick(place + 1000, 127, 128);
    let whole = |count, seed: u64, most: f32| {
        numbers(count, seed).iter().map(|number| (number * most) as i32).collect::<Vec<_>>()
    };
    Operands {
        row_scales: numbers(rows, seed ^ 1),
        row_zeros: whole(rows, seed ^ 2, 255.0).iter().map(|zero| zero.abs()).collect(),
        column_scales: numbers(padded, seed ^ 3),
        column_totals: whole(padded, seed ^ 4, 1e6),
        ..Operands::new(shape, of_rows, of_panels)
    }
}

impl Operands {
    /// What the definition says, to the bit: sums are exact, and all sets finish them in the same way.
    pub(super) fn expected_of_bytes(&self, place: usize, row: usize, column: usize) -> f32 {
        let mut sum = 0i32;
        for step in 0..self.shape.steps {
            let (row, column) = self.step(row, column, step);
            for (left, right) in row.into_iter().zip(column) {
                sum += i32::from(left) * i32::from(right.cast_signed());
            }
        }
        let exact = sum - self.row_zeros[row] * self.column_totals[column];
        let value = exact as f32 * (self.column_scales[column] * self.row_scales[row]);
        self.more(place, column).into_iter().flatten().fold(value, |value, more| value + more)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn products_are_those_of_the_definition_to_the_bit(shape in shapes(), kind in kinds()) {
        let operands = operands(shape, kind);
        let got = operands.emulated::<Plain>();
        for (place, computed) in operands.places() {
            let expected = match computed {
                Some((row, column)) => operands.expected_of_bytes(place, row, column),
                None => operands.before[place],
            };
            prop_assert_eq!(got[place].to_bits(), expected.to_bits(), "{} {:?}", place, computed);
        }
        prop_assert_eq!(got, operands.emulated_alone::<Plain>());
    }
}

#[test]
fn bytes_of_rows_are_unsigned_and_those_of_columns_signed() {
    let (rows, columns) = ([200u8, 1, 0, 0], [255u8, 100, 0, 0]);
    let mut tiles = Emulated::new(&[&rows, &columns]);
    let mut sum = [0u8; 4];
    // SAFETY: all registers are one row of four bytes, as are the operands and the result.
    unsafe {
        tiles.configure(&Configuration::of_shapes([(1, 4); TILES]));
        tiles.load::<4>(rows.as_ptr(), 4);
        tiles.load::<6>(columns.as_ptr(), 4);
        for _ in 0..2 {
            Plain::multiply::<_, 0, 4, 6>(&mut tiles);
        }
        tiles.store::<0>(sum.as_mut_ptr(), 4);
    }
    assert_eq!(i32::from_le_bytes(sum), 2 * (100 - 200));
}
