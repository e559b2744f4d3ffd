//! Bugs that are put into the state machine on purpose, each of which the exploration must find: it shows that the
//! promises are checked and not only written down.

use std::time::Duration;

use ostler_crds::names::LoadPolicy;

use super::super::entry::State;
use super::super::{AheadBounds, Effect, Event, Residency};
use super::bug::{Bug, NO_BUG};
use super::explore::{Scenario, explore};
use super::scenarios::{
    crowded, failures, history, jobs, limits, memory, pins, predictions, pressure, tight,
};
use super::world::{BUDGET, footprint};

/// Each is found long before, in the world that is named beside it.
const MOST_STATES: usize = 20_000;

/// Changes every state that matches.
fn restate(residency: &mut Residency, change: impl Fn(State) -> State) {
    for entry in residency.machine.table.entries.values_mut() {
        entry.state = change(entry.state);
    }
}

fn bugs() -> Vec<(fn() -> Scenario, Bug)> {
    vec![
        (
            memory,
            Bug {
                name: "bytes being freed do not count",
                after: |residency, _| {
                    restate(residency, |state| match state {
                        State::Freeing { .. } => State::Freeing { bytes: 0 },
                        state => state,
                    });
                },
                ..NO_BUG
            },
        ),
        (
            memory,
            Bug {
                name: "a load reserves no transient",
                after: |residency, _| {
                    for entry in residency.machine.table.entries.values_mut() {
                        let held = footprint(&entry.target).resident_bytes;
                        if let State::Loading { bytes, .. } = &mut entry.state {
                            *bytes = held;
                        }
                    }
                },
                ..NO_BUG
            },
        ),
        (
            memory,
            Bug {
                name: "a lease is not counted",
                after: |residency, effects| {
                    for effect in effects {
                        if let Effect::Grant { entry, .. } = effect
                            && let Some(entry) = residency.machine.table.entries.get_mut(entry)
                        {
                            entry.leases = 0;
                        }
                    }
                },
                ..NO_BUG
            },
        ),
        (
            memory,
            Bug {
                name: "a lease that is given back is not noticed",
                before: |_, event| (!matches!(event, Event::Released { .. })).then_some(event),
                ..NO_BUG
            },
        ),
        (
            memory,
            Bug {
                name: "nobody remembers that memory is short",
                after: |residency, _| residency.machine.shortage = None,
                ..NO_BUG
            },
        ),
        (
            tight,
            Bug {
                name: "a kept version is like any other",
                before: |residency, event| {
                    residency.machine.table.entries.values_mut().for_each(|entry| entry.target.keep = false);
                    Some(event)
                },
                ..NO_BUG
            },
        ),
        (
            crowded,
            Bug {
                name: "preloaded versions push each other out",
                before: |residency, event| {
                    let entries = residency.machine.table.entries.values_mut();
                    entries.for_each(|entry| entry.target.load = LoadPolicy::Lazy);
                    Some(event)
                },
                ..NO_BUG
            },
        ),
        (
            memory,
            Bug {
                name: "a version may be evicted as soon as it is loaded",
                before: |residency, event| {
                    let entries = residency.machine.table.entries.values_mut();
                    entries.for_each(|entry| entry.stays_until = Duration::ZERO);
                    Some(event)
                },
                ..NO_BUG
            },
        ),
        (
            limits,
            Bug {
                name: "the limits within the budget are forgotten",
                before: |residency, event| {
                    for entry in residency.machine.table.entries.values_mut() {
                        (entry.target.model_limit_bytes, entry.target.task_limit_bytes) = (None, None);
                    }
                    Some(event)
                },
                ..NO_BUG
            },
        ),
        (
            limits,
            Bug {
                name: "idle versions are unloaded too soon",
                before: |residency, event| {
                    let entries = residency.machine.table.entries.values_mut();
                    entries.for_each(|entry| entry.last_used = Duration::ZERO);
                    Some(event)
                },
                ..NO_BUG
            },
        ),
        (
            pressure,
            Bug {
                name: "what the system says of memory is not believed",
                after: |residency, _| residency.machine.real = None,
                ..NO_BUG
            },
        ),
        (
            predictions,
            Bug {
                name: "what nobody has asked for stays as long as what somebody has used",
                before: |residency, event| {
                    residency.machine.table.entries.values_mut().for_each(|entry| entry.ahead = false);
                    Some(event)
                },
                ..NO_BUG
            },
        ),
        (
            predictions,
            Bug {
                name: "what was used lately goes for what nobody has asked for",
                before: |residency, event| {
                    residency.machine.settings.idle_time = Duration::ZERO;
                    Some(event)
                },
                ..NO_BUG
            },
        ),
        (
            predictions,
            Bug {
                name: "loads that nobody has asked for take all of the memory",
                before: |residency, event| {
                    let is_anticipated = matches!(event, Event::Anticipated { .. });
                    residency.machine.settings.budget.evict_above_percent =
                        if is_anticipated { 100 } else { BUDGET.evict_above_percent };
                    Some(event)
                },
                ..NO_BUG
            },
        ),
        (
            predictions,
            Bug {
                name: "the bounds of what nobody has asked for are forgotten",
                before: |_, event| match event {
                    Event::Anticipated { likely, .. } => {
                        let bounds = AheadBounds { max_versions: usize::MAX, max_bytes: u64::MAX };
                        Some(Event::Anticipated { likely, bounds })
                    }
                    event => Some(event),
                },
                ..NO_BUG
            },
        ),
        (
            predictions,
            Bug {
                name: "what is likely goes for what is likely",
                before: |_, event| match event {
                    Event::Anticipated { mut likely, bounds } => {
                        likely.reverse();
                        likely.truncate(1);
                        Some(Event::Anticipated { likely, bounds })
                    }
                    event => Some(event),
                },
                ..NO_BUG
            },
        ),
        (
            failures,
            Bug {
                name: "only the first who waits is answered",
                after: |_, effects| {
                    let mut grants = 0;
                    effects.retain(|effect| {
                        grants += usize::from(matches!(effect, Effect::Grant { .. }));
                        grants < 2 || !matches!(effect, Effect::Grant { .. })
                    });
                },
                ..NO_BUG
            },
        ),
        (
            memory,
            Bug {
                name: "who has gone away still waits",
                before: |_, event| (!matches!(event, Event::Cancelled { .. })).then_some(event),
                ..NO_BUG
            },
        ),
        (
            failures,
            Bug {
                name: "a wait has no end",
                after: |residency, _| {
                    residency
                        .machine
                        .table
                        .waiters
                        .values_mut()
                        .for_each(|waiter| waiter.deadline = Duration::MAX);
                },
                ..NO_BUG
            },
        ),
        (
            failures,
            Bug {
                name: "fallbacks are not tried",
                before: |_, event| match event {
                    Event::Wanted { waiter, mut candidates, planned_pin_only } => {
                        candidates.truncate(1);
                        Some(Event::Wanted { waiter, candidates, planned_pin_only })
                    }
                    event => Some(event),
                },
                ..NO_BUG
            },
        ),
        (
            memory,
            Bug {
                name: "the answer to an older attempt is believed",
                before: |residency, event| match event {
                    Event::Prepared { entry, attempt, footprint } => {
                        let current = residency.machine.table.entries.get(&entry).map(|entry| entry.state);
                        let attempt = match current {
                            Some(State::Preparing { attempt }) => attempt,
                            _ => attempt,
                        };
                        Some(Event::Prepared { entry, attempt, footprint })
                    }
                    event => Some(event),
                },
                ..NO_BUG
            },
        ),
        (
            failures,
            Bug {
                name: "a failure does not rest",
                before: |residency, event| {
                    restate(residency, |state| match state {
                        State::Failed { retry_at: Some(_) } => {
                            State::Failed { retry_at: Some(Duration::ZERO) }
                        }
                        state => state,
                    });
                    Some(event)
                },
                ..NO_BUG
            },
        ),
        (
            failures,
            Bug {
                name: "what failed for good is tried again",
                after: |residency, _| {
                    restate(residency, |state| match state {
                        State::Failed { retry_at: None } => State::Failed { retry_at: Some(Duration::ZERO) },
                        state => state,
                    });
                },
                ..NO_BUG
            },
        ),
        (
            failures,
            Bug {
                name: "what may heal is never tried again",
                after: |residency, _| {
                    restate(residency, |state| match state {
                        State::Failed { .. } => State::Failed { retry_at: None },
                        state => state,
                    });
                },
                ..NO_BUG
            },
        ),
        (memory, Bug { name: "nobody is woken", wake: |_| None, ..NO_BUG }),
        (
            jobs,
            Bug {
                name: "a running job takes no working memory",
                after: |residency, _| {
                    residency.machine.table.entries.values_mut().for_each(|entry| entry.jobs = 0);
                },
                ..NO_BUG
            },
        ),
        (
            jobs,
            Bug {
                name: "only the first lease is given its working memory",
                after: |residency, _| {
                    let entries = residency.machine.table.entries.values_mut();
                    entries.for_each(|entry| entry.jobs = entry.jobs.min(1));
                },
                ..NO_BUG
            },
        ),
        (
            jobs,
            Bug {
                name: "working memory stays reserved when its job has ended",
                after: |residency, _| {
                    let entries = residency.machine.table.entries.values_mut();
                    let loaded = entries.filter(|entry| entry.is_loaded());
                    loaded.for_each(|entry| entry.jobs = entry.jobs.max(1));
                },
                ..NO_BUG
            },
        ),
        (
            pins,
            Bug {
                name: "an old pin goes before the new one is there",
                after: |residency, effects| {
                    let table = &mut residency.machine.table;
                    for (id, entry) in &mut table.entries {
                        if let State::Loaded { bytes, .. } = entry.state
                            && !entry.in_plan
                            && entry.leases == 0
                        {
                            entry.state = State::Freeing { bytes };
                            effects.push(Effect::Unload { entry: *id });
                        }
                    }
                },
                ..NO_BUG
            },
        ),
        (
            history,
            Bug {
                name: "a pin of the history answers for the present one",
                before: |residency, event| {
                    let table = &mut residency.machine.table;
                    let loaded = table.entries.iter().filter(|(_, entry)| entry.is_loaded());
                    let retired = loaded.filter(|(_, entry)| entry.target.key.retired.is_some());
                    table.retired.extend(retired.map(|(id, _)| *id));
                    Some(event)
                },
                ..NO_BUG
            },
        ),
        (
            history,
            Bug {
                name: "a pin that retires is forgotten before the next one is there",
                after: |residency, _| residency.machine.table.retired.clear(),
                ..NO_BUG
            },
        ),
        (
            memory,
            Bug {
                name: "a load is started for each who asks",
                after: |residency, _| {
                    restate(residency, |state| match state {
                        State::Loading { .. } => State::Cached,
                        state => state,
                    });
                },
                ..NO_BUG
            },
        ),
    ]
}

#[test]
fn every_seeded_bug_is_found() {
    for (world, bug) in bugs() {
        let scenario = world();
        let explored = explore(&scenario, bug, MOST_STATES);
        let found = explored.broken.map(|(broken, way)| format!("after {} steps: {broken}", way.len()));
        println!("{} ({}): {found:?}", bug.name, scenario.name);
        assert!(found.is_some(), "in the world {:?} nobody noticed that {}", scenario.name, bug.name);
    }
}
