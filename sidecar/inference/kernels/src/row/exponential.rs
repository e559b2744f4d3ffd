//! e to a power, and the functions made of it.

use crate::vector::Vector;

/// The exponents between which e to the power of x is neither zero nor infinite in float32.
const LEAST_EXPONENT: f32 = -105.0;
const MOST_EXPONENT: f32 = 88.7;

/// e to the power of each lane, to 2e-7 of it: 2^n times a polynomial of the rest, which is at most ln 2 / 2.
///
/// # Safety
/// As [`Vector`].
#[inline(always)]
pub(super) unsafe fn exp<V: Vector>(value: V::F32) -> V::F32 {
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
pub(super) unsafe fn rough_exp2<V: Vector>(value: V::F32) -> V::F32 {
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
pub(super) unsafe fn gelu<V: Vector>(value: V::F32) -> V::F32 {
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

/// As [`gelu`], to 1e-4 and 3e-5 of x: enough for a result that is rounded to bfloat16 or a byte. It takes neither a
/// division nor a power.
///
/// # Safety
/// As [`Vector`].
#[inline(always)]
pub(super) unsafe fn rough_gelu<V: Vector>(value: V::F32) -> V::F32 {
    // The normal distribution function less a half is x times a polynomial of x squared, which is found by the Remez
    // algorithm for the least error of the whole, so that it is a half at the end. Beyond it is taken as constant.
    const END: f32 = 4.5;
    const POLYNOMIAL: [f32; 8] = [
        -3.283_982_6e-9,
        1.580_282_1e-7,
        -4.431_732e-6,
        8.121_023e-5,
        -1.036_256_7e-3,
        9.580_665e-3,
        -6.597_729e-2,
        3.987_085_8e-1,
    ];
    // SAFETY: the caller's promise.
    unsafe {
        let near = V::minimum(V::maximum(value, V::splat(-END)), V::splat(END));
        let square = V::multiply(near, near);
        let mut sum = V::splat(3.000_089e-11);
        for coefficient in POLYNOMIAL {
            sum = V::multiply_add(sum, square, V::splat(coefficient));
        }
        V::multiply(value, V::multiply_add(sum, near, V::splat(0.5)))
    }
}

/// x over 1 + e to the power of -x.
///
/// # Safety
/// As [`Vector`].
#[inline(always)]
pub(super) unsafe fn silu<V: Vector>(value: V::F32) -> V::F32 {
    // SAFETY: the caller's promise.
    unsafe {
        let decay = exp::<V>(V::subtract(V::splat(0.0), value));
        V::divide(value, V::add(V::splat(1.0), decay))
    }
}
