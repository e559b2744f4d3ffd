//! What the system says of memory, beside what is reserved: how much models may really take, and when there is so little
//! left that idle ones must go before the system ends the process. Pure.

use super::budget::{Bound, Scope};

/// So much is left to everything but models, at most a sixteenth of the limit. The operator gives a container 256 MiB
/// beside the budget, of which a process that serves takes less than 150, so that a full budget alone is no pressure.
const MARGIN_BYTES: u64 = 64 << 20;

/// Nobody in the cgroup could run for want of memory for so long a part of the last ten seconds.
const STALLED_PERCENT: u8 = 10;

/// The memory of the process and of what bounds it, measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RealMemory {
    /// The bytes of the process that are in memory.
    pub process_bytes: u64,
    /// The bytes that can be had yet, under the cgroup's limit or, where that is less, from the machine.
    pub free_bytes: u64,
    /// That limit, or the machine's memory.
    pub limit_bytes: u64,
    /// The percentage of the last ten seconds in which nobody could run for want of memory; 0 where the system does
    /// not say.
    pub stalled_percent: u8,
}

impl RealMemory {
    fn margin(&self) -> u64 {
        MARGIN_BYTES.min(self.limit_bytes / 16)
    }

    /// The bytes that must become free at once; 0 without pressure. `is_quiet` says that no load is under way, which
    /// would explain a stall, and `leaving_bytes` is what is on its way out already.
    #[must_use]
    pub fn to_free(&self, is_quiet: bool, leaving_bytes: u64) -> u64 {
        let margin = self.margin();
        let is_stalled = is_quiet && self.stalled_percent >= STALLED_PERCENT;
        let missing =
            if self.free_bytes < margin { 2 * margin - self.free_bytes } else { u64::from(is_stalled) };
        missing.saturating_sub(leaving_bytes)
    }

    /// What loads must fit into: everything that models hold, `held_bytes`, and what is free beside the margin.
    pub(super) fn bound(&self, held_bytes: u64) -> Bound {
        let bytes = held_bytes.saturating_add(self.free_bytes.saturating_sub(self.margin()));
        let limit_bytes = self.limit_bytes;
        Bound { scope: Scope::Real, bytes, limit_bytes, evict_above: bytes, evict_to: bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(free_bytes: u64, stalled_percent: u8) -> RealMemory {
        RealMemory { process_bytes: 0, free_bytes, limit_bytes: 1600, stalled_percent }
    }

    #[test]
    fn pressure_follows_the_table() {
        let table = [
            ("plenty", memory(1000, 0), true, 0, 0),
            ("the margin is left", memory(100, 0), true, 0, 0),
            ("less than the margin: twice of it is to be free", memory(99, 0), true, 0, 101),
            ("what is leaving counts", memory(50, 0), true, 100, 50),
            ("and is enough", memory(50, 0), true, 150, 0),
            ("a stall asks for the next one", memory(1000, 10), true, 0, 1),
            ("a stall while something loads does not", memory(1000, 100), false, 0, 0),
        ];
        for (name, memory, is_quiet, leaving, expected) in table {
            assert_eq!(memory.to_free(is_quiet, leaving), expected, "{name}");
        }
    }

    #[test]
    fn loads_fit_into_what_models_hold_and_what_is_free_beside_the_margin() {
        let bound = memory(300, 0).bound(500);
        assert_eq!((bound.bytes, bound.limit_bytes), (700, 1600));
        assert_eq!(memory(50, 0).bound(500).bytes, 500);
    }

    #[test]
    fn the_margin_of_a_large_machine_is_fixed() {
        let memory =
            RealMemory { process_bytes: 0, free_bytes: 65 << 20, limit_bytes: 64 << 30, stalled_percent: 0 };
        assert_eq!(memory.to_free(true, 0), 0);
        assert_eq!(RealMemory { free_bytes: 63 << 20, ..memory }.to_free(true, 0), 65 << 20);
    }
}
