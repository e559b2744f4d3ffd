//! The loop over tiles, the same for the instructions and for what stands for them in tests.

use super::block::add_up;
use super::configuration::{LOWER_SUMS, UPPER_SUMS};
use super::spread::Spread;
use super::{Configuration, Multiply, TILE_ROW_BYTES, TILE_ROWS, TILE_STEPS, Tiles};
use crate::product::{Columns, PANEL, Product, STEP_BYTES};
use crate::vector::{Dot, Vector};

/// Sums of a tile of rows with a panel of columns, on their way from tiles to vectors.
#[repr(align(64))]
struct Sums([u32; TILE_ROWS * PANEL]);

/// Computes a product.
///
/// # Safety
/// The processor has the instructions of `T` and of the vectors that finish the sums, and the pointers lead to as much as
/// their descriptions say. Nothing else uses this thread's tiles.
#[inline(always)]
pub(crate) unsafe fn compute<T: Tiles, M: Multiply>(product: &Product, tiles: &mut T) {
    // A copy that nothing points to: what is written to the result cannot change it.
    let product = &{ *product };
    if product.rows == 0 || product.first_panel >= product.end_panel {
        return;
    }
    let spread = Spread::of(product.rows);
    let mut sums = Sums([0; TILE_ROWS * PANEL]);
    // SAFETY: the caller's promise; blocks are of the product and of the shapes that were configured.
    unsafe {
        tiles.configure(&Configuration::of(spread.height, product.steps));
        match (spread.is_paired(), product.steps.is_multiple_of(TILE_STEPS)) {
            (false, true) => blocks::<T, M, false, true>(product, &spread, &mut sums, tiles),
            (false, false) => blocks::<T, M, false, false>(product, &spread, &mut sums, tiles),
            (true, true) => blocks::<T, M, true, true>(product, &spread, &mut sums, tiles),
            (true, false) => blocks::<T, M, true, false>(product, &spread, &mut sums, tiles),
        }
        tiles.release();
    }
}

/// All blocks of a product: one or two tiles of rows with a panel. A panel stays in the nearest caches while all rows meet
/// it.
///
/// # Safety
/// As [`compute`].
#[inline(always)]
unsafe fn blocks<T: Tiles, M: Multiply, const IS_PAIRED: bool, const IS_WHOLE: bool>(
    product: &Product,
    spread: &Spread,
    sums: &mut Sums,
    tiles: &mut T,
) {
    for panel in product.first_panel..product.end_panel {
        for first in spread.firsts() {
            // SAFETY: the caller's promise; there is a second tile where they are paired. There is space for the sums of a
            // tile of rows.
            unsafe {
                add_up::<T, M, IS_PAIRED, IS_WHOLE>(product, spread, first, panel, tiles);
                tiles.store::<{ UPPER_SUMS[0] }>(sums.0.as_mut_ptr().cast(), STEP_BYTES);
                tiles.store::<{ UPPER_SUMS[1] }>(
                    sums.0.as_mut_ptr().cast::<u8>().add(TILE_ROW_BYTES),
                    STEP_BYTES,
                );
                put_tile::<M::Finish>(product, spread, first, panel, sums);
                if IS_PAIRED {
                    tiles.store::<{ LOWER_SUMS[0] }>(sums.0.as_mut_ptr().cast(), STEP_BYTES);
                    tiles.store::<{ LOWER_SUMS[1] }>(
                        sums.0.as_mut_ptr().cast::<u8>().add(TILE_ROW_BYTES),
                        STEP_BYTES,
                    );
                    put_tile::<M::Finish>(product, spread, first + 1, panel, sums);
                }
            }
        }
    }
}

/// Writes those rows of a tile that no tile before it has written.
///
/// # Safety
/// As [`compute`]; the tile and the panel are the product's.
#[inline(always)]
unsafe fn put_tile<D: Dot>(product: &Product, spread: &Spread, tile: usize, panel: usize, sums: &Sums) {
    const { assert!(size_of::<D::Sum>() == D::Vector::LANES * 4, "a sum is one number for each lane") }
    for column in (0..PANEL).step_by(D::Vector::LANES) {
        // SAFETY: a sum is as many numbers as a vector has lanes, of which every pattern of bits is a value, and vectors
        // end where a panel ends. The rest is the caller's promise.
        unsafe {
            let columns = Columns::<D>::of(product, panel * PANEL + column);
            for row in spread.fresh(tile) {
                let sum = sums.0.as_ptr().add(row * PANEL + column).cast::<D::Sum>().read_unaligned();
                columns.put(product, spread.start(tile) + row, sum);
            }
        }
    }
}
