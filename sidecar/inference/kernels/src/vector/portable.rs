//! Eight lanes in plain Rust: what every processor can, and what the others are checked against.

use super::{Dot, Vector, dot_of_float32, finish_bytes, finish_numbers};

/// Lanes as an array; the compiler makes of it what the processor has.
#[derive(Clone, Copy)]
pub(crate) struct Plain;

const LANES: usize = 8;

#[inline(always)]
fn map(value: [f32; LANES], of: impl Fn(f32) -> f32) -> [f32; LANES] {
    value.map(of)
}

#[inline(always)]
fn zip<T: Copy, R>(left: [T; LANES], right: [T; LANES], of: impl Fn(T, T) -> R) -> [R; LANES] {
    std::array::from_fn(|lane| of(left[lane], right[lane]))
}

/// To bfloat16, the nearest, ties to even.
#[inline(always)]
pub(crate) fn to_bfloat16(value: f32) -> u16 {
    let bits = value.to_bits();
    (bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

/// From bfloat16, exactly.
#[inline(always)]
pub(crate) fn from_bfloat16(value: u16) -> f32 {
    f32::from_bits(u32::from(value) << 16)
}

// SAFETY of all methods: pointers have the numbers behind them, by the trait's promise; nothing else is unsafe.
#[expect(clippy::undocumented_unsafe_blocks, reason = "the comment above holds for each of them")]
impl Vector for Plain {
    type F32 = [f32; LANES];
    type I32 = [i32; LANES];
    const LANES: usize = LANES;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::F32 {
        unsafe { from.cast::<Self::F32>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn load_part(from: *const f32, count: usize, rest: f32) -> Self::F32 {
        std::array::from_fn(|lane| if lane < count { unsafe { from.add(lane).read() } } else { rest })
    }
    #[inline(always)]
    unsafe fn load_bfloat16(from: *const u16) -> Self::F32 {
        unsafe { from.cast::<[u16; LANES]>().read_unaligned() }.map(from_bfloat16)
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, value: Self::F32) {
        unsafe { to.cast::<Self::F32>().write_unaligned(value) }
    }
    #[inline(always)]
    unsafe fn store_part(to: *mut f32, count: usize, value: Self::F32) {
        for (lane, value) in value.into_iter().enumerate().take(count) {
            unsafe { to.add(lane).write(value) }
        }
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self::F32 {
        [value; LANES]
    }
    #[inline(always)]
    unsafe fn add(left: Self::F32, right: Self::F32) -> Self::F32 {
        zip(left, right, |left, right| left + right)
    }
    #[inline(always)]
    unsafe fn subtract(left: Self::F32, right: Self::F32) -> Self::F32 {
        zip(left, right, |left, right| left - right)
    }
    #[inline(always)]
    unsafe fn multiply(left: Self::F32, right: Self::F32) -> Self::F32 {
        zip(left, right, |left, right| left * right)
    }
    #[inline(always)]
    unsafe fn divide(left: Self::F32, right: Self::F32) -> Self::F32 {
        zip(left, right, |left, right| left / right)
    }
    #[inline(always)]
    unsafe fn multiply_add(left: Self::F32, right: Self::F32, more: Self::F32) -> Self::F32 {
        // A fused multiplication is a call of a slow function where the processor has no instruction for it.
        std::array::from_fn(|lane| left[lane] * right[lane] + more[lane])
    }
    #[inline(always)]
    unsafe fn maximum(left: Self::F32, right: Self::F32) -> Self::F32 {
        zip(left, right, |left, right| if left > right { left } else { right })
    }
    #[inline(always)]
    unsafe fn minimum(left: Self::F32, right: Self::F32) -> Self::F32 {
        zip(left, right, |left, right| if left < right { left } else { right })
    }
    #[inline(always)]
    unsafe fn round(value: Self::F32) -> Self::F32 {
        map(value, f32::round_ties_even)
    }
    #[inline(always)]
    unsafe fn scale_by_power(value: Self::F32, exponent: Self::F32) -> Self::F32 {
        let power = |exponent: i32| f32::from_bits(((exponent + 127) << 23) as u32);
        zip(value, exponent, |value, exponent| {
            let exponent = exponent as i32;
            let half = exponent >> 1;
            value * power(half) * power(exponent - half)
        })
    }
    #[inline(always)]
    unsafe fn absolute(value: Self::F32) -> Self::F32 {
        map(value, f32::abs)
    }
    #[inline(always)]
    unsafe fn with_sign(magnitude: Self::F32, sign: Self::F32) -> Self::F32 {
        zip(magnitude, sign, f32::copysign)
    }
    #[inline(always)]
    unsafe fn sum(value: Self::F32) -> f32 {
        value.into_iter().sum()
    }
    #[inline(always)]
    unsafe fn greatest(value: Self::F32) -> f32 {
        value.into_iter().fold(f32::NEG_INFINITY, |left, right| if left > right { left } else { right })
    }
    #[inline(always)]
    unsafe fn least(value: Self::F32) -> f32 {
        value.into_iter().fold(f32::INFINITY, |left, right| if left < right { left } else { right })
    }
    #[inline(always)]
    unsafe fn load_i32(from: *const i32) -> Self::I32 {
        unsafe { from.cast::<Self::I32>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn splat_i32(value: i32) -> Self::I32 {
        [value; LANES]
    }
    #[inline(always)]
    unsafe fn subtract_i32(left: Self::I32, right: Self::I32) -> Self::I32 {
        zip(left, right, i32::wrapping_sub)
    }
    #[inline(always)]
    unsafe fn multiply_i32(left: Self::I32, right: Self::I32) -> Self::I32 {
        zip(left, right, i32::wrapping_mul)
    }
    #[inline(always)]
    unsafe fn to_f32(value: Self::I32) -> Self::F32 {
        value.map(|value| value as f32)
    }
    #[inline(always)]
    unsafe fn store_bytes(to: *mut u8, count: usize, value: Self::F32, zero: i32, most: i32) {
        for (lane, value) in value.into_iter().enumerate().take(count) {
            let byte = (value.round_ties_even() as i32).wrapping_add(zero).clamp(0, most);
            unsafe { to.add(lane).write(byte as u8) }
        }
    }
    #[inline(always)]
    unsafe fn store_bfloat16(to: *mut u16, count: usize, value: Self::F32) {
        for (lane, value) in value.into_iter().enumerate().take(count) {
            unsafe { to.add(lane).write(to_bfloat16(value)) }
        }
    }
}

dot_of_float32!(Plain, Float32, 4);

/// Two bfloat16 a step.
pub(crate) struct Bfloat16;

#[expect(clippy::undocumented_unsafe_blocks, reason = "the caller has the columns")]
impl Dot for Bfloat16 {
    type Vector = Plain;
    type Sum = [f32; LANES];
    const ROWS: usize = 4;

    #[inline(always)]
    unsafe fn zero() -> Self::Sum {
        [0.0; LANES]
    }
    #[inline(always)]
    unsafe fn step(sum: Self::Sum, row: u32, columns: *const u8) -> Self::Sum {
        let columns = unsafe { columns.cast::<[u32; LANES]>().read_unaligned() };
        let product = |row: u32, column: u32| f32::from_bits(row) * f32::from_bits(column);
        std::array::from_fn(|lane| {
            let low = sum[lane] + product(row << 16, columns[lane] << 16);
            low + product(row & !0xffff, columns[lane] & !0xffff)
        })
    }
    finish_numbers!();
}

/// Four bytes a step.
pub(crate) struct Int8;

#[expect(clippy::undocumented_unsafe_blocks, reason = "the caller has the columns")]
impl Dot for Int8 {
    type Vector = Plain;
    type Sum = [i32; LANES];
    const ROWS: usize = 4;

    #[inline(always)]
    unsafe fn zero() -> Self::Sum {
        [0; LANES]
    }
    #[inline(always)]
    unsafe fn step(sum: Self::Sum, row: u32, columns: *const u8) -> Self::Sum {
        let columns = unsafe { columns.cast::<[[i8; 4]; LANES]>().read_unaligned() };
        let row = row.to_le_bytes();
        std::array::from_fn(|lane| {
            let column = columns[lane];
            (0..4).fold(sum[lane], |sum, part| sum + i32::from(row[part]) * i32::from(column[part]))
        })
    }
    finish_bytes!(Plain);
}
