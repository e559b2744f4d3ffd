//! Small worlds of at most three versions and two clients.

use super::bug::NO_BUG;
use super::explore::{Scenario, TICK, explore, is_soak};
use super::world::{keep, key, preload, retired, target, working};
use crate::target::{Target, VersionKey};

/// So many states of each world are looked at, the nearest first. `make soak` looks at all.
const MOST_STATES: usize = 6_000;

/// Of three versions that are asked for only two fit, and only some two.
pub(super) fn memory() -> Scenario {
    Scenario {
        name: "memory",
        plans: vec![vec![target("a", 40, 1), target("b", 20, 1), target("c", 40, 1)]],
        clients: vec![vec![&["a"], &["c"]], vec![&["b"]]],
        failures: &[],
        machines: &[],
        likely: &[],
    }
}

/// A version, its fallback, and every way to fail.
pub(super) fn failures() -> Scenario {
    Scenario {
        name: "failures",
        plans: vec![vec![target("a", 10, 1), target("b", 10, 1)]],
        clients: vec![vec![&["a", "b"]], vec![&["a"], &["b"]]],
        failures: &[true, false],
        machines: &[],
        likely: &[],
    }
}

/// Preloaded versions whose pins change, come and go.
pub(super) fn pins() -> Scenario {
    Scenario {
        name: "pins",
        plans: vec![
            vec![preload(target("a", 10, 1)), target("b", 10, 1)],
            vec![preload(target("a", 11, 2)), preload(target("b", 10, 1))],
        ],
        clients: vec![vec![&["a"]], vec![&["b"]]],
        failures: &[],
        machines: &[],
        likely: &[],
    }
}

/// A new pin that fails, or not, beside an old one that is lazy.
pub(super) fn failing_pins() -> Scenario {
    Scenario {
        name: "failing pins",
        plans: vec![vec![target("a", 10, 1)], vec![target("a", 11, 2)]],
        clients: vec![vec![&["a"]], vec![&["a"]]],
        failures: &[true, false],
        machines: &[],
        likely: &[],
    }
}

/// A kept version whose next pin does not fit beside it, and another one that wants its memory.
pub(super) fn tight() -> Scenario {
    Scenario {
        name: "tight",
        plans: vec![
            vec![keep(preload(target("a", 50, 1))), target("b", 30, 1)],
            vec![keep(preload(target("a", 51, 2))), target("b", 30, 1)],
        ],
        clients: vec![vec![&["a"]], vec![&["b", "a"]]],
        failures: &[],
        machines: &[],
        likely: &[],
    }
}

/// Preloaded versions of which not all fit.
pub(super) fn crowded() -> Scenario {
    Scenario {
        name: "crowded",
        plans: vec![vec![
            preload(target("a", 40, 1)),
            preload(target("b", 40, 1)),
            preload(target("c", 20, 1)),
        ]],
        clients: vec![vec![&["a"]], vec![&["b"]]],
        failures: &[true],
        machines: &[],
        likely: &[],
    }
}

/// Limits of a model and of a task within the budget, which are lowered and raised, and idle times.
pub(super) fn limits() -> Scenario {
    let target = |model: &str, version: &str, size: u64, limit: Option<u64>| Target {
        key: VersionKey { version: version.parse().unwrap(), ..key(model) },
        model_limit_bytes: limit,
        task_limit_bytes: Some(60),
        ..target(model, size, 1)
    };
    let plan = |limit| {
        let idle_time = Some(2 * TICK);
        vec![
            target("a", "v1", 20, limit),
            Target { idle_time, ..target("b", "v1", 20, None) },
            target("a", "v2", 19, limit),
        ]
    };
    Scenario {
        name: "limits",
        plans: vec![plan(Some(40)), plan(Some(25))],
        clients: vec![vec![&["a"], &["b"]], vec![&["a@v2"]]],
        failures: &[],
        machines: &[],
        likely: &[],
    }
}

/// A machine that has less than the budget says, and then enough again.
pub(super) fn pressure() -> Scenario {
    Scenario {
        name: "pressure",
        plans: vec![vec![target("a", 30, 1), keep(target("b", 20, 1))]],
        clients: vec![vec![&["a"]], vec![&["b", "a"]]],
        failures: &[],
        machines: &[40, 160],
        likely: &[],
    }
}

/// Versions that fit together, of whose jobs not all fit at once, a kept one that may have two, and one more that wants
/// to load.
pub(super) fn jobs() -> Scenario {
    let plan = |instances| {
        vec![
            working(25, keep(Target { instances, ..target("a", 20, 1) })),
            working(30, target("b", 15, 1)),
            working(5, target("c", 15, 1)),
        ]
    };
    Scenario {
        name: "jobs",
        plans: vec![plan(2), plan(1)],
        clients: vec![vec![&["a"], &["c"]], vec![&["a"], &["b"]]],
        failures: &[],
        machines: &[],
        likely: &[],
    }
}

/// A version that goes to another pin and back, with a history that is there, shorter, and gone.
pub(super) fn history() -> Scenario {
    let (first, second) = (target("a", 20, 1), target("a", 21, 2));
    Scenario {
        name: "history",
        plans: vec![
            vec![first.clone(), retired(second.clone())],
            vec![second.clone(), retired(first)],
            vec![second],
        ],
        clients: vec![vec![&["a"], &["a at 1"]], vec![&["a at 2"]]],
        failures: &[],
        machines: &[],
        likely: &[],
    }
}

/// Versions that are loaded before anybody asks for them, and that do not all fit.
pub(super) fn predictions() -> Scenario {
    Scenario {
        name: "predictions",
        plans: vec![vec![target("a", 20, 1), target("b", 20, 1), target("c", 30, 1)]],
        clients: vec![vec![&["a"]], vec![&["b"], &["c"]]],
        failures: &[],
        machines: &[],
        likely: &[&["c"], &["b", "c"]],
    }
}

/// The same beside what is kept, and with pins that change.
pub(super) fn predictions_beside_a_kept_one() -> Scenario {
    let plan = |size, pin| vec![keep(target("a", size, pin)), target("c", 30, 1)];
    Scenario {
        name: "predictions beside a kept one",
        plans: vec![plan(20, 1), plan(21, 2)],
        clients: vec![vec![&["a"]], vec![&["c"]]],
        failures: &[],
        machines: &[],
        likely: &[&["a", "c"], &["c"]],
    }
}

/// The same beside what is preloaded, with less memory than the budget says.
pub(super) fn predictions_beside_a_preloaded_one() -> Scenario {
    Scenario {
        name: "predictions beside a preloaded one",
        plans: vec![vec![preload(target("a", 20, 1)), target("b", 20, 1), target("c", 30, 1)]],
        clients: vec![vec![&["a"], &["b"]], vec![&["c"]]],
        failures: &[],
        machines: &[70],
        likely: &[&["c"]],
    }
}

/// A kept version whose older pin does not fit beside the next one.
pub(super) fn tight_history() -> Scenario {
    let (first, second) = (keep(preload(target("a", 45, 1))), keep(preload(target("a", 46, 2))));
    Scenario {
        name: "tight history",
        plans: vec![vec![first.clone()], vec![second, retired(first)]],
        clients: vec![vec![&["a"]], vec![&["a at 1"]]],
        failures: &[],
        machines: &[],
        likely: &[],
    }
}

fn holds_everywhere(scenario: &Scenario) {
    let is_soak = is_soak();
    let explored = explore(scenario, NO_BUG, if is_soak { usize::MAX } else { MOST_STATES });
    println!("{}: {} states, complete: {}", scenario.name, explored.states, explored.is_complete);
    if let Some((broken, way)) = explored.broken {
        panic!("{}: {broken}, after {way:?}", scenario.name);
    }
    assert!(explored.is_complete || !is_soak);
}

#[test]
fn loads_that_nobody_has_asked_for_yet() {
    holds_everywhere(&predictions());
}

#[test]
fn loads_that_nobody_has_asked_for_beside_a_kept_version() {
    holds_everywhere(&predictions_beside_a_kept_one());
}

#[test]
fn loads_that_nobody_has_asked_for_beside_a_preloaded_version() {
    holds_everywhere(&predictions_beside_a_preloaded_one());
}

#[test]
fn memory_for_two_of_three() {
    holds_everywhere(&memory());
}

#[test]
fn a_version_and_its_fallback_that_fail_in_every_way() {
    holds_everywhere(&failures());
}

#[test]
fn pins_that_change_come_and_go() {
    holds_everywhere(&pins());
}

#[test]
fn new_pins_that_fail() {
    holds_everywhere(&failing_pins());
}

#[test]
fn pins_that_retire_and_come_back() {
    holds_everywhere(&history());
}

#[test]
fn an_older_pin_that_does_not_fit_beside_the_next_one() {
    holds_everywhere(&tight_history());
}

#[test]
fn a_kept_version_that_cannot_be_replaced_beside_itself() {
    holds_everywhere(&tight());
}

#[test]
fn more_to_preload_than_fits() {
    holds_everywhere(&crowded());
}

#[test]
fn limits_within_the_budget() {
    holds_everywhere(&limits());
}

#[test]
fn jobs_that_do_not_fit_at_once() {
    holds_everywhere(&jobs());
}

#[test]
fn a_machine_that_has_less_than_the_budget_says() {
    holds_everywhere(&pressure());
}
