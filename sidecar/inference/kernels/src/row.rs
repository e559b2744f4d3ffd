//! Operations on one row of float32, once for every instruction set.

mod attend;
mod exponential;
mod lanes;
mod softmax;

pub(crate) use attend::{Attend, attend};
pub(crate) use softmax::{softmax_weights, softmax_weights_bfloat16};

use self::lanes::{
    Gelu, Greatest, GreatestMagnitude, Least, Plus, Relu, Silu, Sum, SumOfExp, SumOfSquares, Times, Traces,
    fold, map,
};
use crate::activation::Activation;
use crate::vector::Vector;

/// How many numbers are looked at together for the greatest.
const BLOCK: usize = 512;

/// # Safety
/// As [`map`].
#[inline(always)]
pub(crate) unsafe fn activate<V: Vector>(row: *mut f32, count: usize, activation: Activation) {
    // SAFETY: the caller's promise.
    unsafe {
        match activation {
            Activation::Gelu => map::<V, _>(row, count, Gelu),
            Activation::Silu => map::<V, _>(row, count, Silu),
            Activation::Relu => map::<V, _>(row, count, Relu),
        }
    }
}

/// # Safety
/// As [`map`].
#[inline(always)]
pub(crate) unsafe fn scale<V: Vector>(row: *mut f32, count: usize, factor: f32) {
    // SAFETY: the caller's promise.
    unsafe { map::<V, _>(row, count, Times(factor)) }
}

/// Layer norm: the deviations from the mean over their standard deviation, times `gain`, plus `bias`.
///
/// # Safety
/// As [`Vector`]; there are `count` numbers of each.
#[inline(always)]
pub(crate) unsafe fn layer_norm<V: Vector>(
    row: *const f32,
    count: usize,
    gain: *const f32,
    bias: *const f32,
    epsilon: f32,
    out: *mut f32,
) {
    // SAFETY: `at` and the lanes behind it stay within `count`.
    unsafe {
        let sum = V::sum(fold::<V, _>(row, count, 0.0, 0.0, Sum));
        let mean = sum / count as f32;
        // Lanes behind the end are the mean, so that they deviate by nothing.
        let squares = fold::<V, _>(row, count, 0.0, mean, SumOfSquares(mean));
        let mean = V::splat(mean);
        let scale = V::splat(1.0 / (V::sum(squares) / count as f32 + epsilon).sqrt());
        let mut at = 0;
        while at + V::LANES <= count {
            let normed = V::multiply(V::subtract(V::load(row.add(at)), mean), scale);
            V::store(out.add(at), V::multiply_add(normed, V::load(gain.add(at)), V::load(bias.add(at))));
            at += V::LANES;
        }
        if at < count {
            let rest = count - at;
            let row = V::load_part(row.add(at), rest, 0.0);
            let normed = V::multiply(V::subtract(row, mean), scale);
            let (gain, bias) = (V::load_part(gain.add(at), rest, 0.0), V::load_part(bias.add(at), rest, 0.0));
            V::store_part(out.add(at), rest, V::multiply_add(normed, gain, bias));
        }
    }
}

/// The greatest of a row's numbers; negative infinity of none.
///
/// # Safety
/// As [`fold`].
#[inline(always)]
pub(crate) unsafe fn greatest<V: Vector>(row: *const f32, count: usize) -> f32 {
    // SAFETY: the caller's promise.
    unsafe { V::greatest(fold::<V, _>(row, count, f32::NEG_INFINITY, f32::NEG_INFINITY, Greatest)) }
}

/// The sum of e to the power of each number less `most`. The numbers stay.
///
/// # Safety
/// As [`fold`].
#[inline(always)]
pub(crate) unsafe fn sum_of_exp<V: Vector>(row: *const f32, count: usize, most: f32) -> f32 {
    // SAFETY: the caller's promise. Lanes behind the end are e to the power of -105, which is 0.
    unsafe { V::sum(fold::<V, _>(row, count, 0.0, f32::NEG_INFINITY, SumOfExp(most))) }
}

/// Adds `more` to each number.
///
/// # Safety
/// As [`map`].
#[inline(always)]
pub(crate) unsafe fn shift<V: Vector>(row: *mut f32, count: usize, more: f32) {
    // SAFETY: the caller's promise.
    unsafe { map::<V, _>(row, count, Plus(more)) }
}

/// Rounds numbers to bfloat16 after multiplying them with `factor`.
///
/// # Safety
/// As [`Vector`]; there are `count` numbers, and as much space.
#[inline(always)]
pub(crate) unsafe fn to_bfloat16<V: Vector>(row: *const f32, count: usize, factor: f32, out: *mut u16) {
    let mut at = 0;
    // SAFETY: `at` and the lanes behind it stay within `count`.
    unsafe {
        let factor = V::splat(factor);
        while at + V::LANES <= count {
            V::store_bfloat16(out.add(at), V::LANES, V::multiply(V::load(row.add(at)), factor));
            at += V::LANES;
        }
        if at < count {
            let part = V::load_part(row.add(at), count - at, 0.0);
            V::store_bfloat16(out.add(at), count - at, V::multiply(part, factor));
        }
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
        let low = V::least(fold::<V, _>(row, count, 0.0, 0.0, Least));
        let high = V::greatest(fold::<V, _>(row, count, 0.0, 0.0, Greatest));
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

/// Whether every number is one, and finite.
///
/// # Safety
/// As [`fold`].
#[inline(always)]
pub(crate) unsafe fn is_finite<V: Vector>(row: *const f32, count: usize) -> bool {
    // SAFETY: the caller's promise. What is left of finite numbers is zeros of either sign.
    unsafe { V::sum(fold::<V, _>(row, count, 0.0, 0.0, Traces)) == 0.0 }
}

/// The greatest magnitude of finite numbers; 0 of none.
///
/// # Safety
/// As [`fold`].
#[inline(always)]
pub(crate) unsafe fn greatest_magnitude<V: Vector>(row: *const f32, count: usize) -> f32 {
    // SAFETY: the caller's promise.
    unsafe { V::greatest(fold::<V, _>(row, count, 0.0, 0.0, GreatestMagnitude)) }
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

/// Where the first of the greatest numbers is.
///
/// # Safety
/// As [`fold`]; `count` is not 0.
#[inline(always)]
pub(crate) unsafe fn position_of_greatest<V: Vector>(row: *const f32, count: usize) -> usize {
    let (mut most, mut first) = (f32::NEG_INFINITY, 0);
    // SAFETY: `at` and the numbers of its block stay within `count`, as do `first` and those of its.
    unsafe {
        let mut at = 0;
        while at < count {
            let greatest = greatest::<V>(row.add(at), BLOCK.min(count - at));
            if greatest > most {
                (most, first) = (greatest, at);
            }
            at += BLOCK;
        }
        let block = std::slice::from_raw_parts(row.add(first), BLOCK.min(count - first));
        first + block.iter().position(|value| *value == most).unwrap_or(0)
    }
}
