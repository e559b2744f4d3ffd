//! The sums of one or two tiles of rows with a panel of columns, in registers.

use super::configuration::{LOWER_SUMS, UPPER_SUMS};
use super::spread::Spread;
use super::{Multiply, TILE_ROW_BYTES, TILE_STEPS, Tiles};
use crate::product::{Product, STEP_BYTES};

/// Makes the sums of a block in its registers. With whole tiles of steps alone, both tiles of rows and both of columns have
/// a register of their own; else one of each for whole tiles, and one of each for what is left. Which it is follows from the
/// steps alone, and the order in which a sum is made is the same.
///
/// # Safety
/// As [`compute`](super::compute); the tiles and the panel are the product's, and registers are configured for it.
#[inline(always)]
pub(super) unsafe fn add_up<T: Tiles, M: Multiply, const IS_PAIRED: bool, const IS_WHOLE: bool>(
    product: &Product,
    spread: &Spread,
    first: usize,
    panel: usize,
    tiles: &mut T,
) {
    // SAFETY: `steps` times 4 bytes of each row and `steps` times STEP_BYTES of each panel are there; a tile reads as many of
    // its steps as its registers are configured for, and those that are left as many as are left.
    unsafe {
        let of_tile = |tile: usize| product.row_data.add(spread.start(tile) * product.row_stride);
        let mut work = Operands {
            rows: [of_tile(first), of_tile(if IS_PAIRED { first + 1 } else { first })],
            row_stride: product.row_stride,
            columns: product.panels.add(panel * product.steps * STEP_BYTES),
        };
        tiles.zero::<{ UPPER_SUMS[0] }>();
        tiles.zero::<{ UPPER_SUMS[1] }>();
        if IS_PAIRED {
            tiles.zero::<{ LOWER_SUMS[0] }>();
            tiles.zero::<{ LOWER_SUMS[1] }>();
        }
        for _ in 0..product.steps / TILE_STEPS {
            if IS_WHOLE {
                multiply::<T, M, IS_PAIRED, 4, 5, 6, 7>(work, tiles);
            } else {
                multiply::<T, M, IS_PAIRED, 4, 4, 5, 5>(work, tiles);
            }
            work = Operands {
                rows: work.rows.map(|row| row.wrapping_add(TILE_ROW_BYTES)),
                columns: work.columns.wrapping_add(TILE_STEPS * STEP_BYTES),
                ..work
            };
        }
        if !IS_WHOLE {
            multiply::<T, M, IS_PAIRED, 6, 6, 7, 7>(work, tiles);
        }
    }
}

/// Where the operands of a few steps lie.
#[derive(Clone, Copy)]
struct Operands {
    /// The first row of each tile of rows.
    rows: [*const u8; 2],
    row_stride: usize,
    columns: *const u8,
}

/// Loads the steps of a tile and adds their products to the sums.
///
/// # Safety
/// As [`add_up`].
#[inline(always)]
unsafe fn multiply<
    T: Tiles,
    M: Multiply,
    const IS_PAIRED: bool,
    const UPPER: usize,
    const LOWER: usize,
    const LEFT: usize,
    const RIGHT: usize,
>(
    work: Operands,
    tiles: &mut T,
) {
    // SAFETY: the caller's promise.
    unsafe {
        tiles.load::<UPPER>(work.rows[0], work.row_stride);
        tiles.load::<LEFT>(work.columns, STEP_BYTES);
        M::multiply::<T, { UPPER_SUMS[0] }, UPPER, LEFT>(tiles);
        tiles.load::<RIGHT>(work.columns.add(TILE_ROW_BYTES), STEP_BYTES);
        M::multiply::<T, { UPPER_SUMS[1] }, UPPER, RIGHT>(tiles);
        if IS_PAIRED {
            tiles.load::<LOWER>(work.rows[1], work.row_stride);
            M::multiply::<T, { LOWER_SUMS[1] }, LOWER, RIGHT>(tiles);
            if LEFT == RIGHT {
                tiles.load::<LEFT>(work.columns, STEP_BYTES);
            }
            M::multiply::<T, { LOWER_SUMS[0] }, LOWER, LEFT>(tiles);
        }
    }
}
