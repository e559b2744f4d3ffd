//! How weights, keys and values become panels.
//!
//! A panel holds [`PANEL`] columns; step `s` of column `c` is 4 bytes at `(s * PANEL + c) * 4`.

mod bytes;
mod head;

pub(crate) use self::bytes::{ByteHead, keys_int8, values_int8};
pub(crate) use self::head::Head;
use crate::product::PANEL;
use crate::row;
use crate::vector::portable::to_bfloat16;
use crate::vector::{Rounding, Vector};

/// Numbers of a key that are rounded at once: an even number.
const PART: usize = 64;

/// # Safety
/// `out` has space for the panels of all rows, and what the head describes is there.
#[inline(always)]
pub(crate) unsafe fn keys_float32(head: &Head, out: *mut f32) {
    for index in 0..head.count {
        let first = (index / PANEL) * head.key_steps * PANEL + index % PANEL;
        // SAFETY: the place of each number lies in the panel of its row.
        unsafe {
            for (step, number) in head.row(index).iter().enumerate() {
                *out.add(first + step * PANEL) = *number;
            }
        }
    }
}

/// # Safety
/// As [`Vector`] and as [`keys_float32`].
#[inline(always)]
pub(crate) unsafe fn keys_bfloat16<V: Vector, R: Rounding<V>>(head: &Head, out: *mut u16) {
    // Rows are rounded a part at a time, and then put into their columns pair by pair.
    let mut rounded = [0u16; PART];
    for index in 0..head.count {
        let column = ((index / PANEL) * head.key_steps * PANEL + index % PANEL) * 2;
        // SAFETY: the place of each pair lies in the panel of its row; a part is no longer than the space for it.
        unsafe {
            for (part, numbers) in head.row(index).chunks(PART).enumerate() {
                row::to_bfloat16::<V, R>(numbers.as_ptr(), numbers.len(), 1.0, rounded.as_mut_ptr());
                let place = out.add(column + part * (PART / 2) * PANEL * 2);
                let (pairs, last) = rounded[..numbers.len()].as_chunks::<2>();
                for (step, pair) in pairs.iter().enumerate() {
                    place.add(step * PANEL * 2).cast::<[u16; 2]>().write_unaligned(*pair);
                }
                if let [last] = last {
                    *place.add(pairs.len() * PANEL * 2) = *last;
                }
            }
        }
    }
}

/// # Safety
/// As [`keys_float32`].
#[inline(always)]
pub(crate) unsafe fn values_float32(head: &Head, out: *mut f32) {
    for index in 0..head.count {
        // SAFETY: the place of each part of a row lies in the panel of its columns.
        unsafe {
            for (panel, part) in head.row(index).chunks(PANEL).enumerate() {
                let place = out.add((panel * head.value_steps + index) * PANEL);
                std::ptr::copy_nonoverlapping(part.as_ptr(), place, part.len());
            }
        }
    }
}

/// # Safety
/// As [`keys_float32`].
#[inline(always)]
pub(crate) unsafe fn values_bfloat16(head: &Head, out: *mut u16) {
    for index in (0..head.count).step_by(2) {
        // SAFETY: the place of each part of a row lies in the panel of its columns.
        unsafe {
            let even = head.row(index);
            // Behind an odd number of rows there is one of zeros.
            let odd = if index + 1 < head.count { Some(head.row(index + 1)) } else { None };
            for (panel, part) in even.chunks(PANEL).enumerate() {
                let place = out.add((panel * head.value_steps + index / 2) * PANEL * 2);
                let place = std::slice::from_raw_parts_mut(place, part.len() * 2);
                match odd {
                    Some(odd) => {
                        let odd = &odd[panel * PANEL..][..part.len()];
                        for ((pair, even), odd) in place.as_chunks_mut::<2>().0.iter_mut().zip(part).zip(odd)
                        {
                            *pair = [to_bfloat16(*even), to_bfloat16(*odd)];
                        }
                    }
                    None => {
                        for (pair, even) in place.as_chunks_mut::<2>().0.iter_mut().zip(part) {
                            *pair = [to_bfloat16(*even), 0];
                        }
                    }
                }
            }
        }
    }
}
