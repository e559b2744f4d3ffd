//! Whether tiles can be used: the processor has them, the system saves them, and this process may.
//!
//! Sources: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2 (CPUID, XGETBV); Linux,
//! `Documentation/arch/x86/xstate.rst`.

use std::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};
use std::sync::OnceLock;

use super::{TILE_ROW_BYTES, TILE_ROWS, TILES};

/// Bits of EDX of CPUID leaf 7: AMX-BF16, AMX-TILE, AMX-INT8.
const FEATURES: u32 = 1 << 22 | 1 << 24 | 1 << 25;
/// The leaf of CPUID that says how large tiles are; its subleaf 1 is palette 1.
const TILE_LEAF: u32 = 0x1d;
/// Bits of XCR0: the system saves the configuration of tiles and their data when it switches threads.
const STATES: u64 = 1 << 17 | 1 << 18;

/// Whether tiles can be used. The system is asked for permission once in a process; all threads share it.
pub(crate) fn is_supported() -> bool {
    static IS_SUPPORTED: OnceLock<bool> = OnceLock::new();
    *IS_SUPPORTED.get_or_init(|| processor_has_tiles() && system_saves_tiles() && may_use_tiles())
}

fn processor_has_tiles() -> bool {
    if __cpuid(0).eax < TILE_LEAF || __cpuid_count(7, 0).edx & FEATURES != FEATURES {
        return false;
    }
    let palette = __cpuid_count(TILE_LEAF, 1);
    let (registers, row_bytes) = (palette.ebx >> 16, palette.ebx & 0xffff);
    let rows = palette.ecx & 0xffff;
    let (registers, row_bytes, rows) = (registers as usize, row_bytes as usize, rows as usize);
    registers >= TILES && row_bytes >= TILE_ROW_BYTES && rows >= TILE_ROWS
}

fn system_saves_tiles() -> bool {
    if !std::arch::is_x86_feature_detected!("xsave") {
        return false;
    }
    #[target_feature(enable = "xsave")]
    fn states() -> u64 {
        // SAFETY: the system has enabled XGETBV where the feature is detected, and register 0 is always there.
        unsafe { _xgetbv(0) }
    }
    // SAFETY: the processor has the feature.
    unsafe { states() & STATES == STATES }
}

/// Linux gives a thread the memory for its tiles at their first use, and only where the process has asked before. It refuses
/// where it does not know tiles (before 5.16), where a filter of system calls does not let the question through, and where a
/// thread has a stack for signals that they would not fit.
#[cfg(target_os = "linux")]
fn may_use_tiles() -> bool {
    /// arch_prctl(2).
    const ARCH_PRCTL: usize = 158;
    const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
    const XFEATURE_XTILEDATA: usize = 18;
    let result: isize;
    // SAFETY: a system call that reads and writes no memory of ours. It changes these registers, and nothing but what the
    // process may do.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result == 0
}

/// How other systems are asked is not known here.
#[cfg(not(target_os = "linux"))]
fn may_use_tiles() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_may_use_tiles_only_where_there_are_some() {
        let may = may_use_tiles();
        assert!(!may || processor_has_tiles() && system_saves_tiles());
        assert_eq!(may_use_tiles(), may, "asking again changes nothing");
        assert!(!is_supported() || may);
    }
}
