//! What becomes of waiting requests: granted, sent on to a fallback, refused, or kept waiting.

use std::time::Duration;

use super::entry::State;
use super::event::{Effect, EntryId, Moment, Refusal, WaiterId};
use super::table::{Table, Waiter};
use crate::target::VersionKey;

/// When a request that could not wait should come back.
const BUSY_RETRY_AFTER: Duration = Duration::from_secs(5);

/// Where a request stands with its present candidate.
enum Standing {
    Serve(EntryId),
    Wait,
    /// It waits, and the entry is tried again for it.
    Retry(EntryId),
    /// On to the next candidate.
    Failed(Option<EntryId>),
    Removed,
}

/// Settles every waiter, in the order of asking.
pub(super) fn settle_all(table: &mut Table, now: Moment, effects: &mut Vec<Effect>) {
    let waiters: Vec<WaiterId> = table.waiters.keys().copied().collect();
    for waiter in waiters {
        settle(table, waiter, now, effects);
    }
}

/// Moves one waiter as far as it gets.
pub(super) fn settle(table: &mut Table, id: WaiterId, now: Moment, effects: &mut Vec<Effect>) {
    loop {
        let Some(waiter) = table.waiters.get(&id) else { return };
        let Some(key) = waiter.candidates.get(waiter.position).cloned() else {
            return refuse_as_failed(table, id, now, effects);
        };
        match standing(table, waiter, &key, now) {
            Standing::Serve(entry) => return grant(table, id, entry, now, effects),
            Standing::Wait => return,
            Standing::Retry(entry) => {
                if let Some(entry) = table.entries.get_mut(&entry) {
                    entry.state = entry.untried();
                }
                return;
            }
            Standing::Failed(entry) => skip(table, id, entry),
            Standing::Removed => {
                table.waiters.remove(&id);
                return effects.push(Effect::Refuse { waiter: id, refusal: Refusal::Removed { key } });
            }
        }
    }
}

/// Sends away whoever has waited too long.
pub(super) fn expire(table: &mut Table, now: Moment, effects: &mut Vec<Effect>) {
    let is_late = |id: &WaiterId| table.waiters.get(id).is_some_and(|waiter| waiter.deadline <= now);
    let late: Vec<WaiterId> = table.waiters.keys().copied().filter(is_late).collect();
    for id in late {
        // The load goes on, so that whoever comes back finds it done.
        let waiter = table.waiters.get(&id);
        let key = waiter.and_then(|waiter| waiter.candidates.get(waiter.position));
        let desired = key.and_then(|key| table.desired.get(key)).copied();
        if let Some(entry) = desired.and_then(|desired| table.entries.get_mut(&desired)) {
            entry.called = true;
        }
        refuse_as_busy(table, id, effects);
    }
}

/// Sends a waiter away because it cannot wait, or not longer.
pub(super) fn refuse_as_busy(table: &mut Table, id: WaiterId, effects: &mut Vec<Effect>) {
    let Some(waiter) = table.waiters.remove(&id) else { return };
    if let Some(key) = waiter.candidates.into_iter().next() {
        let refusal = Refusal::Busy { key, retry_after: BUSY_RETRY_AFTER };
        effects.push(Effect::Refuse { waiter: id, refusal });
    }
}

fn standing(table: &Table, waiter: &Waiter, key: &VersionKey, now: Moment) -> Standing {
    if let Some(serving) = table.serving(key, waiter.planned_pin_only) {
        return Standing::Serve(serving);
    }
    let desired = table.desired.get(key).copied();
    let Some((desired, entry)) = desired.and_then(|id| Some((id, table.entries.get(&id)?))) else {
        // A fallback that the plan no longer has is passed over; the chosen version is missed.
        return if waiter.position == 0 { Standing::Removed } else { Standing::Failed(None) };
    };
    let mut fallbacks = waiter.candidates.iter().skip(waiter.position + 1);
    let can_fall_back = fallbacks.any(|key| table.serving(key, waiter.planned_pin_only).is_some());
    match entry.state {
        State::Failed { retry_at: Some(retry_at) } if retry_at <= now && !can_fall_back => {
            Standing::Retry(desired)
        }
        State::Failed { .. } => Standing::Failed(Some(desired)),
        // What has failed and is being tried again is not waited for while a fallback is up.
        _ if entry.last_failure.is_some() && can_fall_back => Standing::Failed(Some(desired)),
        _ => Standing::Wait,
    }
}

/// Notes the failure of a waiter's candidate and turns to the next. A candidate whose rest is over is called for,
/// so that it comes back though its requests are served by a fallback.
fn skip(table: &mut Table, id: WaiterId, failed: Option<EntryId>) {
    let failure = failed.and_then(|failed| table.entries.get_mut(&failed)).and_then(|entry| {
        let is_retryable = entry.last_failure.as_ref().is_some_and(|record| record.retry_at.is_some());
        entry.called |= is_retryable;
        entry.last_failure.as_ref().map(|record| (record.failure.clone(), record.retry_at))
    });
    if let Some(waiter) = table.waiters.get_mut(&id) {
        waiter.position += 1;
        if waiter.first_failure.is_none() {
            waiter.first_failure = failure;
        }
    }
}

fn grant(table: &mut Table, id: WaiterId, serving: EntryId, now: Moment, effects: &mut Vec<Effect>) {
    let Some(waiter) = table.waiters.remove(&id) else { return };
    if let Some(entry) = table.entries.get_mut(&serving) {
        entry.leases += 1;
        entry.last_used = now;
    }
    let chosen = waiter.candidates.into_iter().next();
    let instead_of = chosen.zip(waiter.first_failure).map(|(key, (failure, _))| (key, failure));
    effects.push(Effect::Grant { waiter: id, entry: serving, instead_of });
}

fn refuse_as_failed(table: &mut Table, id: WaiterId, now: Moment, effects: &mut Vec<Effect>) {
    let Some(waiter) = table.waiters.remove(&id) else { return };
    let Some(key) = waiter.candidates.into_iter().next() else { return };
    let refusal = match waiter.first_failure {
        Some((failure, retry_at)) => Refusal::Failed {
            key,
            failure,
            retry_after: retry_at.map(|retry_at| retry_at.saturating_sub(now)),
        },
        None => Refusal::Removed { key },
    };
    effects.push(Effect::Refuse { waiter: id, refusal });
}
