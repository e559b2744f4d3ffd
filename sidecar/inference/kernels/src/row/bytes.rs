//! Rows of numbers as bytes.

use crate::vector::Vector;

/// The least and the greatest of a row's numbers and 0.
///
/// # Safety
/// As [`Vector`]; there are `count` numbers.
#[inline(always)]
unsafe fn range<V: Vector>(row: *const f32, count: usize) -> (f32, f32) {
    // SAFETY: `at` and the lanes behind it stay within `count`.
    unsafe {
        // Two of each, so that neither waits for itself.
        let mut least = [V::splat(0.0); 2];
        let mut greatest = least;
        let mut at = 0;
        while at + 2 * V::LANES <= count {
            for part in 0..2 {
                let value = V::load(row.add(at + part * V::LANES));
                least[part] = V::minimum(least[part], value);
                greatest[part] = V::maximum(greatest[part], value);
            }
            at += 2 * V::LANES;
        }
        while at < count {
            let part = V::LANES.min(count - at);
            let value =
                if part == V::LANES { V::load(row.add(at)) } else { V::load_part(row.add(at), part, 0.0) };
            least[0] = V::minimum(least[0], value);
            greatest[0] = V::maximum(greatest[0], value);
            at += part;
        }
        (V::least(V::minimum(least[0], least[1])), V::greatest(V::maximum(greatest[0], greatest[1])))
    }
}

/// Turns numbers into bytes from 0 to `most` over the range that they have, zero included. Returns what one step is
/// worth and the byte that stands for zero.
///
/// # Safety
/// As [`to_bfloat16`].
#[inline(always)]
pub(crate) unsafe fn to_bytes<V: Vector>(
    row: *const f32,
    count: usize,
    most: i32,
    out: *mut u8,
) -> (f32, i32) {
    // SAFETY: `at` and the lanes behind it stay within `count`.
    unsafe {
        let (low, high) = range::<V>(row, count);
        let range = high - low;
        // Numbers that are not finite stay so: a scale that is not a number makes every product of the row one.
        let step = if range == 0.0 { 1.0 } else { range / most as f32 };
        let zero = (-low / step).round_ties_even() as i32;
        let inverse = V::splat(1.0 / step);
        let mut at = 0;
        while at + V::LANES <= count {
            let value = V::multiply(V::load(row.add(at)), inverse);
            V::store_bytes(out.add(at), V::LANES, value, zero, most);
            at += V::LANES;
        }
        if at < count {
            let part = V::load_part(row.add(at), count - at, 0.0);
            V::store_bytes(out.add(at), count - at, V::multiply(part, inverse), zero, most);
        }
        (step, zero)
    }
}

/// As [`to_bytes`] of the numbers times `factor`, each of which becomes a pair of bytes: `high`, worth `most` + 1 steps,
/// and `low`, worth one. `most` + 1 is a power of 2.
///
/// # Safety
/// As [`to_bytes`], of `high` and of `low`.
#[inline(always)]
pub(crate) unsafe fn to_byte_pairs<V: Vector>(
    row: *const f32,
    count: usize,
    factor: f32,
    most: i32,
    high: *mut u8,
    low: *mut u8,
) -> (f32, i32) {
    let base = (most + 1) as f32;
    let greatest = base * base - 1.0;
    // SAFETY: `at` and the lanes behind it stay within `count`.
    unsafe {
        let (least, most_of_all) = range::<V>(row, count);
        let range = most_of_all - least;
        let step = if range == 0.0 { 1.0 } else { range / greatest };
        let zero = (-least / step).round_ties_even();
        let (inverse, offset) = (V::splat(1.0 / step), V::splat(zero));
        let (nothing, greatest) = (V::splat(0.0), V::splat(greatest));
        let mut at = 0;
        while at < count {
            let part = V::LANES.min(count - at);
            let value =
                if part == V::LANES { V::load(row.add(at)) } else { V::load_part(row.add(at), part, 0.0) };
            let steps = V::add(V::round(V::multiply(value, inverse)), offset);
            let steps = V::minimum(V::maximum(steps, nothing), greatest);
            // The nearest integer of what is lower by just under a half is the quotient without its remainder; steps
            // are few enough that all of this is exact.
            let lower = V::subtract(steps, V::splat((base - 1.0) / 2.0));
            let quotient = V::round(V::multiply(lower, V::splat(1.0 / base)));
            let rest = V::subtract(steps, V::multiply(quotient, V::splat(base)));
            V::store_bytes(high.add(at), part, quotient, 0, most);
            V::store_bytes(low.add(at), part, rest, 0, most);
            at += part;
        }
        (step * factor, zero as i32)
    }
}

/// Divides numbers by `step` and rounds them to bytes from -127 to 127, ties to even. Returns what the bytes add up
/// to, for up to 2^24 of them. A step that is no number makes zeros.
///
/// # Safety
/// As [`to_bfloat16`].
#[inline(always)]
pub(crate) unsafe fn to_signed_bytes<V: Vector>(
    row: *const f32,
    count: usize,
    step: f32,
    out: *mut u8,
) -> i32 {
    // SAFETY: `at` and the lanes behind it stay within `count`.
    unsafe {
        let out = std::slice::from_raw_parts_mut(out, count);
        // The greatest number was so small that a 127th of it is nothing: infinities that lanes do not round.
        if step == 0.0 || step.is_nan() {
            let row = std::slice::from_raw_parts(row, count);
            for (byte, number) in out.iter_mut().zip(row) {
                *byte = (number / step).clamp(-127.0, 127.0) as i8 as u8;
            }
        } else {
            let (divisor, least, most) = (V::splat(step), V::splat(-127.0), V::splat(127.0));
            let mut at = 0;
            while at < count {
                let part = (count - at).min(V::LANES);
                let numbers = if part == V::LANES {
                    V::load(row.add(at))
                } else {
                    V::load_part(row.add(at), part, 0.0)
                };
                let value = V::minimum(V::maximum(V::divide(numbers, divisor), least), most);
                // Lanes are stored as bytes without a sign: half their range above what they are.
                V::store_bytes(out.as_mut_ptr().add(at), part, value, 128, 255);
                at += part;
            }
            for byte in out.iter_mut() {
                *byte ^= 0x80;
            }
        }
        out.iter().map(|byte| i32::from(*byte as i8)).sum()
    }
}
