//! Which vector instructions a processor has, and which of them to use.

use std::fmt;
use std::str::FromStr;

/// A set of vector instructions that there are kernels for, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Instructions {
    /// Plain Rust, on every processor.
    Portable,
    /// 256-bit vectors with fused multiplication (x86-64).
    Avx2,
    /// [`Instructions::Avx2`] with products of bytes in one instruction (AVX-VNNI).
    Avx2Vnni,
    /// 512-bit vectors (F, BW, DQ, VL).
    Avx512,
    /// [`Instructions::Avx512`] with products of bytes in one instruction (VNNI).
    Avx512Vnni,
    /// [`Instructions::Avx512Vnni`] with products of bfloat16 in one instruction (BF16).
    Avx512Bf16,
    /// [`Instructions::Avx512Bf16`] with products of tiles of bytes and of bfloat16 in one instruction (AMX-TILE, AMX-INT8,
    /// AMX-BF16), where the system lets the process use them.
    Amx,
    /// 128-bit vectors (aarch64).
    Neon,
    /// [`Instructions::Neon`] with products of signed bytes in one instruction (dot product extension).
    NeonDot,
    /// [`Instructions::NeonDot`] with products of unsigned with signed bytes (matrix extension, I8MM).
    NeonI8mm,
}

/// All of them, weakest first.
pub const ALL: [Instructions; 10] = [
    Instructions::Portable,
    Instructions::Avx2,
    Instructions::Avx2Vnni,
    Instructions::Avx512,
    Instructions::Avx512Vnni,
    Instructions::Avx512Bf16,
    Instructions::Amx,
    Instructions::Neon,
    Instructions::NeonDot,
    Instructions::NeonI8mm,
];

/// Why a set of instructions cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InstructionsError {
    /// No set has that name.
    #[error("there are no kernels for {0:?}; write one of {names}", names = names(&ALL))]
    Unknown(String),
    /// This processor lacks the set.
    #[error("this processor does not have {0}; it has {names}", names = names(&Instructions::supported()))]
    Unsupported(Instructions),
}

fn names(all: &[Instructions]) -> String {
    all.iter().map(|one| one.name()).collect::<Vec<_>>().join(", ")
}

impl Instructions {
    /// Its name in settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx2Vnni => "avx2-vnni",
            Self::Avx512 => "avx512",
            Self::Avx512Vnni => "avx512-vnni",
            Self::Avx512Bf16 => "avx512-bf16",
            Self::Amx => "amx",
            Self::Neon => "neon",
            Self::NeonDot => "neon-dot",
            Self::NeonI8mm => "neon-i8mm",
        }
    }

    /// Those that this processor has, weakest first.
    #[must_use]
    pub fn supported() -> Vec<Self> {
        ALL.into_iter().filter(|one| one.is_supported()).collect()
    }

    /// The strongest that this processor has.
    #[must_use]
    pub fn best() -> Self {
        ALL.into_iter().rfind(|one| one.is_supported()).unwrap_or(Self::Portable)
    }

    /// Whether products of bfloat16 are as fast as the hardware makes them, rather than computed in float32.
    #[must_use]
    pub fn has_bfloat16(self) -> bool {
        matches!(self, Self::Avx512Bf16 | Self::Amx)
    }

    /// Whether this processor has it.
    #[must_use]
    #[cfg(target_arch = "x86_64")]
    pub fn is_supported(self) -> bool {
        use std::arch::is_x86_feature_detected as has;
        match self {
            Self::Portable => true,
            Self::Avx2 => has!("avx2") && has!("fma"),
            Self::Avx2Vnni => Self::Avx2.is_supported() && has!("avxvnni"),
            Self::Avx512 => {
                Self::Avx2.is_supported()
                    && has!("avx512f")
                    && has!("avx512bw")
                    && has!("avx512dq")
                    && has!("avx512vl")
            }
            Self::Avx512Vnni => Self::Avx512.is_supported() && has!("avx512vnni"),
            Self::Avx512Bf16 => Self::Avx512Vnni.is_supported() && has!("avx512bf16"),
            Self::Amx => Self::Avx512Bf16.is_supported() && crate::tiles::is_supported(),
            Self::Neon | Self::NeonDot | Self::NeonI8mm => false,
        }
    }

    /// Whether this processor has it.
    #[must_use]
    #[cfg(target_arch = "aarch64")]
    pub fn is_supported(self) -> bool {
        use std::arch::is_aarch64_feature_detected as has;
        match self {
            Self::Portable => true,
            Self::Neon => has!("neon"),
            Self::NeonDot => Self::Neon.is_supported() && has!("dotprod"),
            Self::NeonI8mm => Self::NeonDot.is_supported() && has!("i8mm"),
            _ => false,
        }
    }

    /// Whether this processor has it.
    #[must_use]
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    pub fn is_supported(self) -> bool {
        self == Self::Portable
    }
}

impl fmt::Display for Instructions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Instructions {
    type Err = InstructionsError;

    fn from_str(name: &str) -> Result<Self, InstructionsError> {
        ALL.into_iter()
            .find(|one| one.name() == name)
            .ok_or_else(|| InstructionsError::Unknown(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        for one in ALL {
            assert_eq!(one.name().parse(), Ok(one));
        }
        let error = "sse2".parse::<Instructions>().unwrap_err().to_string();
        assert_eq!(
            error,
            "there are no kernels for \"sse2\"; write one of portable, avx2, avx2-vnni, avx512, avx512-vnni, \
             avx512-bf16, amx, neon, neon-dot, neon-i8mm"
        );
    }

    #[test]
    fn the_best_is_supported_and_the_portable_always() {
        assert!(Instructions::best().is_supported());
        assert!(Instructions::supported().contains(&Instructions::Portable));
    }
}
