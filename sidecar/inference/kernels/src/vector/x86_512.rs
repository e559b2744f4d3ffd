//! Sixteen lanes: AVX-512.

use std::arch::x86_64::*;

use super::{Dot, Rounding, Vector, dot_of_float32, finish_bytes, finish_numbers, prefetches};

/// The 512-bit vectors of x86-64.
#[derive(Clone, Copy)]
pub(crate) struct X512;

#[inline(always)]
fn mask(count: usize) -> u16 {
    if count >= 16 { u16::MAX } else { (1 << count) - 1 }
}

// SAFETY of all methods: the trait's promise is that the processor has AVX-512 F, BW, DQ and VL, and that pointers
// have the numbers behind them; masked loads and stores do not touch masked lanes.
#[expect(clippy::undocumented_unsafe_blocks, reason = "the comment above holds for each of them")]
impl Vector for X512 {
    type F32 = __m512;
    type I32 = __m512i;
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m512 {
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn load_part(from: *const f32, count: usize, rest: f32) -> __m512 {
        unsafe { _mm512_mask_loadu_ps(_mm512_set1_ps(rest), mask(count), from) }
    }
    #[inline(always)]
    unsafe fn load_bfloat16(from: *const u16) -> __m512 {
        unsafe {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, value: __m512) {
        unsafe { _mm512_storeu_ps(to, value) }
    }
    #[inline(always)]
    unsafe fn store_part(to: *mut f32, count: usize, value: __m512) {
        unsafe { _mm512_mask_storeu_ps(to, mask(count), value) }
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> __m512 {
        unsafe { _mm512_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn add(left: __m512, right: __m512) -> __m512 {
        unsafe { _mm512_add_ps(left, right) }
    }
    #[inline(always)]
    unsafe fn subtract(left: __m512, right: __m512) -> __m512 {
        unsafe { _mm512_sub_ps(left, right) }
    }
    #[inline(always)]
    unsafe fn multiply(left: __m512, right: __m512) -> __m512 {
        unsafe { _mm512_mul_ps(left, right) }
    }
    #[inline(always)]
    unsafe fn divide(left: __m512, right: __m512) -> __m512 {
        unsafe { _mm512_div_ps(left, right) }
    }
    #[inline(always)]
    unsafe fn multiply_add(left: __m512, right: __m512, more: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(left, right, more) }
    }
    #[inline(always)]
    unsafe fn maximum(left: __m512, right: __m512) -> __m512 {
        unsafe { _mm512_max_ps(left, right) }
    }
    #[inline(always)]
    unsafe fn minimum(left: __m512, right: __m512) -> __m512 {
        unsafe { _mm512_min_ps(left, right) }
    }
    #[inline(always)]
    unsafe fn round(value: __m512) -> __m512 {
        unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(value) }
    }
    #[inline(always)]
    unsafe fn scale_by_power(value: __m512, exponent: __m512) -> __m512 {
        unsafe { _mm512_scalef_ps(value, exponent) }
    }
    #[inline(always)]
    unsafe fn absolute(value: __m512) -> __m512 {
        unsafe { _mm512_abs_ps(value) }
    }
    #[inline(always)]
    unsafe fn with_sign(magnitude: __m512, sign: __m512) -> __m512 {
        unsafe { _mm512_or_ps(magnitude, _mm512_and_ps(sign, _mm512_set1_ps(-0.0))) }
    }
    #[inline(always)]
    unsafe fn sum(value: __m512) -> f32 {
        unsafe { _mm512_reduce_add_ps(value) }
    }
    #[inline(always)]
    unsafe fn greatest(value: __m512) -> f32 {
        unsafe { _mm512_reduce_max_ps(value) }
    }
    #[inline(always)]
    unsafe fn least(value: __m512) -> f32 {
        unsafe { _mm512_reduce_min_ps(value) }
    }
    #[inline(always)]
    unsafe fn load_i32(from: *const i32) -> __m512i {
        unsafe { _mm512_loadu_si512(from.cast()) }
    }
    #[inline(always)]
    unsafe fn splat_i32(value: i32) -> __m512i {
        unsafe { _mm512_set1_epi32(value) }
    }
    #[inline(always)]
    unsafe fn subtract_i32(left: __m512i, right: __m512i) -> __m512i {
        unsafe { _mm512_sub_epi32(left, right) }
    }
    #[inline(always)]
    unsafe fn multiply_i32(left: __m512i, right: __m512i) -> __m512i {
        unsafe { _mm512_mullo_epi32(left, right) }
    }
    #[inline(always)]
    unsafe fn to_f32(value: __m512i) -> __m512 {
        unsafe { _mm512_cvtepi32_ps(value) }
    }
    #[inline(always)]
    unsafe fn store_bytes(to: *mut u8, count: usize, value: __m512, zero: i32, most: i32) {
        unsafe {
            let shifted = _mm512_add_epi32(_mm512_cvtps_epi32(value), _mm512_set1_epi32(zero));
            let clamped =
                _mm512_min_epi32(_mm512_max_epi32(shifted, _mm512_setzero_si512()), _mm512_set1_epi32(most));
            _mm_mask_storeu_epi8(to.cast(), mask(count), _mm512_cvtepi32_epi8(clamped));
        }
    }
    #[inline(always)]
    unsafe fn store_bfloat16(to: *mut u16, count: usize, value: __m512) {
        unsafe {
            let bits = _mm512_castps_si512(value);
            let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
            let rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
            let halves = _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(rounded));
            _mm256_mask_storeu_epi16(to.cast(), mask(count), halves);
        }
    }
}

dot_of_float32!(X512, Float32, 12);

/// Rounds in one instruction. Numbers too small for float32's full precision become zero.
pub(crate) struct RoundingInstruction;

impl Rounding<X512> for RoundingInstruction {
    #[inline(always)]
    unsafe fn store(to: *mut u16, count: usize, value: __m512) {
        // SAFETY: the caller has AVX512-BF16, and places for the lanes; masked lanes are not touched.
        unsafe {
            let halves = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(value));
            _mm256_mask_storeu_epi16(to.cast(), mask(count), halves);
        }
    }
}

/// Two bfloat16 a step, in one instruction.
pub(crate) struct Bfloat16;

#[expect(clippy::undocumented_unsafe_blocks, reason = "the caller has the instructions and the columns")]
impl Dot for Bfloat16 {
    type Vector = X512;
    type Sum = __m512;
    const ROWS: usize = 12;

    prefetches!();
    #[inline(always)]
    unsafe fn zero() -> __m512 {
        unsafe { _mm512_setzero_ps() }
    }
    #[inline(always)]
    unsafe fn step(sum: __m512, row: u32, columns: *const u8) -> __m512 {
        unsafe {
            let row = std::mem::transmute::<__m512i, __m512bh>(_mm512_set1_epi32(row as i32));
            let columns = std::mem::transmute::<__m512i, __m512bh>(_mm512_loadu_si512(columns.cast()));
            _mm512_dpbf16_ps(sum, row, columns)
        }
    }
    finish_numbers!();
}

/// Two bfloat16 a step, widened to float32.
pub(crate) struct Bfloat16Widened;

#[expect(clippy::undocumented_unsafe_blocks, reason = "the caller has the instructions and the columns")]
impl Dot for Bfloat16Widened {
    type Vector = X512;
    type Sum = __m512;
    const ROWS: usize = 10;

    prefetches!();
    #[inline(always)]
    unsafe fn zero() -> __m512 {
        unsafe { _mm512_setzero_ps() }
    }
    #[inline(always)]
    unsafe fn step(sum: __m512, row: u32, columns: *const u8) -> __m512 {
        unsafe {
            let columns = _mm512_loadu_si512(columns.cast());
            let low = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(columns));
            let high = _mm512_castsi512_ps(_mm512_and_si512(columns, _mm512_set1_epi32(!0xffff)));
            let sum = _mm512_fmadd_ps(_mm512_set1_ps(f32::from_bits(row << 16)), low, sum);
            _mm512_fmadd_ps(_mm512_set1_ps(f32::from_bits(row & !0xffff)), high, sum)
        }
    }
    finish_numbers!();
}

/// Four bytes a step, in one instruction.
pub(crate) struct Int8;

#[expect(clippy::undocumented_unsafe_blocks, reason = "the caller has the instructions and the columns")]
impl Dot for Int8 {
    type Vector = X512;
    type Sum = __m512i;
    const ROWS: usize = 12;

    prefetches!();
    #[inline(always)]
    unsafe fn zero() -> __m512i {
        unsafe { _mm512_setzero_si512() }
    }
    #[inline(always)]
    unsafe fn step(sum: __m512i, row: u32, columns: *const u8) -> __m512i {
        unsafe { _mm512_dpbusd_epi32(sum, _mm512_set1_epi32(row as i32), _mm512_loadu_si512(columns.cast())) }
    }
    finish_bytes!(X512);
}

/// Four bytes a step, of which those of the row have 7 bits: sums of two products then fit 16 bits.
pub(crate) struct Int7;

#[expect(clippy::undocumented_unsafe_blocks, reason = "the caller has the instructions and the columns")]
impl Dot for Int7 {
    type Vector = X512;
    type Sum = __m512i;
    const ROWS: usize = 10;

    prefetches!();
    #[inline(always)]
    unsafe fn zero() -> __m512i {
        unsafe { _mm512_setzero_si512() }
    }
    #[inline(always)]
    unsafe fn step(sum: __m512i, row: u32, columns: *const u8) -> __m512i {
        unsafe {
            let pairs =
                _mm512_maddubs_epi16(_mm512_set1_epi32(row as i32), _mm512_loadu_si512(columns.cast()));
            _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)))
        }
    }
    finish_bytes!(X512);
}
