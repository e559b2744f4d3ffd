//! Four lanes: NEON, with products of bytes by the dot product and matrix extensions where they are.
//!
//! The intrinsics of those extensions are not stable in Rust yet, so that their instructions are written out.

use std::arch::aarch64::*;
use std::arch::asm;

use super::{Dot, Vector, dot_of_float32, finish_bytes, finish_numbers};

/// The 128-bit vectors of aarch64.
#[derive(Clone, Copy)]
pub(crate) struct Neon;

// SAFETY of all methods: every aarch64 processor that Rust's standard library runs on has NEON; pointers have the
// numbers behind them by the trait's promise.
#[expect(clippy::undocumented_unsafe_blocks, reason = "the comment above holds for each of them")]
impl Vector for Neon {
    type F32 = float32x4_t;
    type I32 = int32x4_t;
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> float32x4_t {
        unsafe { vld1q_f32(from) }
    }
    #[inline(always)]
    unsafe fn load_bfloat16(from: *const u16) -> float32x4_t {
        unsafe { vreinterpretq_f32_u32(vshlq_n_u32::<16>(vmovl_u16(vld1_u16(from)))) }
    }
    #[inline(always)]
    unsafe fn load_part(from: *const f32, count: usize, rest: f32) -> float32x4_t {
        let mut lanes = [rest; 4];
        unsafe {
            std::ptr::copy_nonoverlapping(from, lanes.as_mut_ptr(), count.min(4));
            vld1q_f32(lanes.as_ptr())
        }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, value: float32x4_t) {
        unsafe { vst1q_f32(to, value) }
    }
    #[inline(always)]
    unsafe fn store_part(to: *mut f32, count: usize, value: float32x4_t) {
        let mut lanes = [0.0; 4];
        unsafe {
            vst1q_f32(lanes.as_mut_ptr(), value);
            std::ptr::copy_nonoverlapping(lanes.as_ptr(), to, count.min(4));
        }
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> float32x4_t {
        unsafe { vdupq_n_f32(value) }
    }
    #[inline(always)]
    unsafe fn add(left: float32x4_t, right: float32x4_t) -> float32x4_t {
        unsafe { vaddq_f32(left, right) }
    }
    #[inline(always)]
    unsafe fn subtract(left: float32x4_t, right: float32x4_t) -> float32x4_t {
        unsafe { vsubq_f32(left, right) }
    }
    #[inline(always)]
    unsafe fn multiply(left: float32x4_t, right: float32x4_t) -> float32x4_t {
        unsafe { vmulq_f32(left, right) }
    }
    #[inline(always)]
    unsafe fn divide(left: float32x4_t, right: float32x4_t) -> float32x4_t {
        unsafe { vdivq_f32(left, right) }
    }
    #[inline(always)]
    unsafe fn multiply_add(left: float32x4_t, right: float32x4_t, more: float32x4_t) -> float32x4_t {
        unsafe { vfmaq_f32(more, left, right) }
    }
    #[inline(always)]
    unsafe fn maximum(left: float32x4_t, right: float32x4_t) -> float32x4_t {
        unsafe { vmaxq_f32(left, right) }
    }
    #[inline(always)]
    unsafe fn minimum(left: float32x4_t, right: float32x4_t) -> float32x4_t {
        unsafe { vminq_f32(left, right) }
    }
    #[inline(always)]
    unsafe fn round(value: float32x4_t) -> float32x4_t {
        unsafe { vrndnq_f32(value) }
    }
    #[inline(always)]
    unsafe fn scale_by_power(value: float32x4_t, exponent: float32x4_t) -> float32x4_t {
        // Two factors, so that neither leaves the range of exponents where the result is tiny or huge.
        unsafe {
            let exponent = vcvtq_s32_f32(exponent);
            let half = vshrq_n_s32::<1>(exponent);
            let rest = vsubq_s32(exponent, half);
            let bias = vdupq_n_s32(127);
            let first = vreinterpretq_f32_s32(vshlq_n_s32::<23>(vaddq_s32(half, bias)));
            let second = vreinterpretq_f32_s32(vshlq_n_s32::<23>(vaddq_s32(rest, bias)));
            vmulq_f32(vmulq_f32(value, first), second)
        }
    }
    #[inline(always)]
    unsafe fn absolute(value: float32x4_t) -> float32x4_t {
        unsafe { vabsq_f32(value) }
    }
    #[inline(always)]
    unsafe fn with_sign(magnitude: float32x4_t, sign: float32x4_t) -> float32x4_t {
        unsafe { vbslq_f32(vdupq_n_u32(1 << 31), sign, magnitude) }
    }
    #[inline(always)]
    unsafe fn sum(value: float32x4_t) -> f32 {
        unsafe { vaddvq_f32(value) }
    }
    #[inline(always)]
    unsafe fn greatest(value: float32x4_t) -> f32 {
        unsafe { vmaxvq_f32(value) }
    }
    #[inline(always)]
    unsafe fn least(value: float32x4_t) -> f32 {
        unsafe { vminvq_f32(value) }
    }
    #[inline(always)]
    unsafe fn load_i32(from: *const i32) -> int32x4_t {
        unsafe { vld1q_s32(from) }
    }
    #[inline(always)]
    unsafe fn splat_i32(value: i32) -> int32x4_t {
        unsafe { vdupq_n_s32(value) }
    }
    #[inline(always)]
    unsafe fn subtract_i32(left: int32x4_t, right: int32x4_t) -> int32x4_t {
        unsafe { vsubq_s32(left, right) }
    }
    #[inline(always)]
    unsafe fn multiply_i32(left: int32x4_t, right: int32x4_t) -> int32x4_t {
        unsafe { vmulq_s32(left, right) }
    }
    #[inline(always)]
    unsafe fn to_f32(value: int32x4_t) -> float32x4_t {
        unsafe { vcvtq_f32_s32(value) }
    }
    #[inline(always)]
    unsafe fn store_bytes(to: *mut u8, count: usize, value: float32x4_t, zero: i32, most: i32) {
        unsafe {
            let shifted = vaddq_s32(vcvtnq_s32_f32(value), vdupq_n_s32(zero));
            let clamped = vminq_s32(vmaxq_s32(shifted, vdupq_n_s32(0)), vdupq_n_s32(most));
            let mut lanes = [0i32; 4];
            vst1q_s32(lanes.as_mut_ptr(), clamped);
            for (index, lane) in lanes.into_iter().enumerate().take(count) {
                to.add(index).write(lane as u8);
            }
        }
    }
    #[inline(always)]
    unsafe fn store_bfloat16(to: *mut u16, count: usize, value: float32x4_t) {
        unsafe {
            let bits = vreinterpretq_u32_f32(value);
            let odd = vandq_u32(vshrq_n_u32::<16>(bits), vdupq_n_u32(1));
            let rounded = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
            let mut lanes = [0u16; 4];
            vst1_u16(lanes.as_mut_ptr(), vshrn_n_u32::<16>(rounded));
            std::ptr::copy_nonoverlapping(lanes.as_ptr(), to, count.min(4));
        }
    }
}

dot_of_float32!(Neon, Float32, 12);

/// Two bfloat16 a step, widened to float32.
pub(crate) struct Bfloat16Widened;

#[expect(clippy::undocumented_unsafe_blocks, reason = "the caller has the columns, and every processor NEON")]
impl Dot for Bfloat16Widened {
    type Vector = Neon;
    type Sum = float32x4_t;
    const ROWS: usize = 10;

    #[inline(always)]
    unsafe fn zero() -> float32x4_t {
        unsafe { vdupq_n_f32(0.0) }
    }
    #[inline(always)]
    unsafe fn step(sum: float32x4_t, row: u32, columns: *const u8) -> float32x4_t {
        unsafe {
            let columns = vreinterpretq_u32_u8(vld1q_u8(columns));
            let low = vreinterpretq_f32_u32(vshlq_n_u32::<16>(columns));
            let high = vreinterpretq_f32_u32(vandq_u32(columns, vdupq_n_u32(!0xffff)));
            let sum = vfmaq_n_f32(sum, low, f32::from_bits(row << 16));
            vfmaq_n_f32(sum, high, f32::from_bits(row & !0xffff))
        }
    }
    finish_numbers!();
}

/// Four bytes a step, of which those of the row have 7 bits: sums of two products then fit 16 bits.
pub(crate) struct Int7;

#[expect(clippy::undocumented_unsafe_blocks, reason = "the caller has the columns, and every processor NEON")]
impl Dot for Int7 {
    type Vector = Neon;
    type Sum = int32x4_t;
    const ROWS: usize = 8;

    #[inline(always)]
    unsafe fn zero() -> int32x4_t {
        unsafe { vdupq_n_s32(0) }
    }
    #[inline(always)]
    unsafe fn step(sum: int32x4_t, row: u32, columns: *const u8) -> int32x4_t {
        unsafe {
            let columns = vld1q_s8(columns.cast());
            let row = vreinterpret_s8_u32(vdup_n_u32(row));
            let first = vpaddlq_s16(vmull_s8(row, vget_low_s8(columns)));
            let second = vpaddlq_s16(vmull_s8(row, vget_high_s8(columns)));
            vaddq_s32(sum, vpaddq_s32(first, second))
        }
    }
    finish_bytes!(Neon);
}

/// Four bytes a step in one instruction (the dot product extension), those of the row with 7 bits: it takes both as
/// signed.
pub(crate) struct Int7Dot;

#[expect(clippy::undocumented_unsafe_blocks, reason = "the caller has the extension and the columns")]
impl Dot for Int7Dot {
    type Vector = Neon;
    type Sum = int32x4_t;
    const ROWS: usize = 12;

    #[inline(always)]
    unsafe fn zero() -> int32x4_t {
        unsafe { vdupq_n_s32(0) }
    }
    #[inline(always)]
    unsafe fn step(sum: int32x4_t, row: u32, columns: *const u8) -> int32x4_t {
        let mut sum = sum;
        unsafe {
            let columns = vld1q_s8(columns.cast());
            let row = vreinterpretq_s8_u32(vdupq_n_u32(row));
            asm!(
                "sdot {sum:v}.4s, {row:v}.16b, {columns:v}.16b",
                sum = inout(vreg) sum, row = in(vreg) row, columns = in(vreg) columns,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
        sum
    }
    finish_bytes!(Neon);
}

/// Four bytes a step in one instruction (the matrix extension), those of the row unsigned.
pub(crate) struct Int8;

#[expect(clippy::undocumented_unsafe_blocks, reason = "the caller has the extension and the columns")]
impl Dot for Int8 {
    type Vector = Neon;
    type Sum = int32x4_t;
    const ROWS: usize = 12;

    #[inline(always)]
    unsafe fn zero() -> int32x4_t {
        unsafe { vdupq_n_s32(0) }
    }
    #[inline(always)]
    unsafe fn step(sum: int32x4_t, row: u32, columns: *const u8) -> int32x4_t {
        let mut sum = sum;
        unsafe {
            let columns = vld1q_s8(columns.cast());
            let row = vreinterpretq_u8_u32(vdupq_n_u32(row));
            asm!(
                "usdot {sum:v}.4s, {row:v}.16b, {columns:v}.16b",
                sum = inout(vreg) sum, row = in(vreg) row, columns = in(vreg) columns,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
        sum
    }
    finish_bytes!(Neon);
}
