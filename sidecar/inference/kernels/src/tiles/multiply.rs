//! What the four bytes of a step are, and how sums of their products become numbers.

use std::marker::PhantomData;

use super::Tiles;
use crate::vector::Dot;

/// A product of tiles.
///
/// # Safety
/// As [`Tiles`].
pub(crate) trait Multiply {
    /// Finishes sums as the products of vectors do. Its sums are the same numbers, in the order of the columns.
    type Finish: Dot;

    /// Adds the products of a tile of rows with a tile of columns to a tile of sums.
    unsafe fn multiply<T: Tiles, const SUMS: usize, const ROWS: usize, const COLUMNS: usize>(tiles: &mut T);
}

/// Four unsigned bytes of a row with four signed ones of a column.
pub(crate) struct Bytes<D>(PhantomData<D>);

impl<D: Dot> Multiply for Bytes<D> {
    type Finish = D;

    #[inline(always)]
    unsafe fn multiply<T: Tiles, const SUMS: usize, const ROWS: usize, const COLUMNS: usize>(tiles: &mut T) {
        // SAFETY: the caller's promise.
        unsafe { tiles.multiply_bytes::<SUMS, ROWS, COLUMNS>() }
    }
}

/// Two bfloat16 of a row with two of a column. Numbers too small for float32's full precision count as zero.
pub(crate) struct Bfloat16<D>(PhantomData<D>);

impl<D: Dot> Multiply for Bfloat16<D> {
    type Finish = D;

    #[inline(always)]
    unsafe fn multiply<T: Tiles, const SUMS: usize, const ROWS: usize, const COLUMNS: usize>(tiles: &mut T) {
        // SAFETY: the caller's promise.
        unsafe { tiles.multiply_bfloat16::<SUMS, ROWS, COLUMNS>() }
    }
}
