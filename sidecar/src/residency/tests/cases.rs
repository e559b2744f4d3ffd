use std::time::Duration;

use ostler_crds::status::{FailureLocation, VersionState};

use super::super::{AheadBounds, Refusal, Settings};
use super::world::{Answer, BUDGET, World, failure, keep, key, preload, retired, target, working};
use crate::target::Target;

fn state(world: &World, model: &str) -> VersionState {
    let views = world.residency.views();
    views.iter().find(|view| view.target.key == key(model)).map(|view| view.state).unwrap()
}

#[test]
fn one_load_serves_everybody_who_waits() {
    let mut world = World::with_plan(vec![target("a", 10, 1)]);
    let waiters = [world.want(&["a"]), world.want(&["a"]), world.want(&["a"])];
    assert_eq!(world.preparing.len(), 1);
    world.settle();
    for waiter in waiters {
        assert_eq!(world.answers[&waiter], Answer::Granted(world.entry("a"), None));
    }
    assert_eq!(world.leases.len(), 3);
}

#[test]
fn nothing_lazy_is_loaded_before_it_is_asked_for_and_the_pod_is_ready_at_once() {
    let world = World::with_plan(vec![target("a", 10, 1)]);
    assert!(world.preparing.is_empty());
    assert!(world.residency.is_ready());
}

#[test]
fn preloading_goes_in_order_and_readiness_latches() {
    let plan = vec![preload(target("a", 10, 1)), preload(target("b", 10, 1))];
    let mut world = World::with_plan(plan.clone());
    let (a, b) = (world.entry("a"), world.entry("b"));
    world.finish_prepare(b, Ok(()));
    assert!(world.loading.is_empty(), "b must wait for its turn");
    world.finish_prepare(a, Ok(()));
    world.finish_load(a, Ok(()));
    assert!(!world.residency.is_ready());
    world.finish_load(b, Ok(()));
    assert!(world.residency.is_ready());
    world.apply([plan, vec![preload(target("c", 10, 1))]].concat());
    assert!(world.residency.is_ready(), "a later plan does not take readiness away");
}

#[test]
fn preloading_is_parallel_where_memory_allows_and_in_order_where_it_does_not() {
    let plan = ["a", "b", "c"].map(|model| preload(target(model, 20, 1)));
    let mut world = World::with_plan(plan.to_vec());
    for model in ["c", "b", "a"] {
        world.finish_prepare(world.entry(model), Ok(()));
    }
    let loading = |world: &World| world.loading.keys().copied().collect::<Vec<_>>();
    let (a, b, c) = (world.entry("a"), world.entry("b"), world.entry("c"));
    assert_eq!(loading(&world), [a, b], "two at once, the most urgent first");
    world.finish_load(b, Ok(()));
    assert_eq!(loading(&world), [a, c]);
    // The two that are loaded, or loading, leave less than the third takes while it is loaded; but not for long.
    let plan = [preload(target("a", 40, 1)), preload(target("b", 34, 1)), preload(target("c", 8, 1))];
    let mut world = World::with_plan(plan.to_vec());
    for model in ["c", "b", "a"] {
        world.finish_prepare(world.entry(model), Ok(()));
    }
    let (a, b, c) = (world.entry("a"), world.entry("b"), world.entry("c"));
    assert_eq!(loading(&world), [a], "c would fit, and waits for its turn");
    assert_eq!(state(&world, "b"), VersionState::Cached, "it has not failed");
    world.finish_load(a, Ok(()));
    assert_eq!(loading(&world), [b]);
    world.finish_load(b, Ok(()));
    assert_eq!(loading(&world), [c]);
    world.finish_load(c, Ok(()));
    assert!(world.residency.is_ready());
}

#[test]
fn the_last_waiter_that_goes_away_stops_the_transfer_but_not_before() {
    let mut world = World::with_plan(vec![target("a", 10, 1)]);
    let (first, second) = (world.want(&["a"]), world.want(&["a"]));
    world.cancel(first);
    assert_eq!(world.preparing.len(), 1);
    world.cancel(second);
    assert!(world.preparing.is_empty());
    assert_eq!(state(&world, "a"), VersionState::Remote);
}

#[test]
fn a_load_that_nobody_wants_any_more_is_let_go_when_it_ends() {
    let mut world = World::with_plan(vec![target("a", 10, 1)]);
    let waiter = world.want(&["a"]);
    world.finish_prepare(world.entry("a"), Ok(()));
    world.cancel(waiter);
    world.settle();
    assert_eq!((world.bytes_in_use(), state(&world, "a")), (0, VersionState::Cached));
}

#[test]
fn a_failed_version_falls_back_in_order_and_says_why() {
    let mut world = World::with_plan(vec![target("a", 10, 1), target("b", 10, 1), target("c", 10, 1)]);
    let waiter = world.want(&["a", "b", "c"]);
    world.finish_prepare(world.entry("a"), Err(failure(false)));
    world.finish_prepare(world.entry("b"), Err(failure(false)));
    world.settle();
    assert_eq!(world.answers[&waiter], Answer::Granted(world.entry("c"), Some(key("a"))));
}

#[test]
fn without_a_fallback_the_failure_is_told_with_the_time_of_the_next_try() {
    let mut world = World::with_plan(vec![target("a", 10, 1)]);
    let waiter = world.want(&["a"]);
    world.finish_prepare(world.entry("a"), Err(failure(true)));
    let Answer::Refused(Refusal::Failed { retry_after: Some(rest), .. }) = world.answers[&waiter].clone()
    else {
        panic!("{:?}", world.answers)
    };
    let early = world.want(&["a"]);
    assert!(matches!(world.answers[&early], Answer::Refused(Refusal::Failed { .. })), "it rests");
    world.pass(rest);
    let late = world.want(&["a"]);
    world.settle();
    assert!(matches!(world.answers[&late], Answer::Granted(_, None)));
}

#[test]
fn a_retried_version_is_not_waited_for_while_a_fallback_is_up() {
    let mut world = World::with_plan(vec![target("a", 10, 1), target("b", 10, 1)]);
    let first = world.want(&["a", "b"]);
    world.finish_prepare(world.entry("a"), Err(failure(true)));
    world.settle();
    assert!(matches!(world.answers[&first], Answer::Granted(_, Some(_))));
    world.pass(Duration::from_secs(600));
    let second = world.want(&["a", "b"]);
    assert!(matches!(world.answers[&second], Answer::Granted(_, Some(_))), "the fallback answers at once");
    assert!(!world.preparing.is_empty(), "and the chosen one is tried again behind it");
    world.settle();
    let third = world.want(&["a", "b"]);
    assert_eq!(world.answers[&third], Answer::Granted(world.entry("a"), None));
}

#[test]
fn a_terminal_failure_waits_for_another_plan() {
    let mut world = World::with_plan(vec![preload(target("a", 10, 1))]);
    world.finish_prepare(world.entry("a"), Err(failure(false)));
    world.pass(Duration::from_secs(3600));
    assert_eq!(state(&world, "a"), VersionState::FailedToLoad);
    assert!(!world.residency.is_ready());
    world.apply(vec![preload(target("a", 10, 2))]);
    world.settle();
    assert!(world.residency.is_ready());
}

#[test]
fn a_new_pin_is_proved_beside_the_old_one_which_answers_until_then() {
    let mut world = World::with_plan(vec![preload(target("a", 20, 1))]);
    world.settle();
    let old = world.entry("a");
    world.apply(vec![preload(target("a", 21, 2))]);
    let new = world.entry("a");
    let during = world.want(&["a"]);
    assert_eq!(world.answers[&during], Answer::Granted(old, None));
    world.finish_prepare(new, Ok(()));
    world.finish_load(new, Ok(()));
    assert!(world.loaded.contains_key(&old), "it is leased");
    let after = world.want(&["a"]);
    assert_eq!(world.answers[&after], Answer::Granted(new, None));
    world.release(old);
    world.settle();
    assert!(!world.loaded.contains_key(&old));
}

#[test]
fn a_pin_that_retired_is_loaded_for_whoever_asks_for_it_beside_the_present_one() {
    let mut world = World::with_plan(vec![target("a", 20, 2), retired(target("a", 21, 1))]);
    let (present, old) = (world.want(&["a"]), world.want(&["a at 1"]));
    world.settle();
    assert_eq!(world.answers[&present], Answer::Granted(world.entry("a"), None));
    assert_eq!(world.answers[&old], Answer::Granted(world.entry("a at 1"), None));
    assert_ne!(world.entry("a"), world.entry("a at 1"));
}

#[test]
fn a_pin_that_retires_stays_loaded_answers_until_the_next_one_is_proved_and_is_then_only_itself() {
    let mut world = World::with_plan(vec![target("a", 20, 1)]);
    world.want(&["a"]);
    world.settle();
    let old = world.entry("a");
    world.apply(vec![target("a", 21, 2), retired(target("a", 20, 1))]);
    assert_eq!(world.entry("a at 1"), old, "its weights are not loaded again");
    let (during, by_commit) = (world.want(&["a"]), world.want(&["a at 1"]));
    for waiter in [during, by_commit] {
        assert_eq!(world.answers[&waiter], Answer::Granted(old, None));
    }
    world.settle();
    let after = world.want(&["a"]);
    assert_eq!(world.answers[&after], Answer::Granted(world.entry("a"), None));
    while let Some(entry) = world.leases.last().copied() {
        world.release(entry);
    }
    assert!(world.is_loaded("a at 1"), "nobody needs its memory");
    // Back to the old one: it is there already.
    world.apply(vec![target("a", 20, 1), retired(target("a", 21, 2))]);
    assert_eq!(world.entry("a"), old);
    let back = world.want(&["a"]);
    assert_eq!(world.answers[&back], Answer::Granted(old, None));
}

#[test]
fn a_pin_that_retired_is_loaded_by_nobody_else_and_leaves_with_the_history() {
    let plan = vec![preload(target("a", 20, 2)), retired(target("a", 21, 1))];
    let mut world = World::with_plan(plan.clone());
    world.settle();
    assert!(world.residency.is_ready() && !world.is_loaded("a at 1"));
    world.apply(plan);
    world.settle();
    assert!(!world.is_loaded("a at 1"), "another plan is no reason");
    let waiter = world.want(&["a at 1"]);
    world.settle();
    let Answer::Granted(old, _) = world.answers[&waiter] else { panic!("{:?}", world.answers) };
    world.apply(vec![preload(target("a", 20, 2))]);
    let gone = world.want(&["a at 1"]);
    assert_eq!(world.answers[&gone], Answer::Refused(Refusal::Removed { key: key("a at 1") }));
    assert!(world.loaded.contains_key(&old), "it is leased");
    world.release(old);
    world.settle();
    assert!(!world.loaded.contains_key(&old));
}

#[test]
fn a_new_pin_that_is_broken_leaves_the_old_one_serving() {
    let mut world = World::with_plan(vec![preload(target("a", 20, 1))]);
    world.settle();
    let old = world.entry("a");
    world.apply(vec![preload(target("a", 20, 2))]);
    world.finish_prepare(world.entry("a"), Ok(()));
    world.finish_load(world.entry("a"), Err(failure(false)));
    let waiter = world.want(&["a"]);
    assert_eq!(world.answers[&waiter], Answer::Granted(old, None));
}

#[test]
fn a_new_pin_that_does_not_fit_beside_the_old_one_replaces_it_once_it_is_idle() {
    let mut world = World::with_plan(vec![keep(preload(target("a", 50, 1)))]);
    world.settle();
    let (old, lease) = (world.entry("a"), world.want(&["a"]));
    world.apply(vec![keep(preload(target("a", 50, 2)))]);
    world.settle();
    assert!(world.loaded.contains_key(&old), "it is in use");
    assert!(matches!(world.answers[&lease], Answer::Granted(..)));
    world.release(old);
    world.settle();
    assert!(world.is_loaded("a") && !world.loaded.contains_key(&old));
}

#[test]
fn a_removed_version_goes_and_its_waiters_are_told() {
    let mut world = World::with_plan(vec![target("a", 10, 1), target("b", 10, 1)]);
    let served = world.want(&["a"]);
    world.settle();
    let entry = world.entry("a");
    assert!(matches!(world.answers[&served], Answer::Granted(..)));
    let waiter = world.want(&["b"]);
    world.apply(vec![]);
    assert_eq!(world.answers[&waiter], Answer::Refused(Refusal::Removed { key: key("b") }));
    assert!(world.loaded.contains_key(&entry), "it is leased");
    world.release(entry);
    world.settle();
    assert!(world.loaded.is_empty());
}

/// Row 22.
#[test]
fn row_22_larger_than_the_budget_is_refused_before_a_byte_is_read() {
    let mut world = World::with_plan(vec![target("a", 100, 1)]);
    let waiter = world.want(&["a"]);
    world.settle();
    let Answer::Refused(Refusal::Failed { attempts, retry_after: None, .. }) = &world.answers[&waiter] else {
        panic!("{:?}", world.answers)
    };
    assert_eq!(attempts[0].failure.reason, "TooLarge");
    assert!(world.loading.is_empty());
}

#[test]
fn all_kept_and_full_is_a_clear_failure() {
    let mut world = World::with_plan(vec![keep(preload(target("a", 50, 1))), target("b", 40, 1)]);
    world.settle();
    let waiter = world.want(&["b"]);
    world.settle();
    let Answer::Refused(Refusal::Failed { attempts, .. }) = &world.answers[&waiter] else {
        panic!("{:?}", world.answers)
    };
    assert_eq!(attempts[0].failure.reason, "BudgetFull");
    assert!(attempts[0].failure.message.contains("leave 49 of the 100 bytes of memory.host"));
    assert!(world.is_loaded("a"));
}

/// Row 26.
#[test]
fn row_26_the_least_recently_used_is_evicted_but_not_before_its_minimum_residency() {
    let mut world = World::with_plan(vec![target("a", 5, 1), target("b", 40, 1), target("c", 40, 1)]);
    for model in ["a", "b"] {
        world.want(&[model]);
        world.settle();
        world.pass(Duration::from_secs(1));
    }
    for model in ["b", "a"] {
        world.release(world.entry(model));
        world.pass(Duration::from_secs(1));
    }
    let early = world.want(&["c"]);
    world.settle();
    assert!(world.waiting.contains_key(&early), "both were loaded just now");
    world.cancel(early);
    world.pass(Duration::from_secs(10));
    let waiter = world.want(&["c"]);
    world.settle();
    assert!(matches!(world.answers[&waiter], Answer::Granted(..)));
    assert!(world.is_loaded("a") && !world.is_loaded("b"));
}

#[test]
fn too_many_waiters_and_too_long_a_wait_are_sent_away_while_the_load_goes_on() {
    let mut world = World::with_plan(vec![target("a", 10, 1)]);
    let waiters: Vec<_> = (0..9).map(|_| world.want(&["a"])).collect();
    assert!(matches!(world.answers[&waiters[8]], Answer::Refused(Refusal::Busy { .. })));
    world.pass(Duration::from_secs(120));
    assert!(matches!(world.answers[&waiters[0]], Answer::Refused(Refusal::Busy { .. })));
    world.settle();
    assert!(world.is_loaded("a"));
}

#[test]
fn instances_follow_the_plan_and_working_memory_follows_the_leases() {
    let with = |instances: u32| vec![preload(Target { instances, ..target("a", 40, 1) })];
    let mut world = World::with_plan(with(1));
    world.settle();
    let reserved = |world: &World| world.residency.reserved_bytes();
    assert_eq!(reserved(&world), 41, "one job has its room in any case");
    for bytes in [41, 41] {
        world.want(&["a"]);
        assert_eq!(reserved(&world), bytes, "the second request waits for the instance");
    }
    world.apply(with(3));
    world.want(&["a"]);
    world.want(&["a"]);
    assert_eq!((world.leases.len(), reserved(&world)), (4, 43));
    world.apply(with(1));
    assert_eq!(reserved(&world), 43, "whoever works goes on");
    for bytes in [43, 42, 41] {
        world.release(world.entry("a"));
        assert_eq!(reserved(&world), bytes);
    }
}

#[test]
fn a_job_that_finds_no_working_memory_waits_for_others_and_then_evicts_who_is_idle() {
    let plan = vec![
        working(20, preload(target("a", 25, 1))),
        working(20, preload(target("b", 15, 1))),
        preload(target("c", 25, 1)),
    ];
    let mut world = World::with_plan(plan);
    world.settle();
    assert_eq!(world.loaded.len(), 3);
    world.pass(Duration::from_secs(60));
    let first = world.want(&["a"]);
    assert!(matches!(world.answers[&first], Answer::Granted(..)));
    // 65 bytes of weights and 20 of work: another 20 do not fit.
    let second = world.want(&["b"]);
    world.pass_as_asked(Duration::from_millis(900));
    assert!(world.waiting.contains_key(&second) && world.loaded.len() == 3, "others' jobs may end soon");
    world.release(world.entry("a"));
    assert!(matches!(world.answers[&second], Answer::Granted(..)));
    let third = world.want(&["a"]);
    world.pass_as_asked(Duration::from_secs(1));
    world.settle();
    assert!(matches!(world.answers[&third], Answer::Granted(..)));
    assert!(!world.is_loaded("c") && world.is_loaded("a") && world.is_loaded("b"));
}

#[test]
fn a_job_that_no_eviction_helps_is_told_that_memory_is_in_use() {
    let job = |model: &str| working(25, keep(preload(target(model, 10, 1))));
    let mut world = World::with_plan(vec![job("a"), job("b"), job("c")]);
    world.settle();
    world.want(&["a"]);
    world.want(&["b"]);
    let third = world.want(&["c"]);
    world.pass(Duration::from_secs(120));
    let Answer::Refused(Refusal::Busy { attempts, .. }) = &world.answers[&third] else {
        panic!("{:?}", world.answers)
    };
    let failure = &attempts[0].failure;
    assert_eq!((failure.location, failure.reason.as_str()), (FailureLocation::Memory, "MemoryInUse"));
    assert!(failure.message.contains("working memory"), "{}", failure.message);
}

#[test]
fn a_source_without_a_commit_fails_unasked_and_the_old_pin_serves_on() {
    let mut world = World::with_plan(vec![target("a", 10, 1)]);
    world.want(&["a"]);
    world.settle();
    let old = world.entry("a");
    let unpinned =
        Target { commit: None, unpinned: Some("the Hub is away".to_owned()), ..target("a", 10, 1) };
    world.apply(vec![unpinned.clone(), Target { key: key("b"), ..unpinned }]);
    let views = world.residency.views();
    let messages: Vec<&str> =
        views.iter().map(|view| view.last_failure.unwrap().failure.message.as_str()).collect();
    assert_eq!(messages, ["the Hub is away", "the Hub is away"]);
    let waiter = world.want(&["a"]);
    assert_eq!(world.answers[&waiter], Answer::Granted(old, None));
}

#[test]
fn a_version_that_nobody_uses_is_unloaded_after_its_idle_time_kept_or_not() {
    let idle_time = Some(Duration::from_secs(60));
    let mut world = World::with_plan(vec![keep(Target { idle_time, ..target("a", 10, 1) })]);
    let first = world.want(&["a"]);
    world.settle();
    assert!(matches!(world.answers[&first], Answer::Granted(..)));
    world.pass_as_asked(Duration::from_secs(600));
    assert!(world.is_loaded("a"), "it is in use");
    world.release(world.entry("a"));
    world.pass_as_asked(Duration::from_secs(59));
    assert!(world.is_loaded("a"));
    world.pass_as_asked(Duration::from_secs(1));
    world.settle();
    assert_eq!((world.bytes_in_use(), state(&world, "a")), (0, VersionState::Cached));
    assert_eq!(world.residency.next_wake(world.now), None);
}

#[test]
fn a_limit_that_is_lowered_under_what_is_loaded_is_kept_at_once() {
    let with = |limit| {
        let limited = |model: &str| Target { task_limit_bytes: Some(limit), ..target(model, 20, 1) };
        vec![limited("a"), limited("b")]
    };
    let mut world = World::with_plan(with(60));
    for model in ["a", "b"] {
        world.want(&[model]);
        world.settle();
        world.pass(Duration::from_secs(1));
        world.release(world.entry(model));
    }
    world.apply(with(30));
    world.settle();
    assert!(!world.is_loaded("a") && world.is_loaded("b"), "the least recently used goes");
}

/// Row 22.
#[test]
fn row_22_larger_than_its_models_limit_names_the_limit() {
    let limited = Target { model_limit_bytes: Some(15), ..target("a", 10, 1) };
    let mut world = World::with_plan(vec![limited]);
    let waiter = world.want(&["a"]);
    world.settle();
    let Answer::Refused(Refusal::Failed { attempts, retry_after: None, .. }) = &world.answers[&waiter] else {
        panic!("{:?}", world.answers)
    };
    let failure = &attempts[0].failure;
    assert_eq!(failure.reason, "TooLarge");
    assert!(failure.message.contains("takes 16 bytes") && failure.message.contains("memoryLimit, 15 bytes"));
}

/// Row 23.
#[test]
fn row_23_a_load_that_would_not_fit_into_what_is_really_free_is_refused_and_tried_again() {
    let mut world = World::with_plan(vec![target("a", 40, 1)]);
    world.machine_bytes = 48;
    world.measure();
    let waiter = world.want(&["a"]);
    world.settle();
    let Answer::Refused(Refusal::Failed { attempts, retry_after: Some(rest), .. }) =
        world.answers[&waiter].clone()
    else {
        panic!("{:?}", world.answers)
    };
    let failure = &attempts[0].failure;
    assert_eq!((failure.location, failure.reason.as_str()), (FailureLocation::Memory, "NotEnoughFree"));
    assert!(failure.message.contains("takes 61 bytes, but 45 bytes are really free"), "{}", failure.message);
    assert!(failure.message.contains("limit of 48 bytes"), "{}", failure.message);
    world.machine_bytes = 1000;
    world.measure();
    world.pass(rest);
    let again = world.want(&["a"]);
    world.settle();
    assert!(matches!(world.answers[&again], Answer::Granted(..)));
}

#[test]
fn under_pressure_idle_versions_leave_early_and_used_and_kept_ones_stay() {
    let plan = vec![target("a", 20, 1), keep(target("b", 20, 1)), target("c", 20, 1)];
    let mut world = World::with_plan(plan);
    for model in ["a", "b", "c"] {
        world.want(&[model]);
        world.settle();
    }
    world.release(world.entry("a"));
    world.release(world.entry("b"));
    world.machine_bytes = 64;
    world.measure();
    assert!(!world.is_loaded("a") && world.is_loaded("b") && world.is_loaded("c"));
}

#[test]
fn what_was_loaded_ahead_goes_first_until_it_is_used_and_is_then_like_any_other() {
    let plan = vec![target("a", 20, 1), target("b", 20, 1), target("c", 20, 1), target("d", 30, 1)];
    let bounds = AheadBounds { max_versions: 1, max_bytes: 31 };
    for is_used in [false, true] {
        let mut world = World::with_plan(plan.clone());
        world.pass(Duration::from_secs(600));
        ["a", "b", "c"].iter().for_each(|model| world.fetch(model));
        world.want(&["a"]);
        world.settle();
        world.release(world.entry("a"));
        world.pass(Duration::from_secs(20));
        for _ in 0..2 {
            world.anticipate(&["c", "b"], bounds);
            world.settle();
        }
        assert!(world.is_loaded("c") && !world.is_loaded("b"), "one, the likeliest");
        if is_used {
            let waiter = world.want(&["c"]);
            assert_eq!(world.answers[&waiter], Answer::Granted(world.entry("c"), None));
            world.release(world.entry("c"));
        }
        // It does not fit beside both below the mark.
        world.want(&["d"]);
        world.settle();
        assert!(world.is_loaded("d"));
        assert_eq!((world.is_loaded("a"), world.is_loaded("c")), (!is_used, is_used));
    }
}

#[test]
fn a_load_ahead_makes_way_for_whoever_needs_its_memory_and_serves_whoever_wants_it() {
    let plan = vec![target("a", 40, 1), target("c", 30, 1)];
    let bounds = AheadBounds { max_versions: 2, max_bytes: 100 };
    let mut world = World::with_plan(plan.clone());
    ["a", "c"].iter().for_each(|model| world.fetch(model));
    world.anticipate(&["c"], bounds);
    let waiter = world.want(&["a"]);
    assert!(world.loading.len() == 1 && world.waiting.contains_key(&waiter), "c is being loaded");
    world.finish_load(world.entry("c"), Ok(()));
    assert!(!world.is_loaded("c"), "and goes at once");
    world.settle();
    assert!(world.is_loaded("a"));
    let mut world = World::with_plan(plan);
    world.fetch("c");
    world.anticipate(&["c"], bounds);
    let waiter = world.want(&["c"]);
    world.settle();
    assert_eq!(world.answers[&waiter], Answer::Granted(world.entry("c"), None));
}

#[test]
fn loading_ahead_takes_idle_memory_and_gives_back_what_nobody_came_for() {
    let plan = vec![target("a", 30, 1), target("b", 40, 1), target("c", 5, 1)];
    let bounds = AheadBounds { max_versions: 1, max_bytes: 70 };
    let mut world = World::with_plan(plan);
    world.pass(Duration::from_secs(600));
    ["a", "b"].iter().for_each(|model| world.fetch(model));
    world.want(&["a"]);
    world.want(&["c"]);
    world.settle();
    ["a", "c"].iter().for_each(|model| world.release(world.entry(model)));
    world.anticipate(&["b"], bounds);
    assert!(world.loading.is_empty() && world.is_loaded("a"), "a was used just now");
    world.pass(Duration::from_secs(30));
    world.anticipate(&["b", "a"], bounds);
    assert!(world.loading.is_empty() && world.is_loaded("a"), "a is likely itself");
    world.anticipate(&["b"], bounds);
    world.settle();
    world.anticipate(&["b"], bounds);
    world.settle();
    assert!(world.is_loaded("b") && !world.is_loaded("a") && world.is_loaded("c"), "no more goes than must");
    world.pass(Duration::from_secs(30));
    world.anticipate(&["b"], bounds);
    assert!(world.is_loaded("b"), "it may still come");
    world.anticipate(&[], bounds);
    world.settle();
    assert!(!world.is_loaded("b"));
}

#[test]
fn what_failed_when_it_was_loaded_ahead_is_left_alone_until_somebody_asks() {
    let bounds = AheadBounds { max_versions: 1, max_bytes: 50 };
    let mut world = World::with_plan(vec![target("a", 20, 1)]);
    world.anticipate(&["a"], bounds);
    assert!(world.preparing.is_empty(), "nothing is fetched for it");
    world.fetch("a");
    world.anticipate(&["a"], bounds);
    world.finish_load(world.entry("a"), Err(failure(true)));
    world.pass(Duration::from_secs(3600));
    world.anticipate(&["a"], bounds);
    assert!(world.loading.is_empty());
    let waiter = world.want(&["a"]);
    world.settle();
    assert_eq!(world.answers[&waiter], Answer::Granted(world.entry("a"), None));
}

/// Row 26.
#[test]
fn row_26_what_is_slow_to_load_stays_longer() {
    let settings = Settings::with_budget(BUDGET);
    let residencies: Vec<u64> = [0, 50, 1000, 5000, 10_000]
        .map(|load| settings.residency(Duration::from_millis(load)).as_secs())
        .to_vec();
    assert_eq!(residencies, [1, 1, 10, 50, 60]);
}

/// Row 26.
#[test]
fn row_26_who_waits_in_vain_for_memory_is_told_what_is_missing_and_when_to_come_back() {
    let mut world = World::with_plan(vec![target("a", 50, 1), target("b", 40, 1)]);
    world.want(&["a"]);
    world.settle();
    world.pass(Duration::from_secs(4));
    let waiter = world.want(&["b"]);
    world.settle();
    world.pass(Duration::from_secs(120));
    let Answer::Refused(Refusal::Busy { attempts, .. }) = &world.answers[&waiter] else {
        panic!("{:?}", world.answers)
    };
    let failure = &attempts[0].failure;
    assert_eq!((failure.location, failure.reason.as_str()), (FailureLocation::Memory, "MemoryInUse"));
    assert!(failure.message.contains("takes 61 bytes, and 49 of the 100 bytes of memory.host"));
}

#[test]
fn a_version_that_is_up_again_goes_before_its_fallback() {
    let mut world = World::with_plan(vec![target("a", 10, 1), target("b", 10, 1)]);
    let waiter = world.want(&["a", "b"]);
    world.finish_prepare(world.entry("a"), Err(failure(true)));
    assert!(world.waiting.contains_key(&waiter), "it waits for the fallback");
    world.pass(Duration::from_secs(10));
    world.finish_prepare(world.entry("a"), Ok(()));
    world.finish_load(world.entry("a"), Ok(()));
    assert_eq!(world.answers[&waiter], Answer::Granted(world.entry("a"), None));
}

#[test]
fn files_that_are_lost_before_a_load_are_fetched_again_at_once_and_then_it_is_a_failure() {
    let mut world = World::with_plan(vec![target("a", 10, 1)]);
    let waiter = world.want(&["a"]);
    let a = world.entry("a");
    world.finish_prepare(a, Ok(()));
    world.lose_files(a);
    assert_eq!(state(&world, "a"), VersionState::Downloading);
    assert!(!world.answers.contains_key(&waiter));
    world.finish_prepare(a, Ok(()));
    world.lose_files(a);
    assert_eq!(state(&world, "a"), VersionState::FailedToLoad);
    // After its rest it has both tries again.
    world.pass(Duration::from_secs(600));
    world.want(&["a"]);
    world.finish_prepare(a, Ok(()));
    world.lose_files(a);
    world.finish_prepare(a, Ok(()));
    world.finish_load(a, Ok(()));
    assert_eq!(state(&world, "a"), VersionState::Loaded);
}
