//! What models compute with: the kernels of this processor, and the threads that share the work.

use std::num::NonZeroUsize;

use ostler_crds::names::Dtype;
use ostler_kernels::{Format, Kernels, Team};
pub use ostler_kernels::{Instructions, InstructionsError, stay_behind_jobs};

use crate::error::LoadError;

/// The kernels and threads of a process. All its models share one.
pub struct Processor {
    kernels: Kernels,
    team: Team,
}

impl Processor {
    /// Takes `threads` threads, the callers' included, or as many as the process may run at once; and the instructions
    /// that are named, or the strongest that the processor has.
    ///
    /// # Errors
    /// Where the processor does not have the named ones.
    pub fn new(
        threads: Option<NonZeroUsize>,
        instructions: Option<Instructions>,
    ) -> Result<Self, InstructionsError> {
        let kernels = match instructions {
            Some(instructions) => Kernels::of(instructions)?,
            None => Kernels::best(),
        };
        Ok(Self { kernels, team: Team::new(threads.map_or_else(all_threads, NonZeroUsize::get)) })
    }

    /// As many threads as this process may run at once, its cgroup's quota included.
    #[must_use]
    pub fn whole() -> Self {
        Self { kernels: Kernels::best(), team: Team::new(all_threads()) }
    }

    /// The kernels.
    #[must_use]
    pub fn kernels(&self) -> Kernels {
        self.kernels
    }

    /// The threads.
    #[must_use]
    pub fn team(&self) -> &Team {
        &self.team
    }
}

/// What the process may run at once: its processors, within the quota of its cgroup.
fn all_threads() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// The number format that `auto` stands for on these kernels.
#[must_use]
pub fn automatic_dtype(kernels: Kernels) -> Dtype {
    if kernels.instructions().has_bfloat16() { Dtype::Bfloat16 } else { Dtype::Float32 }
}

/// The number formats of a model on the kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Precision {
    /// Of the weights of linear layers.
    pub weights: Format,
    /// Of those layers that small errors do most harm in: the first of an encoder.
    pub sensitive: Format,
    /// Of products among activations (attention), and of convolutions.
    pub products: Format,
    /// Of keys and values that every step of a decoder reads again: those of a window of speech.
    pub memory: Format,
}

impl Precision {
    /// What a dtype means on these kernels.
    ///
    /// # Errors
    /// [`LoadError::Incompatible`] where they do not have it.
    pub fn of(dtype: Dtype, kernels: Kernels) -> Result<Self, LoadError> {
        // Where bfloat16 is not in the hardware, float32 is as fast and exact.
        let half = if kernels.instructions().has_bfloat16() { Format::Bfloat16 } else { Format::Float32 };
        let of = |weights, others| Self { weights, sensitive: others, products: others, memory: others };
        match dtype {
            Dtype::Auto => Self::of(automatic_dtype(kernels), kernels),
            Dtype::Float32 => Ok(of(Format::Float32, Format::Float32)),
            Dtype::Bfloat16 => Ok(Self { sensitive: Format::Bfloat16, ..of(Format::Bfloat16, half) }),
            Dtype::Int8 => Ok(Self { memory: Format::Int8, ..of(Format::Int8, half) }),
            Dtype::Float16 => Err(LoadError::Incompatible(format!(
                "dtype {dtype} does not run on a processor; write auto, float32, bfloat16 or int8"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_is_bfloat16_where_the_hardware_has_it() {
        let portable = Kernels::of(Instructions::Portable).unwrap();
        let of = |dtype| Precision::of(dtype, portable).unwrap();
        assert_eq!(of(Dtype::Auto), of(Dtype::Float32));
        assert_eq!(of(Dtype::Int8).products, Format::Float32);
        assert_eq!(of(Dtype::Int8).memory, Format::Int8);
        assert_eq!(of(Dtype::Bfloat16).memory, Format::Float32);
        assert_eq!(of(Dtype::Bfloat16).weights, Format::Bfloat16);
        let refused = Precision::of(Dtype::Float16, portable).unwrap_err();
        assert!(matches!(&refused, LoadError::Incompatible(message) if message.contains("float16")));
        for kernels in [Instructions::Avx512Bf16, Instructions::Amx].into_iter().flat_map(Kernels::of) {
            let of = |dtype| Precision::of(dtype, kernels).unwrap();
            assert_eq!(of(Dtype::Auto), of(Dtype::Bfloat16));
        }
    }
}
