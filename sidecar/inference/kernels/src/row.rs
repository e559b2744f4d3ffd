//! Operations on one row of float32, once for every instruction set.

mod attend;
mod bytes;
mod exponential;
mod lanes;
mod softmax;

pub(crate) use attend::{Attend, attend};
pub(crate) use bytes::{to_byte_pairs, to_bytes, to_signed_bytes};
pub(crate) use softmax::{softmax_weights, softmax_weights_bfloat16, softmax_weights_times};

use self::lanes::{
    Gelu, Greatest, GreatestMagnitude, Plus, Relu, RoughGelu, Silu, Sum, SumOfExp, SumOfSquares, Times,
    Traces, fold, map,
};
use crate::activation::Activation;
use crate::vector::{Rounding, Vector};

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

/// As [`activate`], as exactly as a result needs that is rounded to bfloat16 or a byte.
///
/// # Safety
/// As [`map`].
#[inline(always)]
pub(crate) unsafe fn activate_roughly<V: Vector>(row: *mut f32, count: usize, activation: Activation) {
    // SAFETY: the caller's promise.
    unsafe {
        match activation {
            Activation::Gelu => map::<V, _>(row, count, RoughGelu),
            Activation::Silu | Activation::Relu => activate::<V>(row, count, activation),
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
pub(crate) unsafe fn to_bfloat16<V: Vector, R: Rounding<V>>(
    row: *const f32,
    count: usize,
    factor: f32,
    out: *mut u16,
) {
    let mut at = 0;
    // SAFETY: `at` and the lanes behind it stay within `count`.
    unsafe {
        let factor = V::splat(factor);
        while at + V::LANES <= count {
            R::store(out.add(at), V::LANES, V::multiply(V::load(row.add(at)), factor));
            at += V::LANES;
        }
        if at < count {
            let part = V::load_part(row.add(at), count - at, 0.0);
            R::store(out.add(at), count - at, V::multiply(part, factor));
        }
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
