//! The kernels of each instruction set, compiled for it, behind function pointers.

use crate::activation::Activation;
use crate::columns;
use crate::instructions::{Instructions, InstructionsError};
use crate::pack;
use crate::product::{self, Product};
use crate::row::{self, Attend};
use crate::vector::{Stepwise, portable};
#[cfg(target_arch = "x86_64")]
use crate::{
    tiles,
    vector::{x86_256, x86_512},
};

/// Numbers, how many, a factor, the greatest byte, and where the high and the low bytes go; what a step of the low bytes is
/// worth, and the byte of zero.
type ToBytePairs = unsafe fn(*const f32, usize, f32, i32, *mut u8, *mut u8) -> (f32, i32);

/// The kernels of one set. Each may be called only where the processor has it; whoever has a [`Kernels`] knows that.
pub(crate) struct Table {
    pub(crate) instructions: Instructions,
    /// The greatest byte of a row: 127 where products of two bytes are added up in 16 bits.
    pub(crate) greatest_byte: i32,
    pub(crate) float32: unsafe fn(&Product),
    pub(crate) bfloat16: unsafe fn(&Product),
    pub(crate) int8: unsafe fn(&Product),
    pub(crate) layer_norm: unsafe fn(*const f32, usize, *const f32, *const f32, f32, *mut f32),
    pub(crate) activate: unsafe fn(*mut f32, usize, Activation),
    pub(crate) activate_roughly: unsafe fn(*mut f32, usize, Activation),
    pub(crate) scale: unsafe fn(*mut f32, usize, f32),
    pub(crate) shift: unsafe fn(*mut f32, usize, f32),
    pub(crate) greatest: unsafe fn(*const f32, usize) -> f32,
    pub(crate) position_of_greatest: unsafe fn(*const f32, usize) -> usize,
    pub(crate) is_finite: unsafe fn(*const f32, usize) -> bool,
    pub(crate) sum_of_exp: unsafe fn(*const f32, usize, f32) -> f32,
    pub(crate) softmax_weights: unsafe fn(*mut f32, usize, usize) -> f32,
    pub(crate) softmax_weights_bfloat16: unsafe fn(*const f32, usize, usize, *mut u16) -> f32,
    pub(crate) softmax_weights_times: unsafe fn(*mut f32, *const f32, *const f32, usize) -> f32,
    pub(crate) to_bfloat16: unsafe fn(*const f32, usize, f32, *mut u16),
    pub(crate) to_bytes: unsafe fn(*const f32, usize, i32, *mut u8) -> (f32, i32),
    pub(crate) to_byte_pairs: ToBytePairs,
    pub(crate) pack_float32: unsafe fn(*const f32, usize, *mut u8),
    pub(crate) pack_bfloat16: unsafe fn(*const f32, usize, *mut u8),
    pub(crate) pack_int8: unsafe fn(*const f32, usize, *mut u8) -> (f32, i32),
    pub(crate) unpack_float32: unsafe fn(*const u8, usize, *mut f32),
    pub(crate) unpack_bfloat16: unsafe fn(*const u8, usize, *mut f32),
    pub(crate) unpack_int8: unsafe fn(*const u8, usize, f32, *mut f32),
    pub(crate) attend: unsafe fn(&Attend<f32>),
    pub(crate) attend_bfloat16: unsafe fn(&Attend<u16>),
    pub(crate) pack_keys_float32: unsafe fn(&pack::Head, *mut f32),
    pub(crate) pack_keys_bfloat16: unsafe fn(&pack::Head, *mut u16),
    pub(crate) pack_keys_int8: unsafe fn(&pack::ByteHead, *mut i32, *mut u8),
    pub(crate) pack_values_float32: unsafe fn(&pack::Head, *mut f32),
    pub(crate) pack_values_bfloat16: unsafe fn(&pack::Head, *mut u16),
    pub(crate) pack_values_int8: unsafe fn(&pack::ByteHead, *mut u8),
}

/// A module with the kernels of a set, compiled for it.
macro_rules! table {
    (
        $name:ident, $instructions:expr, [$($feature:meta)?], $vector:ty,
        $float32:ty, $bfloat16:ty, $int8:ty, $greatest_byte:expr
    ) => {
        mod $name {
            use super::*;

            kernels!([$($feature)?] $vector, $float32, $bfloat16, $int8);

            pub(super) const TABLE: Table = Table {
                instructions: $instructions,
                greatest_byte: $greatest_byte,
                float32,
                bfloat16,
                int8,
                layer_norm,
                activate,
                activate_roughly,
                scale,
                shift,
                greatest,
                position_of_greatest,
                is_finite,
                sum_of_exp,
                softmax_weights,
                softmax_weights_bfloat16,
                softmax_weights_times,
                to_bfloat16,
                to_bytes,
                to_byte_pairs,
                pack_float32,
                pack_bfloat16,
                pack_int8,
                unpack_float32,
                unpack_bfloat16,
                unpack_int8,
                attend,
                attend_bfloat16,
                pack_keys_float32,
                pack_keys_bfloat16,
                pack_keys_int8,
                pack_values_float32,
                pack_values_bfloat16,
                pack_values_int8,
            };
        }
    };
}

/// The functions of a table, each compiled with the set's features, into which the generic kernels are inlined.
macro_rules! kernels {
    ([$($feature:meta)?] $vector:ty, $float32:ty, $bfloat16:ty, $int8:ty) => {
        kernels! { @each [$($feature)?]
            fn float32(work: &Product) = product::compute::<$float32>;
            fn bfloat16(work: &Product) = product::compute::<$bfloat16>;
            fn int8(work: &Product) = product::compute::<$int8>;
            fn layer_norm(
                row: *const f32, count: usize, gain: *const f32, bias: *const f32, epsilon: f32, out: *mut f32
            ) = row::layer_norm::<$vector>;
            fn activate(row: *mut f32, count: usize, activation: Activation) = row::activate::<$vector>;
            fn activate_roughly(row: *mut f32, count: usize, activation: Activation) =
                row::activate_roughly::<$vector>;
            fn scale(row: *mut f32, count: usize, factor: f32) = row::scale::<$vector>;
            fn shift(row: *mut f32, count: usize, more: f32) = row::shift::<$vector>;
            fn greatest(row: *const f32, count: usize) -> f32 = row::greatest::<$vector>;
            fn position_of_greatest(row: *const f32, count: usize) -> usize =
                row::position_of_greatest::<$vector>;
            fn is_finite(row: *const f32, count: usize) -> bool = row::is_finite::<$vector>;
            fn sum_of_exp(row: *const f32, count: usize, most: f32) -> f32 = row::sum_of_exp::<$vector>;
            fn softmax_weights(row: *mut f32, count: usize, padded: usize) -> f32 =
                row::softmax_weights::<$vector>;
            fn softmax_weights_bfloat16(row: *const f32, count: usize, padded: usize, out: *mut u16) -> f32 =
                row::softmax_weights_bfloat16::<$vector, Stepwise>;
            fn softmax_weights_times(
                row: *mut f32, more: *const f32, factors: *const f32, count: usize
            ) -> f32 = row::softmax_weights_times::<$vector>;
            fn to_bfloat16(row: *const f32, count: usize, factor: f32, out: *mut u16) =
                row::to_bfloat16::<$vector, Stepwise>;
            fn to_bytes(row: *const f32, count: usize, most: i32, out: *mut u8) -> (f32, i32) =
                row::to_bytes::<$vector>;
            fn to_byte_pairs(
                row: *const f32, count: usize, factor: f32, most: i32, high: *mut u8, low: *mut u8
            ) -> (f32, i32) = row::to_byte_pairs::<$vector>;
            fn pack_float32(row: *const f32, count: usize, column: *mut u8) = columns::pack_float32;
            fn pack_bfloat16(row: *const f32, count: usize, column: *mut u8) =
                columns::pack_bfloat16::<$vector>;
            fn pack_int8(row: *const f32, count: usize, column: *mut u8) -> (f32, i32) =
                columns::pack_int8::<$vector>;
            fn unpack_float32(column: *const u8, count: usize, out: *mut f32) = columns::unpack_float32;
            fn unpack_bfloat16(column: *const u8, count: usize, out: *mut f32) = columns::unpack_bfloat16;
            fn unpack_int8(column: *const u8, count: usize, scale: f32, out: *mut f32) = columns::unpack_int8;
            fn attend(work: &Attend<f32>) = row::attend::<$vector, f32>;
            fn attend_bfloat16(work: &Attend<u16>) = row::attend::<$vector, u16>;
            fn pack_keys_float32(head: &pack::Head, out: *mut f32) = pack::keys_float32;
            fn pack_keys_bfloat16(head: &pack::Head, out: *mut u16) = pack::keys_bfloat16::<$vector, Stepwise>;
            fn pack_keys_int8(head: &pack::ByteHead, totals: *mut i32, out: *mut u8) =
                pack::keys_int8::<$vector>;
            fn pack_values_float32(head: &pack::Head, out: *mut f32) = pack::values_float32;
            fn pack_values_bfloat16(head: &pack::Head, out: *mut u16) = pack::values_bfloat16;
            fn pack_values_int8(head: &pack::ByteHead, out: *mut u8) = pack::values_int8::<$vector>;
        }
    };
    (@each [] $(fn $name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)? = $of:expr;)*) => {
        $(
            unsafe fn $name($($argument: $type),*) $(-> $result)? {
                // SAFETY: the caller's promise; no feature is needed.
                unsafe { $of($($argument),*) }
            }
        )*
    };
    (
        @each [$feature:meta]
        $(fn $name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)? = $of:expr;)*
    ) => {
        $(
            #[$feature]
            unsafe fn $name($($argument: $type),*) $(-> $result)? {
                // SAFETY: the caller's promise; the features are enabled here.
                unsafe { $of($($argument),*) }
            }
        )*
    };
}

/// A product for an extension of a set.
macro_rules! product_of {
    ($name:ident, $features:literal, $dot:ty) => {
        #[target_feature(enable = $features)]
        unsafe fn $name(work: &Product) {
            // SAFETY: the caller's promise; the features are enabled here.
            unsafe { product::compute::<$dot>(work) }
        }
    };
}

table!(
    plain,
    Instructions::Portable,
    [],
    portable::Plain,
    portable::Float32,
    portable::Bfloat16,
    portable::Int8,
    255
);
static PORTABLE: Table = plain::TABLE;

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::*;

    table!(
        avx2,
        Instructions::Avx2,
        [target_feature(enable = "avx2,fma")],
        x86_256::X256,
        x86_256::Float32,
        x86_256::Bfloat16Widened,
        x86_256::Int7,
        127
    );
    product_of!(avx2_vnni, "avx2,fma,avxvnni", x86_256::Int8);
    table!(
        avx512,
        Instructions::Avx512,
        [target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")],
        x86_512::X512,
        x86_512::Float32,
        x86_512::Bfloat16Widened,
        x86_512::Int7,
        127
    );
    product_of!(avx512_vnni, "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma", x86_512::Int8);
    /// What rounds to bfloat16, with the instruction for it.
    mod rounding {
        use super::*;

        kernels! { @each
            [target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
            fn to_bfloat16(row: *const f32, count: usize, factor: f32, out: *mut u16) =
                row::to_bfloat16::<x86_512::X512, x86_512::RoundingInstruction>;
            fn softmax_weights_bfloat16(row: *const f32, count: usize, padded: usize, out: *mut u16) -> f32 =
                row::softmax_weights_bfloat16::<x86_512::X512, x86_512::RoundingInstruction>;
            fn pack_keys_bfloat16(head: &pack::Head, out: *mut u16) =
                pack::keys_bfloat16::<x86_512::X512, x86_512::RoundingInstruction>;
        }
        pub(super) const TO_BFLOAT16: unsafe fn(*const f32, usize, f32, *mut u16) = to_bfloat16;
        pub(super) const SOFTMAX_WEIGHTS: unsafe fn(*const f32, usize, usize, *mut u16) -> f32 =
            softmax_weights_bfloat16;
        pub(super) const PACK_KEYS_BFLOAT16: unsafe fn(&pack::Head, *mut u16) = pack_keys_bfloat16;
    }
    product_of!(avx512_bf16, "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma", x86_512::Bfloat16);

    /// Products of bfloat16 by tiles, however few the rows are: a row's result is the same beside others.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
    unsafe fn amx_bfloat16(work: &Product) {
        // SAFETY: the caller's promise; what finishes sums is enabled here, and only this function uses the thread's tiles.
        unsafe { tiles::compute::<_, tiles::Bfloat16<x86_512::Bfloat16>>(work, &mut tiles::Hardware) }
    }
    /// Products of bytes by tiles. Those of few rows wait for memory, which vectors ask for in time; sums are exact either way.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
    unsafe fn amx_int8(work: &Product) {
        // SAFETY: the caller's promise; what finishes sums is enabled here, and only this function uses the thread's tiles.
        unsafe {
            if work.rows <= product::FEW_ROWS {
                avx512_vnni(work);
            } else {
                tiles::compute::<_, tiles::Bytes<x86_512::Int8>>(work, &mut tiles::Hardware);
            }
        }
    }

    pub(super) static AVX2: Table = avx2::TABLE;
    pub(super) static AVX2_VNNI: Table =
        Table { instructions: Instructions::Avx2Vnni, greatest_byte: 255, int8: avx2_vnni, ..avx2::TABLE };
    pub(super) static AVX512: Table = avx512::TABLE;
    pub(super) static AVX512_VNNI: Table = Table {
        instructions: Instructions::Avx512Vnni,
        greatest_byte: 255,
        int8: avx512_vnni,
        ..avx512::TABLE
    };
    const WITH_BFLOAT16: Table = Table {
        instructions: Instructions::Avx512Bf16,
        greatest_byte: 255,
        int8: avx512_vnni,
        bfloat16: avx512_bf16,
        to_bfloat16: rounding::TO_BFLOAT16,
        softmax_weights_bfloat16: rounding::SOFTMAX_WEIGHTS,
        pack_keys_bfloat16: rounding::PACK_KEYS_BFLOAT16,
        ..avx512::TABLE
    };
    pub(super) static AVX512_BF16: Table = WITH_BFLOAT16;
    pub(super) static AMX: Table =
        Table { instructions: Instructions::Amx, int8: amx_int8, bfloat16: amx_bfloat16, ..WITH_BFLOAT16 };
}

#[cfg(target_arch = "aarch64")]
mod aarch64 {
    use super::*;

    table!(
        neon,
        Instructions::Neon,
        [target_feature(enable = "neon")],
        crate::vector::neon::Neon,
        crate::vector::neon::Float32,
        crate::vector::neon::Bfloat16Widened,
        crate::vector::neon::Int7,
        127
    );
    product_of!(neon_dot, "neon,dotprod", crate::vector::neon::Int7Dot);
    product_of!(neon_i8mm, "neon,i8mm", crate::vector::neon::Int8);

    pub(super) static NEON: Table = neon::TABLE;
    pub(super) static NEON_DOT: Table =
        Table { instructions: Instructions::NeonDot, int8: neon_dot, ..neon::TABLE };
    pub(super) static NEON_I8MM: Table =
        Table { instructions: Instructions::NeonI8mm, greatest_byte: 255, int8: neon_i8mm, ..neon::TABLE };
}

/// A set of kernels that this processor can run.
#[derive(Clone, Copy)]
pub struct Kernels {
    pub(crate) table: &'static Table,
}

impl Kernels {
    /// The kernels of the strongest instructions that this processor has.
    #[must_use]
    pub fn best() -> Self {
        Self { table: table_of(Instructions::best()) }
    }

    /// The kernels of these instructions.
    ///
    /// # Errors
    /// Where this processor does not have them.
    pub fn of(instructions: Instructions) -> Result<Self, InstructionsError> {
        if !instructions.is_supported() {
            return Err(InstructionsError::Unsupported(instructions));
        }
        Ok(Self { table: table_of(instructions) })
    }

    /// The instructions that they use.
    #[must_use]
    pub fn instructions(self) -> Instructions {
        self.table.instructions
    }
}

impl std::fmt::Debug for Kernels {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Kernels({})", self.instructions())
    }
}

fn table_of(instructions: Instructions) -> &'static Table {
    match instructions {
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx2 => &x86::AVX2,
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx2Vnni => &x86::AVX2_VNNI,
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx512 => &x86::AVX512,
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx512Vnni => &x86::AVX512_VNNI,
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx512Bf16 => &x86::AVX512_BF16,
        #[cfg(target_arch = "x86_64")]
        Instructions::Amx => &x86::AMX,
        #[cfg(target_arch = "aarch64")]
        Instructions::Neon => &aarch64::NEON,
        #[cfg(target_arch = "aarch64")]
        Instructions::NeonDot => &aarch64::NEON_DOT,
        #[cfg(target_arch = "aarch64")]
        Instructions::NeonI8mm => &aarch64::NEON_I8MM,
        // Those of other architectures are never supported, and so never asked for.
        _ => &PORTABLE,
    }
}
