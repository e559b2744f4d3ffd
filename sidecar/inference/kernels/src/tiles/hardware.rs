//! The tile registers of this thread, by the instructions themselves.

use std::arch::asm;

use super::{Configuration, Tiles};

/// The registers. Every one of these operations is one instruction.
pub(crate) struct Hardware;

/// An instruction that may change tile registers. The compiler has no other use for them, since nothing is compiled with the
/// feature, so that they keep what they hold from one instruction to the next; and it keeps instructions with effects in
/// order.
macro_rules! changing {
    ($($of:tt)*) => {
        asm!(
            $($of)*
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
        )
    };
}

impl Tiles for Hardware {
    #[inline(always)]
    unsafe fn configure(&mut self, configuration: &Configuration) {
        // SAFETY: the processor has the instruction and the system's permission; a configuration is the 64 bytes that it
        // reads.
        unsafe {
            changing!(
                "ldtilecfg [{configuration}]",
                configuration = in(reg) &raw const *configuration,
                options(nostack, preserves_flags, readonly),
            );
        }
    }

    #[inline(always)]
    unsafe fn zero<const TILE: usize>(&mut self) {
        // SAFETY: registers were configured by the caller; no memory is touched.
        unsafe {
            changing!("tilezero tmm{tile}", tile = const TILE, options(nostack, preserves_flags, nomem),);
        }
    }

    #[inline(always)]
    unsafe fn load<const TILE: usize>(&mut self, from: *const u8, stride: usize) {
        // SAFETY: what the register's shape reads is there, by the caller's promise.
        unsafe {
            changing!(
                "tileloadd tmm{tile}, [{from} + {stride}*1]",
                tile = const TILE,
                from = in(reg) from,
                stride = in(reg) stride,
                options(nostack, preserves_flags, readonly),
            );
        }
    }

    #[inline(always)]
    unsafe fn multiply_bytes<const SUMS: usize, const ROWS: usize, const COLUMNS: usize>(&mut self) {
        // SAFETY: the shapes of the three fit, by the caller's promise; no memory is touched.
        unsafe {
            changing!(
                "tdpbusd tmm{sums}, tmm{rows}, tmm{columns}",
                sums = const SUMS,
                rows = const ROWS,
                columns = const COLUMNS,
                options(nostack, preserves_flags, nomem),
            );
        }
    }

    #[inline(always)]
    unsafe fn multiply_bfloat16<const SUMS: usize, const ROWS: usize, const COLUMNS: usize>(&mut self) {
        // SAFETY: as for bytes.
        unsafe {
            changing!(
                "tdpbf16ps tmm{sums}, tmm{rows}, tmm{columns}",
                sums = const SUMS,
                rows = const ROWS,
                columns = const COLUMNS,
                options(nostack, preserves_flags, nomem),
            );
        }
    }

    #[inline(always)]
    unsafe fn store<const TILE: usize>(&mut self, to: *mut u8, stride: usize) {
        // SAFETY: what the register's shape writes is there, by the caller's promise.
        unsafe {
            asm!(
                "tilestored [{to} + {stride}*1], tmm{tile}",
                tile = const TILE,
                to = in(reg) to,
                stride = in(reg) stride,
                options(nostack, preserves_flags),
            );
        }
    }

    #[inline(always)]
    unsafe fn release(&mut self) {
        // SAFETY: the processor has the instruction; no memory is touched.
        unsafe {
            changing!("tilerelease", options(nostack, preserves_flags, nomem),);
        }
    }
}
