//! Eight lanes: AVX2 with fused multiplication.

use std::arch::x86_64::*;

use super::{Dot, Vector, dot_of_float32, finish_bytes, finish_numbers, prefetches};

/// The 256-bit vectors of x86-64.
#[derive(Clone, Copy)]
pub(crate) struct X256;

/// All bits set in the first `count` lanes.
#[inline(always)]
unsafe fn mask(count: usize) -> __m256i {
    // SAFETY: the caller has AVX2.
    unsafe {
        let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), lanes)
    }
}

/// Folds the upper half onto the lower one, and so on, with `$of`.
macro_rules! fold {
    ($value:expr, $of:ident) => {{
        let value = $value;
        let four = $of(_mm256_castps256_ps128(value), _mm256_extractf128_ps::<1>(value));
        let two = $of(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32($of(two, _mm_shuffle_ps::<1>(two, two)))
    }};
}

// SAFETY of all methods: the trait's promise is that the processor has AVX2 and FMA, and that pointers have the
// numbers behind them; masked loads and stores do not touch masked lanes.
#[expect(clippy::undocumented_unsafe_blocks, reason = "the comment above holds for each of them")]
impl Vector for X256 {
    type F32 = __m256;
    type I32 = __m256i;
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m256 {
        unsafe { _mm256_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn load_part(from: *const f32, count: usize, rest: f32) -> __m256 {
        unsafe {
            let mask = mask(count);
            _mm256_blendv_ps(_mm256_set1_ps(rest), _mm256_maskload_ps(from, mask), _mm256_castsi256_ps(mask))
        }
    }
    #[inline(always)]
    unsafe fn load_bfloat16(from: *const u16) -> __m256 {
        unsafe {
            let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
        }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, value: __m256) {
        unsafe { _mm256_storeu_ps(to, value) }
    }
    #[inline(always)]
    unsafe fn store_part(to: *mut f32, count: usize, value: __m256) {
        unsafe { _mm256_maskstore_ps(to, mask(count), value) }
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> __m256 {
        unsafe { _mm256_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn add(left: __m256, right: __m256) -> __m256 {
        unsafe { _mm256_add_ps(left, right) }
    }
    #[inline(always)]
    unsafe fn subtract(left: __m256, right: __m256) -> __m256 {
        unsafe { _mm256_sub_ps(left, right) }
    }
    #[inline(always)]
    unsafe fn multiply(left: __m256, right: __m256) -> __m256 {
        unsafe { _mm256_mul_ps(left, right) }
    }
    #[inline(always)]
    unsafe fn divide(left: __m256, right: __m256) -> __m256 {
        unsafe { _mm256_div_ps(left, right) }
    }
    #[inline(always)]
    unsafe fn multiply_add(left: __m256, right: __m256, more: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(left, right, more) }
    }
    #[inline(always)]
    unsafe fn maximum(left: __m256, right: __m256) -> __m256 {
        unsafe { _mm256_max_ps(left, right) }
    }
    #[inline(always)]
    unsafe fn minimum(left: __m256, right: __m256) -> __m256 {
        unsafe { _mm256_min_ps(left, right) }
    }
    #[inline(always)]
    unsafe fn round(value: __m256) -> __m256 {
        unsafe { _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(value) }
    }
    #[inline(always)]
    unsafe fn scale_by_power(value: __m256, exponent: __m256) -> __m256 {
        // Two factors, so that neither leaves the range of exponents where the result is tiny or huge.
        unsafe {
            let exponent = _mm256_cvtps_epi32(exponent);
            let half = _mm256_srai_epi32::<1>(exponent);
            let power = |exponent| {
                _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(
                    exponent,
                    _mm256_set1_epi32(127),
                )))
            };
            _mm256_mul_ps(_mm256_mul_ps(value, power(half)), power(_mm256_sub_epi32(exponent, half)))
        }
    }
    #[inline(always)]
    unsafe fn absolute(value: __m256) -> __m256 {
        unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), value) }
    }
    #[inline(always)]
    unsafe fn with_sign(magnitude: __m256, sign: __m256) -> __m256 {
        unsafe { _mm256_or_ps(magnitude, _mm256_and_ps(sign, _mm256_set1_ps(-0.0))) }
    }
    #[inline(always)]
    unsafe fn sum(value: __m256) -> f32 {
        unsafe { fold!(value, _mm_add_ps) }
    }
    #[inline(always)]
    unsafe fn greatest(value: __m256) -> f32 {
        unsafe { fold!(value, _mm_max_ps) }
    }
    #[inline(always)]
    unsafe fn least(value: __m256) -> f32 {
        unsafe { fold!(value, _mm_min_ps) }
    }
    #[inline(always)]
    unsafe fn load_i32(from: *const i32) -> __m256i {
        unsafe { _mm256_loadu_si256(from.cast()) }
    }
    #[inline(always)]
    unsafe fn splat_i32(value: i32) -> __m256i {
        unsafe { _mm256_set1_epi32(value) }
    }
    #[inline(always)]
    unsafe fn subtract_i32(left: __m256i, right: __m256i) -> __m256i {
        unsafe { _mm256_sub_epi32(left, right) }
    }
    #[inline(always)]
    unsafe fn multiply_i32(left: __m256i, right: __m256i) -> __m256i {
        unsafe { _mm256_mullo_epi32(left, right) }
    }
    #[inline(always)]
    unsafe fn to_f32(value: __m256i) -> __m256 {
        unsafe { _mm256_cvtepi32_ps(value) }
    }
    #[inline(always)]
    unsafe fn store_bytes(to: *mut u8, count: usize, value: __m256, zero: i32, most: i32) {
        unsafe {
            let shifted = _mm256_add_epi32(_mm256_cvtps_epi32(value), _mm256_set1_epi32(zero));
            let clamped =
                _mm256_min_epi32(_mm256_max_epi32(shifted, _mm256_setzero_si256()), _mm256_set1_epi32(most));
            let words =
                _mm_packus_epi32(_mm256_castsi256_si128(clamped), _mm256_extracti128_si256::<1>(clamped));
            let mut bytes = [0u8; 16];
            _mm_storeu_si128(bytes.as_mut_ptr().cast(), _mm_packus_epi16(words, words));
            if count >= 8 {
                to.cast::<[u8; 8]>().write_unaligned([
                    bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7],
                ]);
            } else {
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, count);
            }
        }
    }
    #[inline(always)]
    unsafe fn store_bfloat16(to: *mut u16, count: usize, value: __m256) {
        unsafe {
            let bits = _mm256_castps_si256(value);
            let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
            let rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
            let high = _mm256_srli_epi32::<16>(rounded);
            let halves = _mm_packus_epi32(_mm256_castsi256_si128(high), _mm256_extracti128_si256::<1>(high));
            if count >= 8 {
                _mm_storeu_si128(to.cast(), halves);
            } else {
                let mut lanes = [0u16; 8];
                _mm_storeu_si128(lanes.as_mut_ptr().cast(), halves);
                std::ptr::copy_nonoverlapping(lanes.as_ptr(), to, count);
            }
        }
    }
}

dot_of_float32!(X256, Float32, 6);

/// Two bfloat16 a step, widened to float32.
pub(crate) struct Bfloat16Widened;

#[expect(clippy::undocumented_unsafe_blocks, reason = "the caller has the instructions and the columns")]
impl Dot for Bfloat16Widened {
    type Vector = X256;
    type Sum = __m256;
    const ROWS: usize = 4;

    prefetches!();
    #[inline(always)]
    unsafe fn zero() -> __m256 {
        unsafe { _mm256_setzero_ps() }
    }
    #[inline(always)]
    unsafe fn step(sum: __m256, row: u32, columns: *const u8) -> __m256 {
        unsafe {
            let columns = _mm256_loadu_si256(columns.cast());
            let low = _mm256_castsi256_ps(_mm256_slli_epi32::<16>(columns));
            let high = _mm256_castsi256_ps(_mm256_and_si256(columns, _mm256_set1_epi32(!0xffff)));
            let sum = _mm256_fmadd_ps(_mm256_set1_ps(f32::from_bits(row << 16)), low, sum);
            _mm256_fmadd_ps(_mm256_set1_ps(f32::from_bits(row & !0xffff)), high, sum)
        }
    }
    finish_numbers!();
}

/// Four bytes a step, of which those of the row have 7 bits: sums of two products then fit 16 bits.
pub(crate) struct Int7;

#[expect(clippy::undocumented_unsafe_blocks, reason = "the caller has the instructions and the columns")]
impl Dot for Int7 {
    type Vector = X256;
    type Sum = __m256i;
    const ROWS: usize = 4;

    prefetches!();
    #[inline(always)]
    unsafe fn zero() -> __m256i {
        unsafe { _mm256_setzero_si256() }
    }
    #[inline(always)]
    unsafe fn step(sum: __m256i, row: u32, columns: *const u8) -> __m256i {
        unsafe {
            let pairs =
                _mm256_maddubs_epi16(_mm256_set1_epi32(row as i32), _mm256_loadu_si256(columns.cast()));
            _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    }
    finish_bytes!(X256);
}

/// Four bytes a step, in one instruction.
pub(crate) struct Int8;

#[expect(clippy::undocumented_unsafe_blocks, reason = "the caller has the instructions and the columns")]
impl Dot for Int8 {
    type Vector = X256;
    type Sum = __m256i;
    const ROWS: usize = 6;

    prefetches!();
    #[inline(always)]
    unsafe fn zero() -> __m256i {
        unsafe { _mm256_setzero_si256() }
    }
    #[inline(always)]
    unsafe fn step(sum: __m256i, row: u32, columns: *const u8) -> __m256i {
        unsafe {
            _mm256_dpbusd_avx_epi32(sum, _mm256_set1_epi32(row as i32), _mm256_loadu_si256(columns.cast()))
        }
    }
    finish_bytes!(X256);
}
