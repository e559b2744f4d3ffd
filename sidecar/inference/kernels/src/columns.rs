//! How a row of weights becomes a column of a panel, and a column a row again.
//!
//! The words of a column, 4 bytes each, are [`PANEL`] words apart. Rows are rounded a stretch at a time into memory that
//! stays in the nearest cache, and spread from there.

use crate::product::{PANEL, STEP_BYTES};
use crate::row::{greatest_magnitude, is_finite, to_bfloat16, to_signed_bytes};
use crate::vector::{Stepwise, Vector};

/// Words of a stretch: a kilobyte.
const STRETCH: usize = 256;

/// Puts the words of a stretch into a column from its step `first` on.
///
/// # Safety
/// The column has a step for each word.
#[inline(always)]
unsafe fn spread(words: &[u32], column: *mut u8, first: usize) {
    for (step, word) in words.iter().enumerate() {
        // SAFETY: the caller's promise. What a word is read as is the bytes that were put into it.
        unsafe { column.add((first + step) * STEP_BYTES).cast::<u32>().write_unaligned(*word) }
    }
}

/// Takes the words of a stretch out of a column.
///
/// # Safety
/// As [`spread`].
#[inline(always)]
unsafe fn gather(words: &mut [u32], column: *const u8, first: usize) {
    for (step, word) in words.iter_mut().enumerate() {
        // SAFETY: as above.
        *word = unsafe { column.add((first + step) * STEP_BYTES).cast::<u32>().read_unaligned() };
    }
}

/// Rounds a row to bytes: symmetric, the greatest magnitude becomes 127. Returns what one step is worth, and what the
/// bytes add up to. A number that is none makes the step none, and with it every result of this column.
///
/// # Safety
/// As [`Vector`]; there are `count` numbers, and `column` has a step for every four of them.
#[inline(always)]
pub(crate) unsafe fn pack_int8<V: Vector>(row: *const f32, count: usize, column: *mut u8) -> (f32, i32) {
    // SAFETY: each stretch lies within the row, and its words within the column.
    unsafe {
        let greatest =
            if is_finite::<V>(row, count) { greatest_magnitude::<V>(row, count) } else { f32::NAN };
        let step = if greatest == 0.0 { 1.0 } else { greatest / 127.0 };
        let mut total = 0;
        let mut at = 0;
        while at < count {
            let part = (count - at).min(4 * STRETCH);
            let mut words = [0u32; STRETCH];
            total += to_signed_bytes::<V>(row.add(at), part, step, words.as_mut_ptr().cast());
            spread(&words[..part.div_ceil(4)], column, at / 4);
            at += part;
        }
        (step, total)
    }
}

/// Rounds a row to bfloat16, two a step.
///
/// # Safety
/// As [`pack_int8`], with a step for every two numbers.
#[inline(always)]
pub(crate) unsafe fn pack_bfloat16<V: Vector>(row: *const f32, count: usize, column: *mut u8) {
    let mut at = 0;
    // SAFETY: as above.
    unsafe {
        while at < count {
            let part = (count - at).min(2 * STRETCH);
            let mut words = [0u32; STRETCH];
            to_bfloat16::<V, Stepwise>(row.add(at), part, 1.0, words.as_mut_ptr().cast());
            spread(&words[..part.div_ceil(2)], column, at / 2);
            at += part;
        }
    }
}

/// Puts a row as it is, one number a step.
///
/// # Safety
/// As [`pack_int8`], with a step for every number.
#[inline(always)]
pub(crate) unsafe fn pack_float32(row: *const f32, count: usize, column: *mut u8) {
    // SAFETY: there are as many numbers of 32 bits.
    unsafe { spread(std::slice::from_raw_parts(row.cast(), count), column, 0) }
}

/// The row that became a column of bytes, each of them worth `scale`.
///
/// # Safety
/// As [`pack_int8`]; `out` has space for `count` numbers.
#[inline(always)]
pub(crate) unsafe fn unpack_int8(column: *const u8, count: usize, scale: f32, out: *mut f32) {
    // SAFETY: each stretch lies within the row, and its words within the column.
    unsafe {
        let out = std::slice::from_raw_parts_mut(out, count);
        for (stretch, out) in out.chunks_mut(4 * STRETCH).enumerate() {
            let mut words = [0u32; STRETCH];
            gather(&mut words[..out.len().div_ceil(4)], column, stretch * STRETCH);
            let bytes = std::slice::from_raw_parts(words.as_ptr().cast::<i8>(), out.len());
            for (number, byte) in out.iter_mut().zip(bytes) {
                *number = f32::from(*byte) * scale;
            }
        }
    }
}

/// The row that became a column of bfloat16.
///
/// # Safety
/// As [`unpack_int8`].
#[inline(always)]
pub(crate) unsafe fn unpack_bfloat16(column: *const u8, count: usize, out: *mut f32) {
    // SAFETY: as above.
    unsafe {
        let out = std::slice::from_raw_parts_mut(out, count);
        for (stretch, out) in out.chunks_mut(2 * STRETCH).enumerate() {
            let mut words = [0u32; STRETCH];
            gather(&mut words[..out.len().div_ceil(2)], column, stretch * STRETCH);
            let halves = std::slice::from_raw_parts(words.as_ptr().cast::<u16>(), out.len());
            for (number, half) in out.iter_mut().zip(halves) {
                *number = f32::from_bits(u32::from(*half) << 16);
            }
        }
    }
}

/// The row that became a column as it was.
///
/// # Safety
/// As [`unpack_int8`].
#[inline(always)]
pub(crate) unsafe fn unpack_float32(column: *const u8, count: usize, out: *mut f32) {
    // SAFETY: there is space for as many numbers of 32 bits.
    unsafe { gather(std::slice::from_raw_parts_mut(out.cast(), count), column, 0) }
}

const _: () = assert!(STEP_BYTES == 4 * PANEL, "a step is a word of each column");
