//! Who has to leave first.

use std::cmp::Reverse;

use super::budget::Scope;
use super::event::{EntryId, Moment};
use super::holding::Holding;

/// Whether something that holds memory may leave it for a certain load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stay {
    /// It may leave now.
    Idle,
    /// It is the older pin of the version that wants to load, and may leave now where nothing else helps.
    IdlePredecessor,
    /// It may leave later: it is leased, still loading, or in its minimum residency.
    Busy,
    /// It is leaving already; its bytes count until they are free.
    Leaving,
    /// It must not leave for this load.
    Protected,
}

/// Something that holds memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resident {
    /// Which.
    pub(super) entry: EntryId,
    /// What it takes.
    pub(super) holding: Holding,
    /// The narrowest bound that it shares with the version that wants to load.
    pub(super) shares: Scope,
    /// When it last served.
    pub(super) last_used: Moment,
    /// Whether it may leave.
    pub(super) stay: Stay,
}

/// Those of one kind, least recently used first; of those used at the same moment the largest first, since then fewer
/// have to leave.
pub(super) fn by_last_use<'a>(residents: &[&'a Resident], stay: Stay) -> Vec<&'a Resident> {
    let mut chosen: Vec<&Resident> =
        residents.iter().copied().filter(|resident| resident.stay == stay).collect();
    chosen.sort_by_key(|resident| (resident.last_used, Reverse(resident.holding.fixed), resident.entry));
    chosen
}
