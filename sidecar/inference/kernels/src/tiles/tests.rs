//! The whole loop on tiles in plain Rust, against the definition of a product.

mod bfloat16;
mod bytes;
#[cfg(target_arch = "x86_64")]
mod hardware;
mod operands;

use proptest::prelude::*;

use self::operands::Operands;
use super::compute;
use super::emulated::Emulated;
use crate::linear::tests::numbers;
use crate::product::{PANEL, Product};

/// The shape of a product.
#[derive(Debug, Clone)]
struct Shape {
    rows: usize,
    steps: usize,
    columns: usize,
    /// The panels that are computed.
    panels: (usize, usize),
    /// From a row to the next, in bytes: rows may overlap, as those of a convolution do.
    row_stride: usize,
    out_stride: usize,
    has_bias: bool,
    accumulate: bool,
    seed: u64,
}

/// Rows and columns of every raggedness, whole and partly filled panels, and all or some of them computed.
fn shapes() -> impl Strategy<Value = Shape> {
    let rows = prop_oneof![1usize..4, 1usize..40, 60usize..100];
    let steps = prop_oneof![0usize..20, 0usize..60, Just(16), Just(32), Just(48)];
    (rows, steps, 1usize..110, any::<(u8, u8)>(), 0usize..80, 0usize..5, any::<(bool, bool, u64)>()).prop_map(
        |(rows, steps, columns, (first, end), more, gap, (has_bias, accumulate, seed))| {
            let count = columns.div_ceil(PANEL);
            let first = usize::from(first) % count;
            let row_stride = if more < 8 { 4 * more + 4 } else { steps * 4 + more - 8 };
            Shape {
                rows,
                steps,
                columns,
                panels: (first, first + 1 + usize::from(end) % (count - first)),
                row_stride,
                out_stride: columns + gap,
                has_bias,
                accumulate,
                seed,
            }
        },
    )
}

/// Whether two are the same bit for bit, of numbers that are none any.
fn same(left: f32, right: f32) -> bool {
    left.to_bits() == right.to_bits() || left.is_nan() && right.is_nan()
}

#[test]
fn nothing_is_computed_of_nothing() {
    let mut tiles = Emulated::new(&[]);
    // SAFETY: there are neither rows nor panels.
    unsafe {
        compute::<_, bytes::Plain>(&Product::EMPTY, &mut tiles);
        compute::<_, bytes::Plain>(&Product { rows: 3, ..Product::EMPTY }, &mut tiles);
    }
    assert!(!tiles.is_configured());
}
