//! What the arithmetic of this processor can do at most: multiply-add instructions on registers alone, so many of them
//! independent of each other that none waits for another. No product of matrices is faster; how near one comes to it
//! is what `make bench` reports.
//!
//! A burst is a fixed number of operations. Who calls it has the clock.

use crate::format::Format;
use crate::instructions::Instructions;

/// Runs `rounds` rounds of multiplications and additions in a format with an instruction set, and gives how many
/// operations they were: a multiplication and an addition are two. `None` where the processor lacks the set, or the
/// set has no instruction for the format: bfloat16 is then computed in float32.
#[must_use]
pub fn burst(instructions: Instructions, format: Format, rounds: u64) -> Option<u64> {
    if !instructions.is_supported() {
        return None;
    }
    run(instructions, format, rounds)
}

/// Reads all of `bytes` once with the widest loads of the set, and gives what its 64-bit words add up to, so that
/// nothing of it is left out. `None` where the processor lacks the set.
#[must_use]
pub fn stream(instructions: Instructions, words: &[u64]) -> Option<u64> {
    if !instructions.is_supported() {
        return None;
    }
    Some(match instructions {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has the set, and with it AVX-512.
        Instructions::Avx512 | Instructions::Avx512Vnni | Instructions::Avx512Bf16 | Instructions::Amx => unsafe {
            x86::stream_512(words)
        },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has the set, and with it AVX2.
        Instructions::Avx2 | Instructions::Avx2Vnni => unsafe { x86::stream_256(words) },
        _ => add_up(words),
    })
}

/// Eight sums side by side, which compilers turn into vectors.
#[inline(always)]
fn add_up(words: &[u64]) -> u64 {
    let mut sums = [0u64; 32];
    let (chunks, rest) = words.as_chunks::<32>();
    for chunk in chunks {
        for (sum, word) in sums.iter_mut().zip(chunk) {
            *sum = sum.wrapping_add(*word);
        }
    }
    sums.iter().chain(rest).fold(0, |sum, word| sum.wrapping_add(*word))
}

#[cfg(not(target_arch = "x86_64"))]
fn run(_: Instructions, format: Format, rounds: u64) -> Option<u64> {
    (format == Format::Float32).then(|| portable(rounds))
}

#[cfg(target_arch = "x86_64")]
fn run(instructions: Instructions, format: Format, rounds: u64) -> Option<u64> {
    use Instructions::{Amx, Avx2, Avx2Vnni, Avx512, Avx512Bf16, Avx512Vnni, Portable};
    // SAFETY of all calls: `burst` has seen that the processor has the set, and with it what each function needs.
    #[expect(clippy::undocumented_unsafe_blocks, reason = "the comment above holds for each of them")]
    match (instructions, format) {
        (Portable, Format::Float32) => Some(portable(rounds)),
        (Avx2 | Avx2Vnni, Format::Float32) => Some(unsafe { x86::float32_256(rounds) }),
        (Avx2, Format::Int8) => Some(unsafe { x86::int8_256(rounds) }),
        (Avx2Vnni, Format::Int8) => Some(unsafe { x86::int8_256_vnni(rounds) }),
        (Avx512 | Avx512Vnni | Avx512Bf16 | Amx, Format::Float32) => {
            Some(unsafe { x86::float32_512(rounds) })
        }
        (Avx512, Format::Int8) => Some(unsafe { x86::int8_512(rounds) }),
        (Avx512Vnni | Avx512Bf16, Format::Int8) => Some(unsafe { x86::int8_512_vnni(rounds) }),
        (Avx512Bf16, Format::Bfloat16) => Some(unsafe { x86::bfloat16_512(rounds) }),
        (Amx, Format::Int8) => Some(unsafe { x86::int8_tiles(rounds) }),
        (Amx, Format::Bfloat16) => Some(unsafe { x86::bfloat16_tiles(rounds) }),
        _ => None,
    }
}

/// Sums beside each other: more than an instruction's latency times how many start in a cycle, on every processor.
#[cfg(target_arch = "x86_64")]
const SUMS: usize = 24;

/// As the compiler vectorises it.
fn portable(rounds: u64) -> u64 {
    const LANES: usize = 64;
    let (left, right) = std::hint::black_box(([0.5f32; LANES], [1e-3f32; LANES]));
    let mut sums = [0f32; LANES];
    for _ in 0..rounds {
        for ((sum, left), right) in sums.iter_mut().zip(left).zip(right) {
            *sum = *sum * left + right;
        }
    }
    std::hint::black_box(sums);
    rounds * 2 * LANES as u64
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::asm;
    use std::arch::x86_64::*;
    use std::hint::black_box;

    use super::SUMS;
    use crate::tiles;
    use crate::vector::x86_512;

    /// A function that repeats one step on [`SUMS`] independent sums, as many on 256-bit registers as there are.
    macro_rules! burst {
        ($name:ident, $features:literal, $vector:ty, $sums:expr, $operations:expr, $zero:ident, $of:expr, $step:expr) => {
            #[target_feature(enable = $features)]
            pub(super) fn $name(rounds: u64) -> u64 {
                let operands = black_box($of);
                let mut sums: [$vector; $sums] = [$zero(); $sums];
                for _ in 0..rounds {
                    for sum in &mut sums {
                        *sum = $step(*sum, operands);
                    }
                }
                black_box(sums);
                rounds * $sums as u64 * $operations
            }
        };
    }

    burst!(
        float32_512,
        "avx512f",
        __m512,
        SUMS,
        2 * 16,
        _mm512_setzero_ps,
        (_mm512_set1_ps(0.5), _mm512_set1_ps(1e-3)),
        |sum, (left, right)| _mm512_fmadd_ps(sum, left, right)
    );
    burst!(
        bfloat16_512,
        "avx512f,avx512bf16",
        __m512,
        SUMS,
        2 * 32,
        _mm512_setzero_ps,
        (_mm512_set1_epi32(0x3f80_3f80), _mm512_set1_epi32(0x3f80_3f80)),
        |sum, (left, right): (__m512i, __m512i)| _mm512_dpbf16_ps(sum, as_bfloat16(left), as_bfloat16(right))
    );
    burst!(
        int8_512_vnni,
        "avx512f,avx512vnni",
        __m512i,
        SUMS,
        2 * 64,
        _mm512_setzero_si512,
        (_mm512_set1_epi8(3), _mm512_set1_epi8(5)),
        |sum, (left, right)| _mm512_dpbusd_epi32(sum, left, right)
    );
    burst!(
        int8_512,
        "avx512f,avx512bw",
        __m512i,
        SUMS,
        2 * 64,
        _mm512_setzero_si512,
        (_mm512_set1_epi8(3), _mm512_set1_epi8(5)),
        |sum, (left, right)| {
            let pairs = _mm512_maddubs_epi16(fresh_512(left), right);
            _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)))
        }
    );
    // Sixteen registers: the sums, the operands and what is on its way must fit.
    burst!(
        float32_256,
        "avx2,fma",
        __m256,
        12,
        2 * 8,
        _mm256_setzero_ps,
        (_mm256_set1_ps(0.5), _mm256_set1_ps(1e-3)),
        |sum, (left, right)| _mm256_fmadd_ps(sum, left, right)
    );
    burst!(
        int8_256,
        "avx2",
        __m256i,
        10,
        2 * 32,
        _mm256_setzero_si256,
        (_mm256_set1_epi8(3), _mm256_set1_epi8(5)),
        |sum, (left, right)| {
            let pairs = _mm256_maddubs_epi16(fresh_256(left), right);
            _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    );
    burst!(
        int8_256_vnni,
        "avx2,avxvnni",
        __m256i,
        12,
        2 * 32,
        _mm256_setzero_si256,
        (_mm256_set1_epi8(3), _mm256_set1_epi8(5)),
        |sum, (left, right)| _mm256_dpbusd_avx_epi32(sum, left, right)
    );

    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(super) unsafe fn int8_tiles(rounds: u64) -> u64 {
        // SAFETY: the caller has the instructions, and nothing else uses the tiles of this thread.
        unsafe { tiles::burst::<_, tiles::Bytes<x86_512::Int8>>(&mut tiles::Hardware, rounds, 4) }
    }

    #[target_feature(enable = "avx512f,avx512bf16")]
    pub(super) unsafe fn bfloat16_tiles(rounds: u64) -> u64 {
        // SAFETY: as above.
        unsafe { tiles::burst::<_, tiles::Bfloat16<x86_512::Bfloat16>>(&mut tiles::Hardware, rounds, 2) }
    }

    /// The same vector, of which the compiler knows nothing: it can compute no product of it beforehand.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn fresh_512(mut vector: __m512i) -> __m512i {
        // SAFETY: there is no instruction in it.
        unsafe { asm!("/* {0} */", inout(zmm_reg) vector, options(nomem, nostack, preserves_flags)) };
        vector
    }

    /// As [`fresh_512`].
    #[inline]
    #[target_feature(enable = "avx2")]
    fn fresh_256(mut vector: __m256i) -> __m256i {
        // SAFETY: there is no instruction in it.
        unsafe { asm!("/* {0} */", inout(ymm_reg) vector, options(nomem, nostack, preserves_flags)) };
        vector
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn as_bfloat16(bits: __m512i) -> __m512bh {
        // SAFETY: both are 512 bits, and every pattern is valid.
        unsafe { std::mem::transmute(bits) }
    }

    // A compiler keeps the sums of a loop in memory where they are many, which would then be measured instead.
    #[target_feature(enable = "avx512f")]
    pub(super) fn stream_512(words: &[u64]) -> u64 {
        let mut sums = [_mm512_setzero_si512(); 8];
        let (chunks, rest) = words.as_chunks::<64>();
        for chunk in chunks {
            for (sum, eight) in sums.iter_mut().zip(chunk.as_chunks::<8>().0) {
                // SAFETY: eight words are what is loaded.
                let eight = unsafe { _mm512_loadu_si512(eight.as_ptr().cast()) };
                *sum = _mm512_add_epi64(*sum, eight);
            }
        }
        let sums = sums.into_iter().map(|sum| _mm512_reduce_add_epi64(sum) as u64);
        sums.chain(rest.iter().copied()).fold(0, u64::wrapping_add)
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn stream_256(words: &[u64]) -> u64 {
        let mut sums = [_mm256_setzero_si256(); 8];
        let (chunks, rest) = words.as_chunks::<32>();
        for chunk in chunks {
            for (sum, four) in sums.iter_mut().zip(chunk.as_chunks::<4>().0) {
                // SAFETY: four words are what is loaded.
                let four = unsafe { _mm256_loadu_si256(four.as_ptr().cast()) };
                *sum = _mm256_add_epi64(*sum, four);
            }
        }
        let mut words = [0u64; 4];
        for sum in sums {
            let mut four = [0u64; 4];
            // SAFETY: four words are what is stored.
            unsafe { _mm256_storeu_si256(four.as_mut_ptr().cast(), sum) };
            words.iter_mut().zip(four).for_each(|(word, more)| *word = word.wrapping_add(more));
        }
        words.iter().chain(rest).copied().fold(0, u64::wrapping_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instructions::ALL;

    #[test]
    fn a_burst_counts_its_operations_where_the_processor_has_the_set() {
        for instructions in ALL {
            let one = burst(instructions, Format::Float32, 1);
            assert_eq!(one.is_some(), instructions.is_supported(), "{instructions}");
            let ten = burst(instructions, Format::Float32, 10);
            assert_eq!(ten, one.map(|one| 10 * one), "{instructions}");
        }
    }

    #[test]
    fn only_hardware_products_of_bfloat16_count() {
        for instructions in Instructions::supported() {
            let has = burst(instructions, Format::Bfloat16, 1).is_some();
            assert_eq!(has, instructions.has_bfloat16(), "{instructions}");
        }
    }

    #[test]
    fn every_word_is_read() {
        let words: Vec<u64> = (0..1000).collect();
        for instructions in Instructions::supported() {
            assert_eq!(stream(instructions, &words), Some(499_500), "{instructions}");
        }
    }
}
