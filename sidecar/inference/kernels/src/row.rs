//! Operations on one row of float32, once for every instruction set.

use crate::activation::Activation;
use crate::vector::Vector;

/// The exponents between which e to the power of x is neither zero nor infinite in float32.
const LEAST_EXPONENT: f32 = -105.0;
const MOST_EXPONENT: f32 = 88.7;

/// e to the power of each lane, to 2e-7 of it: 2^n times a polynomial of the rest, which is at most ln 2 / 2.
///
/// # Safety
/// As [`Vector`].
#[inline(always)]
pub(crate) unsafe fn exp<V: Vector>(value: V::F32) -> V::F32 {
    // ln 2 in two parts, the first with few enough digits that its multiples are exact (Cody and Waite).
    const LN_2_HIGH: f32 = 355.0 / 512.0;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    // The Taylor series; its eighth term is below half a unit in the last place on this interval.
    const SERIES: [f32; 7] = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    // SAFETY: the caller's promise.
    unsafe {
        let value = V::maximum(value, V::splat(LEAST_EXPONENT));
        let value = V::minimum(value, V::splat(MOST_EXPONENT));
        let power = V::round(V::multiply(value, V::splat(std::f32::consts::LOG2_E)));
        let rest = V::multiply_add(power, V::splat(-LN_2_HIGH), value);
        let rest = V::multiply_add(power, V::splat(-LN_2_LOW), rest);
        let mut sum = V::splat(1.0 / 5040.0);
        for coefficient in SERIES {
            sum = V::multiply_add(sum, rest, V::splat(coefficient));
        }
        V::scale_by_power(sum, power)
    }
}

/// 2 to the power of each lane, which is at most 0, to 4e-6 of it: enough for a result that is rounded to bfloat16.
///
/// # Safety
/// As [`Vector`].
#[inline(always)]
unsafe fn rough_exp2<V: Vector>(value: V::F32) -> V::F32 {
    // A minimax polynomial of degree 4 of 2^x on [-0.5, 0.5], found by the Remez algorithm.
    const POLYNOMIAL: [f32; 4] = [5.550_411e-2, 2.402_265e-1, 6.931_472e-1, 1.0];
    // SAFETY: the caller's promise.
    unsafe {
        let value = V::maximum(value, V::splat(-150.0));
        let power = V::round(value);
        let rest = V::subtract(value, power);
        let mut sum = V::splat(9.618_129e-3);
        for coefficient in POLYNOMIAL {
            sum = V::multiply_add(sum, rest, V::splat(coefficient));
        }
        V::scale_by_power(sum, power)
    }
}

/// x times the normal distribution function of x.
///
/// # Safety
/// As [`Vector`].
#[inline(always)]
unsafe fn gelu<V: Vector>(value: V::F32) -> V::F32 {
    // The error function by Abramowitz and Stegun, formula 7.1.26: off by 1.5e-7 at most.
    const P: f32 = 0.327_591_1;
    const SERIES: [f32; 4] = [-1.453_152_1, 1.421_413_8, -0.284_496_74, 0.254_829_6];
    // SAFETY: the caller's promise.
    unsafe {
        let one = V::splat(1.0);
        let scaled = V::multiply(value, V::splat(std::f32::consts::FRAC_1_SQRT_2));
        let size = V::absolute(scaled);
        let t = V::divide(one, V::multiply_add(size, V::splat(P), one));
        let mut sum = V::splat(1.061_405_4);
        for coefficient in SERIES {
            sum = V::multiply_add(sum, t, V::splat(coefficient));
        }
        let decay = exp::<V>(V::subtract(V::splat(0.0), V::multiply(size, size)));
        let size = V::subtract(one, V::multiply(V::multiply(sum, t), decay));
        let half = V::multiply(value, V::splat(0.5));
        V::multiply_add(half, V::with_sign(size, scaled), half)
    }
}

/// x over 1 + e to the power of -x.
///
/// # Safety
/// As [`Vector`].
#[inline(always)]
unsafe fn silu<V: Vector>(value: V::F32) -> V::F32 {
    // SAFETY: the caller's promise.
    unsafe {
        let decay = exp::<V>(V::subtract(V::splat(0.0), value));
        V::divide(value, V::add(V::splat(1.0), decay))
    }
}

/// What becomes of each lane. These are types rather than closures, because a closure cannot be `inline(always)`, and
/// one that is not inlined has none of the set's instructions.
trait Map<V: Vector>: Copy {
    /// # Safety
    /// As [`Vector`].
    unsafe fn of(self, value: V::F32) -> V::F32;
}

/// How a lane is taken into what was folded before.
trait Fold<V: Vector>: Copy {
    /// # Safety
    /// As [`Vector`].
    unsafe fn of(self, folded: V::F32, value: V::F32) -> V::F32;
}

macro_rules! functions {
    ($($trait:ident $name:ident$(($($field:ident),+))? |$($argument:ident),+| $body:expr;)*) => {
        $(
            #[derive(Clone, Copy)]
            struct $name$(($(functions!(@f32 $field)),+))?;
            impl<V: Vector> $trait<V> for $name {
                #[inline(always)]
                unsafe fn of(self, $($argument: V::F32),+) -> V::F32 {
                    $(let Self($($field),+) = self;)?
                    // SAFETY: the caller's promise.
                    unsafe { $body }
                }
            }
        )*
    };
    (@f32 $field:ident) => { f32 };
}

functions! {
    Map Gelu |value| gelu::<V>(value);
    Map Silu |value| silu::<V>(value);
    Map Relu |value| V::maximum(value, V::splat(0.0));
    Map Times(factor) |value| V::multiply(value, V::splat(factor));
    Map Plus(more) |value| V::add(value, V::splat(more));
    Fold Sum |sum, value| V::add(sum, value);
    Fold Greatest |most, value| V::maximum(most, value);
    Fold Least |least, value| V::minimum(least, value);
    Fold SumOfSquares(mean) |sum, value| {
        let deviation = V::subtract(value, V::splat(mean));
        V::multiply_add(deviation, deviation, sum)
    };
    Fold SumOfExp(most) |sum, value| V::add(sum, exp::<V>(V::subtract(value, V::splat(most))));
}

/// Replaces each number by what `of` makes of it.
///
/// # Safety
/// As [`Vector`]; there are `count` numbers.
#[inline(always)]
unsafe fn map<V: Vector, M: Map<V>>(row: *mut f32, count: usize, map: M) {
    let mut at = 0;
    // SAFETY: `at` and the lanes behind it stay within `count`.
    unsafe {
        while at + V::LANES <= count {
            V::store(row.add(at), map.of(V::load(row.add(at))));
            at += V::LANES;
        }
        if at < count {
            V::store_part(row.add(at), count - at, map.of(V::load_part(row.add(at), count - at, 0.0)));
        }
    }
}

/// Folds a row of numbers into one vector that starts as `start`; lanes behind the end are `rest`.
///
/// # Safety
/// As [`Vector`]; there are `count` numbers.
#[inline(always)]
unsafe fn fold<V: Vector, F: Fold<V>>(
    row: *const f32,
    count: usize,
    start: f32,
    rest: f32,
    fold: F,
) -> V::F32 {
    // SAFETY: `at` and the lanes behind it stay within `count`.
    unsafe {
        let mut folded = V::splat(start);
        let mut at = 0;
        while at + V::LANES <= count {
            folded = fold.of(folded, V::load(row.add(at)));
            at += V::LANES;
        }
        if at < count {
            folded = fold.of(folded, V::load_part(row.add(at), count - at, rest));
        }
        folded
    }
}

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
pub(crate) unsafe fn softmax_weights_bfloat16<V: Vector>(
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
            V::store_bfloat16(out.add(at), V::LANES, weight);
            at += V::LANES;
        }
        if at < count {
            let part = V::load_part(row.add(at), count - at, f32::NEG_INFINITY);
            let weight = rough_exp2::<V>(V::subtract(part, most));
            sum = V::add(sum, weight);
            V::store_bfloat16(out.add(at), count - at, weight);
        }
        std::slice::from_raw_parts_mut(out.add(count), padded - count).fill(0);
        1.0 / V::sum(sum)
    }
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

/// The sum of the products of two rows.
///
/// # Safety
/// As [`Vector`]; there are `count` numbers of each.
#[inline(always)]
unsafe fn dot<V: Vector>(left: *const f32, right: *const f32, count: usize) -> f32 {
    // SAFETY: `at` and the lanes behind it stay within `count`.
    unsafe {
        let mut sum = V::splat(0.0);
        let mut at = 0;
        while at + V::LANES <= count {
            sum = V::multiply_add(V::load(left.add(at)), V::load(right.add(at)), sum);
            at += V::LANES;
        }
        if at < count {
            let left = V::load_part(left.add(at), count - at, 0.0);
            sum = V::multiply_add(left, V::load_part(right.add(at), count - at, 0.0), sum);
        }
        V::sum(sum)
    }
}

/// Attention of one query of one head to rows of keys and values that lie apart: `offsets` says where each is.
pub(crate) struct Attend {
    pub(crate) query: *const f32,
    pub(crate) keys: *const f32,
    pub(crate) values: *const f32,
    /// Where each key's row starts from `keys`, and each value's from `values`, in numbers.
    pub(crate) offsets: *const usize,
    /// How many keys there are; not 0.
    pub(crate) count: usize,
    /// Numbers of a head.
    pub(crate) width: usize,
    pub(crate) scale: f32,
    /// Space for `count` numbers.
    pub(crate) scores: *mut f32,
    /// Space for `width` numbers.
    pub(crate) out: *mut f32,
}

/// # Safety
/// As [`Vector`]; everything leads to as much as its description says.
#[inline(always)]
pub(crate) unsafe fn attend<V: Vector>(work: &Attend) {
    // SAFETY: the caller's promise.
    unsafe {
        for index in 0..work.count {
            let key = work.keys.add(*work.offsets.add(index));
            *work.scores.add(index) = dot::<V>(work.query, key, work.width) * work.scale;
        }
        let inverse = softmax_weights::<V>(work.scores, work.count, work.count);
        // Four vectors of a head's values at a time: with 16 lanes a head of 64 takes one pass.
        let mut first = 0;
        while first + 4 * V::LANES <= work.width {
            let mut sums = [V::splat(0.0); 4];
            for index in 0..work.count {
                let weight = V::splat(*work.scores.add(index));
                let value = work.values.add(*work.offsets.add(index) + first);
                for (part, sum) in sums.iter_mut().enumerate() {
                    *sum = V::multiply_add(weight, V::load(value.add(part * V::LANES)), *sum);
                }
            }
            for (part, sum) in sums.into_iter().enumerate() {
                let out = work.out.add(first + part * V::LANES);
                V::store(out, V::multiply(sum, V::splat(inverse)));
            }
            first += 4 * V::LANES;
        }
        while first < work.width {
            let count = V::LANES.min(work.width - first);
            let mut sum = V::splat(0.0);
            for index in 0..work.count {
                let value = work.values.add(*work.offsets.add(index) + first);
                let value = if count == V::LANES { V::load(value) } else { V::load_part(value, count, 0.0) };
                sum = V::multiply_add(V::splat(*work.scores.add(index)), value, sum);
            }
            let sum = V::multiply(sum, V::splat(inverse));
            if count == V::LANES {
                V::store(work.out.add(first), sum);
            } else {
                V::store_part(work.out.add(first), count, sum);
            }
            first += count;
        }
    }
}

/// Where the first of the greatest numbers is.
///
/// # Safety
/// As [`fold`]; `count` is not 0.
#[inline(always)]
pub(crate) unsafe fn position_of_greatest<V: Vector>(row: *const f32, count: usize) -> usize {
    // SAFETY: the caller's promise. The second pass ends at the first vector that has it.
    unsafe {
        let most = greatest::<V>(row, count);
        let row = std::slice::from_raw_parts(row, count);
        row.iter().position(|value| *value == most).unwrap_or(0)
    }
}
