//! Softmax of scores, not yet divided by its sum: the division is left to whatever is weighed.

use super::exponential::{exp, rough_exp2};
use super::greatest;
use crate::vector::{Rounding, Vector};

/// Replaces the first `count` numbers by e to their power, the greatest of them being e to the power of 0, and
/// those up to `padded` by 0. Returns one over their sum.
///
/// # Safety
/// As [`Vector`]; there are `padded` numbers, at least `count`, and `count` is not 0.
#[inline(always)]
pub(crate) unsafe fn softmax_weights<V: Vector>(row: *mut f32, count: usize, padded: usize) -> f32 {
    // SAFETY: `at` and the lanes behind it stay within `count`, zeros within `padded`.
    unsafe {
        let most = V::splat(greatest::<V>(row, count));
        let mut sum = V::splat(0.0);
        let mut at = 0;
        while at + V::LANES <= count {
            let weight = exp::<V>(V::subtract(V::load(row.add(at)), most));
            sum = V::add(sum, weight);
            V::store(row.add(at), weight);
            at += V::LANES;
        }
        if at < count {
            let part = V::load_part(row.add(at), count - at, f32::NEG_INFINITY);
            let weight = exp::<V>(V::subtract(part, most));
            sum = V::add(sum, weight);
            V::store_part(row.add(at), count - at, weight);
        }
        std::slice::from_raw_parts_mut(row.add(count), padded - count).fill(0.0);
        1.0 / V::sum(sum)
    }
}

/// As [`softmax_weights`] of numbers in units of log 2, with the weights rounded to bfloat16 into `out`.
///
/// # Safety
/// As [`softmax_weights`], of `row` and of `out`.
#[inline(always)]
pub(crate) unsafe fn softmax_weights_bfloat16<V: Vector, R: Rounding<V>>(
    row: *const f32,
    count: usize,
    padded: usize,
    out: *mut u16,
) -> f32 {
    // SAFETY: `at` and the lanes behind it stay within `count`, zeros within `padded`.
    unsafe {
        let most = V::splat(greatest::<V>(row, count));
        let mut sum = V::splat(0.0);
        let mut at = 0;
        while at + V::LANES <= count {
            let weight = rough_exp2::<V>(V::subtract(V::load(row.add(at)), most));
            sum = V::add(sum, weight);
            R::store(out.add(at), V::LANES, weight);
            at += V::LANES;
        }
        if at < count {
            let part = V::load_part(row.add(at), count - at, f32::NEG_INFINITY);
            let weight = rough_exp2::<V>(V::subtract(part, most));
            sum = V::add(sum, weight);
            R::store(out.add(at), count - at, weight);
        }
        std::slice::from_raw_parts_mut(out.add(count), padded - count).fill(0);
        1.0 / V::sum(sum)
    }
}

/// As [`softmax_weights`] of numbers in units of log 2 that are each the sum of one of `row` and one of `more`; each
/// weight is then multiplied with its factor. Returns one over the sum of the weights as they were before.
///
/// # Safety
/// As [`softmax_weights`]; there are `count` numbers of each.
#[inline(always)]
pub(crate) unsafe fn softmax_weights_times<V: Vector>(
    row: *mut f32,
    more: *const f32,
    factors: *const f32,
    count: usize,
) -> f32 {
    // SAFETY: `at` and the lanes behind it stay within `count`.
    unsafe {
        let whole = count / V::LANES * V::LANES;
        let rest = count - whole;
        let mut most = V::splat(f32::NEG_INFINITY);
        let mut at = 0;
        while at < whole {
            let score = V::add(V::load(row.add(at)), V::load(more.add(at)));
            most = V::maximum(most, score);
            V::store(row.add(at), score);
            at += V::LANES;
        }
        if rest > 0 {
            let part = V::load_part(row.add(at), rest, f32::NEG_INFINITY);
            let score = V::add(part, V::load_part(more.add(at), rest, 0.0));
            most = V::maximum(most, score);
            V::store_part(row.add(at), rest, score);
        }
        let most = V::splat(V::greatest(most));
        let mut sum = V::splat(0.0);
        let mut at = 0;
        while at < whole {
            let weight = rough_exp2::<V>(V::subtract(V::load(row.add(at)), most));
            sum = V::add(sum, weight);
            V::store(row.add(at), V::multiply(weight, V::load(factors.add(at))));
            at += V::LANES;
        }
        if rest > 0 {
            let part = V::load_part(row.add(at), rest, f32::NEG_INFINITY);
            let weight = rough_exp2::<V>(V::subtract(part, most));
            sum = V::add(sum, weight);
            V::store_part(row.add(at), rest, V::multiply(weight, V::load_part(factors.add(at), rest, 0.0)));
        }
        1.0 / V::sum(sum)
    }
}
