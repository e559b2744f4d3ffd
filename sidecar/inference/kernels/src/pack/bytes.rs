//! How keys and values become bytes: less their mean, each row with a scale of its own.

use super::head::Head;
use crate::product::{PANEL, STEP_BYTES};
use crate::row::{greatest_magnitude, is_finite, to_signed_bytes};
use crate::vector::Vector;

/// The keys or values of one head, to be rounded.
pub(crate) struct ByteHead {
    pub(crate) head: Head,
    /// Space for the mean of all rows.
    pub(crate) mean: *mut f32,
    /// For each row, space for what a step of its bytes is worth.
    pub(crate) scales: *mut f32,
    /// Space for one row on its way.
    pub(crate) centred: *mut f32,
    /// Space for four rows of bytes on their way, in whole panels. What lies behind a row's bytes is 0 and stays so.
    pub(crate) rounded: *mut u8,
}

/// Vectors of a row that are added up side by side.
const VECTORS: usize = 4;

/// Puts each key into a column of a panel, its scale beside it, and what its bytes add up to into `totals`.
///
/// # Safety
/// As [`Vector`]; `out` has space for the panels of all rows, and what the head describes is there.
#[inline(always)]
pub(crate) unsafe fn keys_int8<V: Vector>(work: &ByteHead, totals: *mut i32, out: *mut u8) {
    let Head { count, width, key_steps, .. } = work.head;
    // SAFETY: the place of each word lies in the panel of its row.
    unsafe {
        let factor = take_mean::<V>(work);
        for index in 0..count {
            *totals.add(index) = round::<V>(work, index, factor, work.rounded);
            let column = out.add(index / PANEL * key_steps * STEP_BYTES + index % PANEL * 4);
            for step in 0..width.div_ceil(4) {
                let word = work.rounded.add(step * 4).cast::<u32>().read_unaligned();
                column.add(step * STEP_BYTES).cast::<u32>().write_unaligned(word);
            }
        }
    }
}

/// Puts four values after another into a step of the panels, their scales beside them.
///
/// # Safety
/// As [`keys_int8`].
#[inline(always)]
pub(crate) unsafe fn values_int8<V: Vector>(work: &ByteHead, out: *mut u8) {
    let Head { count, width, value_steps, .. } = work.head;
    let padded = width.next_multiple_of(PANEL);
    // SAFETY: the place of each word lies in the panel of its column.
    unsafe {
        let factor = take_mean::<V>(work);
        for first in (0..count).step_by(4) {
            for part in 0..4 {
                let place = work.rounded.add(part * padded);
                if first + part < count {
                    round::<V>(work, first + part, factor, place);
                } else {
                    place.write_bytes(0, width);
                }
            }
            let rows = [0, 1, 2, 3]
                .map(|part| std::slice::from_raw_parts(work.rounded.add(part * padded).cast_const(), padded));
            for panel in 0..padded / PANEL {
                let place = out.add((panel * value_steps + first / 4) * STEP_BYTES).cast::<u32>();
                let place = std::slice::from_raw_parts_mut(place, PANEL);
                let [first, second, third, fourth] = rows.map(|row| &row[panel * PANEL..][..PANEL]);
                for (column, word) in place.iter_mut().enumerate() {
                    *word =
                        u32::from_ne_bytes([first[column], second[column], third[column], fourth[column]]);
                }
            }
        }
    }
}

/// Puts the mean of all rows into its place. Returns what each row's scale is multiplied with: 1, or no number where
/// any number of the rows is none, so that whatever is computed of them is none either.
///
/// # Safety
/// As [`keys_int8`].
#[inline(always)]
unsafe fn take_mean<V: Vector>(work: &ByteHead) -> f32 {
    let Head { rows, stride, count, width, .. } = work.head;
    // SAFETY: `first` and the lanes behind it stay within the row.
    unsafe {
        let inverse = V::splat(1.0 / count as f32);
        let mut first = 0;
        while first + VECTORS * V::LANES <= width {
            let mut sums = [V::splat(0.0); VECTORS];
            for index in 0..count {
                let row = rows.add(index * stride + first);
                for (part, sum) in sums.iter_mut().enumerate() {
                    *sum = V::add(*sum, V::load(row.add(part * V::LANES)));
                }
            }
            for (part, sum) in sums.into_iter().enumerate() {
                V::store(work.mean.add(first + part * V::LANES), V::multiply(sum, inverse));
            }
            first += VECTORS * V::LANES;
        }
        while first < width {
            let lanes = V::LANES.min(width - first);
            let mut sum = V::splat(0.0);
            for index in 0..count {
                sum = V::add(sum, load::<V>(rows.add(index * stride + first), lanes));
            }
            store::<V>(work.mean.add(first), lanes, V::multiply(sum, inverse));
            first += lanes;
        }
        if is_finite::<V>(work.mean, width) { 1.0 } else { f32::NAN }
    }
}

/// Rounds a row less the mean: symmetric, the greatest magnitude becomes 127. Returns what the bytes add up to.
///
/// # Safety
/// As [`keys_int8`]; `out` has space for the row's bytes.
#[inline(always)]
unsafe fn round<V: Vector>(work: &ByteHead, index: usize, factor: f32, out: *mut u8) -> i32 {
    let Head { rows, stride, width, .. } = work.head;
    // SAFETY: `at` and the lanes behind it stay within the row.
    unsafe {
        let row = rows.add(index * stride);
        let mut at = 0;
        while at < width {
            let lanes = V::LANES.min(width - at);
            let less = V::subtract(load::<V>(row.add(at), lanes), load::<V>(work.mean.add(at), lanes));
            store::<V>(work.centred.add(at), lanes, less);
            at += lanes;
        }
        let greatest = greatest_magnitude::<V>(work.centred, width);
        let scale = factor * if greatest == 0.0 { 1.0 } else { greatest / 127.0 };
        *work.scales.add(index) = scale;
        to_signed_bytes::<V>(work.centred, width, scale, out)
    }
}

/// Up to all lanes of a vector; the others are 0.
///
/// # Safety
/// As [`Vector`].
#[inline(always)]
unsafe fn load<V: Vector>(from: *const f32, lanes: usize) -> V::F32 {
    // SAFETY: the caller's promise.
    unsafe { if lanes == V::LANES { V::load(from) } else { V::load_part(from, lanes, 0.0) } }
}

/// As [`load`].
///
/// # Safety
/// As [`Vector`].
#[inline(always)]
unsafe fn store<V: Vector>(to: *mut f32, lanes: usize, value: V::F32) {
    // SAFETY: the caller's promise.
    unsafe { if lanes == V::LANES { V::store(to, value) } else { V::store_part(to, lanes, value) } }
}
