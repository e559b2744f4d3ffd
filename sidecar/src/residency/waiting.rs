//! What becomes of waiting requests: granted, sent on to a fallback, refused, or kept waiting.

use std::time::Duration;

use super::budget::Shortage;
use super::entry::State;
use super::event::{Effect, EntryId, FailedAttempt, Moment, Refusal, WaiterId};
use super::failures;
use super::table::{Table, Together, Waiter};
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
pub(super) fn settle_all(table: &mut Table, together: &Together, now: Moment, effects: &mut Vec<Effect>) {
    let waiters: Vec<WaiterId> = table.waiters.keys().copied().collect();
    for waiter in waiters {
        settle(table, together, waiter, now, effects);
    }
}

/// Moves one waiter as far as it gets.
pub(super) fn settle(
    table: &mut Table,
    together: &Together,
    id: WaiterId,
    now: Moment,
    effects: &mut Vec<Effect>,
) {
    step_back(table, id);
    loop {
        let Some(waiter) = table.waiters.get(&id) else { return };
        let Some(key) = waiter.candidates.get(waiter.position).cloned() else {
            return refuse_as_failed(table, id, now, effects);
        };
        match standing(table, waiter, &key, now) {
            Standing::Serve(entry) if table.can_work(entry, together) => {
                return grant(table, id, entry, now, effects);
            }
            Standing::Serve(_) | Standing::Wait => return,
            Standing::Retry(entry) => {
                if let Some(entry) = table.entries.get_mut(&entry) {
                    entry.state = entry.untried();
                }
                return;
            }
            Standing::Failed(entry) => skip(table, id, &key, entry),
            Standing::Removed => {
                table.waiters.remove(&id);
                return effects.push(Effect::Refuse { waiter: id, refusal: Refusal::Removed { key } });
            }
        }
    }
}

/// A candidate that was passed over and is up again goes before its fallbacks.
fn step_back(table: &mut Table, id: WaiterId) {
    let Some(waiter) = table.waiters.get(&id) else { return };
    let passed_over = waiter.candidates.iter().take(waiter.position);
    let is_up = |key: &VersionKey| table.serving(key, waiter.planned_pin_only).is_some();
    let Some(position) = passed_over.clone().position(is_up) else { return };
    if let Some(waiter) = table.waiters.get_mut(&id) {
        waiter.position = position;
        let before = waiter.candidates.get(..position).unwrap_or_default();
        waiter.failed.retain(|(key, _)| before.contains(key));
    }
}

/// Has the version that a waiter waits for loaded, though nobody may wait for it any more.
pub(super) fn call(table: &mut Table, id: WaiterId) {
    let waiter = table.waiters.get(&id);
    let key = waiter.and_then(|waiter| waiter.candidates.get(waiter.position));
    let desired = key.and_then(|key| table.desired.get(key)).copied();
    if let Some(entry) = desired.and_then(|desired| table.entries.get_mut(&desired)) {
        entry.called |= !entry.is_loaded();
    }
}

/// Sends a waiter away because it cannot wait, or not longer. `shortage` is what loads wait for that find no memory,
/// and `memory_in` when it may be there.
pub(super) fn refuse_as_busy(
    table: &mut Table,
    id: WaiterId,
    shortage: Option<&Shortage>,
    memory_in: Option<Duration>,
    effects: &mut Vec<Effect>,
) {
    let Some(waiter) = table.waiters.remove(&id) else { return };
    let awaited = waiter.candidates.get(waiter.position).and_then(|key| {
        let entry = table.entries.get(table.desired.get(key)?)?;
        let failure = failures::not_loaded_yet(entry.reported_state(), shortage, entry.target.task);
        Some(FailedAttempt { key: key.clone(), failure })
    });
    let attempts = attempts(&waiter).chain(awaited).collect();
    if let Some(key) = waiter.candidates.first().cloned() {
        let retry_after = memory_in.unwrap_or(BUSY_RETRY_AFTER);
        effects.push(Effect::Refuse { waiter: id, refusal: Refusal::Busy { key, attempts, retry_after } });
    }
}

fn attempts(waiter: &Waiter) -> impl Iterator<Item = FailedAttempt> {
    waiter
        .failed
        .iter()
        .map(|(key, record)| FailedAttempt { key: key.clone(), failure: record.failure.clone() })
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
fn skip(table: &mut Table, id: WaiterId, key: &VersionKey, failed: Option<EntryId>) {
    let record = failed.and_then(|failed| table.entries.get_mut(&failed)).and_then(|entry| {
        let is_retryable = entry.last_failure.as_ref().is_some_and(|record| record.retry_at.is_some());
        entry.called |= is_retryable;
        entry.last_failure.clone()
    });
    if let Some(waiter) = table.waiters.get_mut(&id) {
        waiter.position += 1;
        waiter.failed.extend(record.map(|record| (key.clone(), record)));
    }
}

fn grant(table: &mut Table, id: WaiterId, serving: EntryId, now: Moment, effects: &mut Vec<Effect>) {
    let Some(waiter) = table.waiters.remove(&id) else { return };
    if let Some(entry) = table.entries.get_mut(&serving) {
        entry.lease(now);
    }
    let chosen = waiter.failed.into_iter().next();
    let instead_of = chosen.map(|(key, record)| (key, record.failure));
    effects.push(Effect::Grant { waiter: id, entry: serving, instead_of });
}

fn refuse_as_failed(table: &mut Table, id: WaiterId, now: Moment, effects: &mut Vec<Effect>) {
    let Some(waiter) = table.waiters.remove(&id) else { return };
    let Some(key) = waiter.candidates.first().cloned() else { return };
    let refusal = if waiter.failed.is_empty() {
        Refusal::Removed { key }
    } else {
        let retries = waiter.failed.iter().filter_map(|(_, record)| record.retry_at);
        let retry_after = retries.min().map(|retry_at| retry_at.saturating_sub(now));
        Refusal::Failed { key, attempts: attempts(&waiter).collect(), retry_after }
    };
    effects.push(Effect::Refuse { waiter: id, refusal });
}
