//! Vectors of 32-bit lanes: what the kernels are written in, once for every instruction set.
//!
//! A method of [`Vector`] is compiled to its instructions only where it is inlined into a function that has the
//! target features of the set; [`crate::table`] has those functions, and everything here is `inline(always)`.

#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;
pub(crate) mod portable;
#[cfg(target_arch = "x86_64")]
pub(crate) mod x86_256;
#[cfg(target_arch = "x86_64")]
pub(crate) mod x86_512;

/// A vector of [`Vector::LANES`] numbers of 32 bits.
///
/// # Safety
/// Every method needs the processor to have the set's instructions, and every pointer to have as many numbers as
/// the method names behind it. None needs alignment.
pub(crate) trait Vector: Copy {
    /// Lanes of float32.
    type F32: Copy;
    /// Lanes of int32.
    type I32: Copy;
    /// How many lanes there are; a divisor of 32.
    const LANES: usize;

    unsafe fn load(from: *const f32) -> Self::F32;
    /// The first `count` lanes, fewer than all; the others are `rest`.
    unsafe fn load_part(from: *const f32, count: usize, rest: f32) -> Self::F32;
    /// Lanes of bfloat16, widened.
    unsafe fn load_bfloat16(from: *const u16) -> Self::F32;
    unsafe fn store(to: *mut f32, value: Self::F32);
    /// The first `count` lanes, fewer than all.
    unsafe fn store_part(to: *mut f32, count: usize, value: Self::F32);
    unsafe fn splat(value: f32) -> Self::F32;
    unsafe fn add(left: Self::F32, right: Self::F32) -> Self::F32;
    unsafe fn subtract(left: Self::F32, right: Self::F32) -> Self::F32;
    unsafe fn multiply(left: Self::F32, right: Self::F32) -> Self::F32;
    unsafe fn divide(left: Self::F32, right: Self::F32) -> Self::F32;
    /// `left * right + more`, rounded once where the set can.
    unsafe fn multiply_add(left: Self::F32, right: Self::F32, more: Self::F32) -> Self::F32;
    unsafe fn maximum(left: Self::F32, right: Self::F32) -> Self::F32;
    unsafe fn minimum(left: Self::F32, right: Self::F32) -> Self::F32;
    /// To the nearest integer, ties to the even one.
    unsafe fn round(value: Self::F32) -> Self::F32;
    /// `value` times 2 to the power of `exponent`, which is an integer from -252 to 254.
    unsafe fn scale_by_power(value: Self::F32, exponent: Self::F32) -> Self::F32;
    unsafe fn absolute(value: Self::F32) -> Self::F32;
    /// `magnitude`, which is not negative, with the sign of `sign`.
    unsafe fn with_sign(magnitude: Self::F32, sign: Self::F32) -> Self::F32;
    /// The lanes added up, always in the same order.
    unsafe fn sum(value: Self::F32) -> f32;
    unsafe fn greatest(value: Self::F32) -> f32;
    unsafe fn least(value: Self::F32) -> f32;

    unsafe fn load_i32(from: *const i32) -> Self::I32;
    unsafe fn splat_i32(value: i32) -> Self::I32;
    unsafe fn subtract_i32(left: Self::I32, right: Self::I32) -> Self::I32;
    unsafe fn multiply_i32(left: Self::I32, right: Self::I32) -> Self::I32;
    unsafe fn to_f32(value: Self::I32) -> Self::F32;
    /// Rounds to the nearest integer, adds `zero`, clamps to 0..=`most` and stores the first `count` lanes as
    /// bytes.
    unsafe fn store_bytes(to: *mut u8, count: usize, value: Self::F32, zero: i32, most: i32);
    /// Rounds the first `count` lanes to bfloat16, ties to even, and stores them.
    unsafe fn store_bfloat16(to: *mut u16, count: usize, value: Self::F32);
}

/// How lanes are rounded to bfloat16, ties to even, and stored.
pub(crate) trait Rounding<V: Vector> {
    /// The first `count` lanes.
    ///
    /// # Safety
    /// As [`Vector`].
    unsafe fn store(to: *mut u16, count: usize, value: V::F32);
}

/// As every set can: [`Vector::store_bfloat16`].
pub(crate) struct Stepwise;

impl<V: Vector> Rounding<V> for Stepwise {
    #[inline(always)]
    unsafe fn store(to: *mut u16, count: usize, value: V::F32) {
        // SAFETY: the caller's promise.
        unsafe { V::store_bfloat16(to, count, value) }
    }
}

/// A product of four bytes of a row, the same for all columns, with four bytes of each of [`Vector::LANES`]
/// columns, added to a sum for each column. What four bytes mean differs: one float32, two bfloat16, four int8.
///
/// # Safety
/// As [`Vector`].
pub(crate) trait Dot {
    type Vector: Vector;
    /// Sums, one for each column.
    type Sum: Copy;
    /// What belongs to the columns and makes numbers of their sums.
    type Columns: Copy;
    /// Rows of a tile: as many as the registers hold.
    const ROWS: usize;

    unsafe fn zero() -> Self::Sum;
    /// `sum` and the products of `row` with the columns at `columns`, 4 bytes each.
    unsafe fn step(sum: Self::Sum, row: u32, columns: *const u8) -> Self::Sum;
    /// Asks for memory that will be read soon, where the processor can be asked.
    #[inline(always)]
    unsafe fn prefetch(_: *const u8) {}
    /// As [`Dot::prefetch`], into a larger cache, for what is read a while later.
    #[inline(always)]
    unsafe fn prefetch_far(_: *const u8) {}
    /// Of bytes, for each column, what one step of its bytes is worth, and the sum of its bytes. Other formats do not look
    /// at them.
    unsafe fn columns(scales: *const f32, totals: *const i32) -> Self::Columns;
    /// The sums of a row, as numbers: `(sum - zero x column's total) x row's scale x column's scale` for bytes, of the scale
    /// and the zero that the pointers lead to. Other formats do not look at them.
    unsafe fn finish(
        sum: Self::Sum,
        columns: Self::Columns,
        scale: *const f32,
        zero: *const i32,
    ) -> <Self::Vector as Vector>::F32;
}

/// Two bfloat16 of a row with two of each column, by two fused multiplications in float32.
macro_rules! dot_of_float32 {
    ($vector:ty, $name:ident, $rows:expr) => {
        /// One float32 a step.
        pub(crate) struct $name;
        impl $crate::vector::Dot for $name {
            type Vector = $vector;
            type Sum = <$vector as $crate::vector::Vector>::F32;
            const ROWS: usize = $rows;
            #[inline(always)]
            unsafe fn zero() -> Self::Sum {
                // SAFETY: the caller has the instructions.
                unsafe { <$vector>::splat(0.0) }
            }
            #[inline(always)]
            unsafe fn step(sum: Self::Sum, row: u32, columns: *const u8) -> Self::Sum {
                // SAFETY: the caller has the instructions, and a float32 a column behind `columns`.
                unsafe {
                    <$vector>::multiply_add(
                        <$vector>::splat(f32::from_bits(row)),
                        <$vector>::load(columns.cast()),
                        sum,
                    )
                }
            }
            $crate::vector::finish_numbers!();
        }
    };
}
pub(crate) use dot_of_float32;

/// How an x86 processor is asked for memory; every one has the instruction.
#[cfg(target_arch = "x86_64")]
macro_rules! prefetches {
    () => {
        #[inline(always)]
        unsafe fn prefetch(address: *const u8) {
            // SAFETY: a prefetch reads nothing, wherever it points to.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
        }
        #[inline(always)]
        unsafe fn prefetch_far(address: *const u8) {
            // SAFETY: as above.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(address.cast()) }
        }
    };
}
#[cfg(target_arch = "x86_64")]
pub(crate) use prefetches;

/// Sums that are numbers as they are.
macro_rules! finish_numbers {
    () => {
        type Columns = ();
        #[inline(always)]
        unsafe fn columns(_: *const f32, _: *const i32) {}
        #[inline(always)]
        unsafe fn finish(sum: Self::Sum, (): (), _: *const f32, _: *const i32) -> Self::Sum {
            sum
        }
    };
}
pub(crate) use finish_numbers;

/// How sums of products of bytes become numbers, the same for every set.
macro_rules! finish_bytes {
    ($vector:ty) => {
        type Columns = (<$vector as $crate::vector::Vector>::F32, <$vector as $crate::vector::Vector>::I32);
        #[inline(always)]
        unsafe fn columns(scales: *const f32, totals: *const i32) -> Self::Columns {
            // SAFETY: the caller has the instructions, and a scale and a total for each column.
            unsafe { (<$vector>::load(scales), <$vector>::load_i32(totals)) }
        }
        #[inline(always)]
        unsafe fn finish(
            sum: Self::Sum,
            (scales, totals): Self::Columns,
            scale: *const f32,
            zero: *const i32,
        ) -> <$vector as $crate::vector::Vector>::F32 {
            // SAFETY: the caller has the instructions, and the row's scale and zero.
            unsafe {
                let offset = <$vector>::multiply_i32(totals, <$vector>::splat_i32(*zero));
                let exact = <$vector>::to_f32(<$vector>::subtract_i32(sum, offset));
                <$vector>::multiply(exact, <$vector>::multiply(scales, <$vector>::splat(*scale)))
            }
        }
    };
}
pub(crate) use finish_bytes;
