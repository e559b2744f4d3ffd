//! Decides what leaves the cache: a pure function of what is there, of what is needed, and of the time.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

/// What is in the cache.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    /// What can be removed, each as a whole.
    pub(crate) holdings: Vec<Holding>,
    /// The contents that holdings share.
    pub(crate) blobs: Vec<SharedBlob>,
}

/// Something that can be removed as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holding {
    pub(crate) kind: Kind,
    pub(crate) last_used: SystemTime,
    /// Somebody has it loaded, or is working on it.
    pub(crate) in_use: bool,
    /// The bytes of what it alone has.
    pub(crate) own_bytes: u64,
    /// What it shares, as places in the list of blobs.
    pub(crate) blobs: Vec<usize>,
}

/// What a holding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A commit of a repository. The plan of some process on the cache may name it.
    Commit { is_named: bool },
    /// Something that can be made again from files that are here or elsewhere.
    Copy,
    /// What nobody links to: a transfer that was given up, or contents of a commit that has gone.
    Leftover,
}

/// Contents that go when the last of their holdings goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SharedBlob {
    pub(crate) bytes: u64,
    /// They stay whatever goes, because they are about to be used.
    pub(crate) is_kept: bool,
}

/// What room is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Files are to be fetched, so many bytes more than there is room for. Whatever is not in use may go; where even
    /// all of that is too little, nothing goes.
    Fetch(u64),
    /// So many bytes more are to be kept free. What plans name and what was used lately stays.
    Spare(u64),
}

impl Need {
    fn bytes(self) -> u64 {
        match self {
            Self::Fetch(bytes) | Self::Spare(bytes) => bytes,
        }
    }
}

/// The order in which holdings go; those of one rank by their last use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Idle,
    UsedLately,
    Named,
}

/// The holdings that are to be removed, in their order. What was last used within `grace` before `now` goes late, and
/// leftovers of that age never.
pub(crate) fn choose(listing: &Listing, need: Need, now: SystemTime, grace: Duration) -> Vec<usize> {
    let ranked = listing.holdings.iter().enumerate().filter_map(|(place, holding)| {
        let rank = rank(holding, now, grace)?;
        let may_go = rank == Rank::Idle || matches!(need, Need::Fetch(_));
        may_go.then_some((rank, holding.last_used, Reverse(size(listing, holding)), place))
    });
    let mut order: Vec<_> = ranked.collect();
    order.sort_unstable();

    let mut chosen = BTreeSet::new();
    let mut freed = 0;
    for (.., place) in &order {
        if freed >= need.bytes() {
            break;
        }
        chosen.insert(*place);
        freed = freed_by(listing, &chosen);
    }
    if freed < need.bytes() && matches!(need, Need::Fetch(_)) {
        return Vec::new();
    }
    // A small one that went before a large one was not needed, and what shares all that it has frees nothing.
    let enough = freed.min(need.bytes());
    for (.., place) in order.iter().rev() {
        if chosen.remove(place) && freed_by(listing, &chosen) < enough {
            chosen.insert(*place);
        }
    }
    order.into_iter().map(|(.., place)| place).filter(|place| chosen.contains(place)).collect()
}

/// The bytes that become free when all of these go.
pub(crate) fn freed_by(listing: &Listing, gone: &BTreeSet<usize>) -> u64 {
    let mut is_needed: Vec<bool> = listing.blobs.iter().map(|blob| blob.is_kept).collect();
    let mut is_let_go = vec![false; listing.blobs.len()];
    let mut freed: u64 = 0;
    for (place, holding) in listing.holdings.iter().enumerate() {
        let is_gone = gone.contains(&place);
        if is_gone {
            freed = freed.saturating_add(holding.own_bytes);
        }
        for blob in &holding.blobs {
            let flags = if is_gone { &mut is_let_go } else { &mut is_needed };
            if let Some(flag) = flags.get_mut(*blob) {
                *flag = true;
            }
        }
    }
    let flags = is_let_go.into_iter().zip(is_needed);
    let blobs =
        listing.blobs.iter().zip(flags).filter(|(_, (is_let_go, is_needed))| *is_let_go && !is_needed);
    blobs.fold(freed, |freed, (blob, _)| freed.saturating_add(blob.bytes))
}

fn rank(holding: &Holding, now: SystemTime, grace: Duration) -> Option<Rank> {
    // A time that is yet to come is that of a clock that was set back.
    let is_lately = now.duration_since(holding.last_used).unwrap_or_default() < grace;
    match holding.kind {
        _ if holding.in_use => None,
        Kind::Commit { is_named: true } => Some(Rank::Named),
        Kind::Leftover if is_lately => None,
        Kind::Commit { .. } | Kind::Copy if is_lately => Some(Rank::UsedLately),
        Kind::Commit { .. } | Kind::Copy | Kind::Leftover => Some(Rank::Idle),
    }
}

fn size(listing: &Listing, holding: &Holding) -> u64 {
    let blobs = holding.blobs.iter().filter_map(|blob| listing.blobs.get(*blob));
    blobs.fold(holding.own_bytes, |sum, blob| sum.saturating_add(blob.bytes))
}

#[cfg(test)]
mod tests;
