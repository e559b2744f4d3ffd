//! What became of the versions that were loaded ahead.

use std::collections::BTreeMap;

use serde::Serialize;

use super::reason::Kind;

/// What became of loads ahead, by what they followed from, since the process began.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct PredictedLoads(BTreeMap<Kind, Outcomes>);

/// What became of loads ahead.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcomes {
    /// All that were begun.
    pub loads: u64,
    /// Those that a request used, or waited for.
    pub used: u64,
    /// Those that failed, or left memory before anybody used them.
    pub unused: u64,
}

impl PredictedLoads {
    /// Whether nothing was ever loaded ahead.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What became of the loads of one kind.
    #[must_use]
    pub fn of(&self, kind: Kind) -> Outcomes {
        self.0.get(&kind).copied().unwrap_or_default()
    }

    /// Counts for one kind.
    pub fn of_mut(&mut self, kind: Kind) -> &mut Outcomes {
        self.0.entry(kind).or_default()
    }
}
