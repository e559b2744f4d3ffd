//! What tiles can do at most, as [`crate::peak`] measures it.

use super::{Configuration, Multiply, TILE_ROW_BYTES, TILE_ROWS, TILE_STEPS, Tiles};

/// Sums that do not wait for each other: an instruction takes three to four times as long as until the next can start.
const SUMS: u64 = 6;

/// One in bfloat16, and bytes of both signs.
#[repr(align(64))]
struct Operand([u32; TILE_ROWS * TILE_STEPS]);

/// Runs `rounds` rounds of products of tiles, and gives how many multiplications and additions they were.
///
/// # Safety
/// The processor has the instructions of `T`, and nothing else uses this thread's tiles.
#[inline(always)]
pub(crate) unsafe fn burst<T: Tiles, M: Multiply>(tiles: &mut T, rounds: u64, numbers_a_step: u64) -> u64 {
    let operand = Operand([0x3f80_3f80; TILE_ROWS * TILE_STEPS]);
    let operand: *const u8 = operand.0.as_ptr().cast();
    // SAFETY: all registers have the same shape, which is that of the operand.
    unsafe {
        tiles.configure(&Configuration::largest());
        tiles.load::<6>(operand, TILE_ROW_BYTES);
        tiles.load::<7>(operand, TILE_ROW_BYTES);
        for _ in 0..rounds {
            M::multiply::<T, 0, 6, 7>(tiles);
            M::multiply::<T, 1, 6, 7>(tiles);
            M::multiply::<T, 2, 6, 7>(tiles);
            M::multiply::<T, 3, 6, 7>(tiles);
            M::multiply::<T, 4, 6, 7>(tiles);
            M::multiply::<T, 5, 6, 7>(tiles);
        }
        tiles.release();
    }
    let products = (TILE_ROWS * TILE_STEPS * TILE_STEPS) as u64 * numbers_a_step;
    rounds * SUMS * 2 * products
}
