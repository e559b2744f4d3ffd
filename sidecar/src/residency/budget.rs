//! What a version takes, and the bounds that it must fit into: the memory budget and the limits within it.

use super::holding::Holding;

/// The bytes that one engine takes, known from file headers alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Weights and tables, for as long as it is loaded.
    pub resident_bytes: u64,
    /// More on top of that while it is being loaded.
    pub transient_bytes: u64,
    /// Working memory of one running job.
    pub scratch_bytes: u64,
}

impl Footprint {
    /// What loading takes, without the job with which it is proved.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.resident_bytes.saturating_add(self.transient_bytes)
    }

    /// What is reserved for a load.
    pub(super) fn to_load(self) -> Holding {
        Holding { fixed: self.peak(), working: self.scratch_bytes, job: self.scratch_bytes }
    }
}

/// The memory that models may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// All of it.
    pub bytes: u64,
    /// Above this percentage idle versions are evicted for a new one.
    pub evict_above_percent: u8,
    /// Eviction goes on until this percentage.
    pub evict_to_percent: u8,
}

impl Budget {
    /// It, as what a load must fit into.
    pub(super) fn bound(&self) -> Bound {
        Bound {
            scope: Scope::Budget,
            bytes: self.bytes,
            limit_bytes: self.bytes,
            evict_above: self.percent(self.evict_above_percent),
            evict_to: self.percent(self.evict_to_percent),
        }
    }

    fn percent(&self, percent: u8) -> u64 {
        let bytes = u128::from(self.bytes) * u128::from(percent.min(100)) / 100;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

/// What a bound holds together, each within the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// All versions of one model: its `memoryLimit`.
    Model,
    /// All models of one task: its entry in `memory.limits`.
    Task,
    /// Everything: `memory.host`.
    Budget,
    /// Everything, as far as memory is really there.
    Real,
}

/// Something that a load must fit into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bound {
    /// What it holds together.
    pub(super) scope: Scope,
    /// The most that its members may take.
    pub(super) bytes: u64,
    /// The limit that this comes from, for messages.
    pub(super) limit_bytes: u64,
    /// Above this, idle members are evicted for a new one.
    pub(super) evict_above: u64,
    /// Eviction goes on until this.
    pub(super) evict_to: u64,
}

impl Bound {
    /// A limit without marks: members are evicted only as far as a new one needs it.
    pub(super) fn limit(scope: Scope, bytes: u64) -> Self {
        Self { scope, bytes, limit_bytes: bytes, evict_above: bytes, evict_to: bytes }
    }

    /// The same without its marks.
    pub(super) fn without_marks(self) -> Self {
        Self { evict_above: self.bytes, evict_to: self.bytes, ..self }
    }
}

/// Why there is no room for a load, or for a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortage {
    /// The bound that it does not fit into.
    pub scope: Scope,
    /// All that it takes.
    pub needed_bytes: u64,
    /// What is free, or could be made free now.
    pub free_bytes: u64,
    /// All that the bound allows.
    pub limit_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_takes_its_transient_on_top() {
        let footprint = Footprint { resident_bytes: 100, transient_bytes: 50, scratch_bytes: 10 };
        assert_eq!(footprint.peak(), 150);
    }
}
