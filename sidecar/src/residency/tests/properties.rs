use std::time::Duration;

use ostler_crds::names::LoadPolicy;
use ostler_crds::status::VersionState;
use proptest::prelude::*;

use super::super::AheadBounds;
use super::explore::is_soak;
use super::world::{World, failure, key, retired, target};
use crate::target::Target;

const MODELS: [&str; 5] = ["a", "b", "c", "d", "e"];

#[derive(Debug, Clone)]
enum Step {
    Apply(Vec<Target>),
    Want(Vec<usize>),
    /// A pin of some history.
    WantRetired(usize),
    Cancel(usize),
    Release(usize),
    Prepare(usize, Option<bool>),
    Load(usize, Option<bool>),
    Lose(usize),
    Free(usize),
    Pass(u64),
    Measure(u64),
    Anticipate(Vec<usize>, usize, u64),
}

/// What one model looks like in one plan: size, pin, preloaded, kept, instances.
fn planned(model: usize) -> impl Strategy<Value = Option<Target>> {
    let fields =
        (prop::sample::select(vec![5u64, 20, 30, 45, 70, 120]), 1u32..4, any::<bool>(), 0u8..4, 1u32..3);
    let limits = (prop::option::weighted(0.2, 10u64..100), prop::option::weighted(0.2, 5u64..60));
    prop::option::weighted(
        0.8,
        (fields, limits).prop_map(move |((size, pin, is_preloaded, keep, instances), (limit, idle))| {
            Target {
                load: if is_preloaded { LoadPolicy::Preload } else { LoadPolicy::Lazy },
                keep: keep == 0,
                instances,
                model_limit_bytes: limit,
                idle_time: idle.map(Duration::from_secs),
                // The same pin always has the same size, as a commit does.
                ..target(MODELS[model], size, pin * 1000 + u32::try_from(size).unwrap())
            }
        }),
    )
}

fn plan() -> impl Strategy<Value = Vec<Target>> {
    let models = (planned(0), planned(1), planned(2), planned(3), planned(4));
    (models, prop::option::weighted(0.2, 20u64..100)).prop_map(|((a, b, c, d, e), task_limit_bytes)| {
        let planned = [a, b, c, d, e].into_iter().flatten();
        planned.map(|target| Target { task_limit_bytes, ..target }).collect()
    })
}

/// The same with histories: pins that the models may have had before.
fn plan_with_history() -> impl Strategy<Value = Vec<Target>> {
    (plan(), plan()).prop_map(|(plan, before)| {
        let has = |pin: &&Target| plan.iter().any(|it| it.key == pin.key && it.commit != pin.commit);
        let history: Vec<Target> = before.iter().filter(has).cloned().map(retired).collect();
        plan.into_iter().chain(history).collect()
    })
}

fn outcome() -> impl Strategy<Value = Option<bool>> {
    prop_oneof![4 => Just(None), 1 => any::<bool>().prop_map(Some)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => plan_with_history().prop_map(Step::Apply),
        6 => prop::collection::vec(0usize..5, 1..4).prop_map(Step::Want),
        2 => any::<usize>().prop_map(Step::WantRetired),
        2 => any::<usize>().prop_map(Step::Cancel),
        5 => any::<usize>().prop_map(Step::Release),
        5 => (any::<usize>(), outcome()).prop_map(|(index, outcome)| Step::Prepare(index, outcome)),
        5 => (any::<usize>(), outcome()).prop_map(|(index, outcome)| Step::Load(index, outcome)),
        1 => any::<usize>().prop_map(Step::Lose),
        5 => any::<usize>().prop_map(Step::Free),
        3 => (0u64..40).prop_map(Step::Pass),
        1 => prop::sample::select(vec![30u64, 64, 100, 160]).prop_map(Step::Measure),
        4 => (prop::collection::vec(0usize..5, 0..4), 0usize..3, 10u64..120)
            .prop_map(|(likely, versions, bytes)| Step::Anticipate(likely, versions, bytes)),
    ]
}

fn pick<Item: Copy>(items: impl Iterator<Item = Item>, index: usize) -> Option<Item> {
    let items: Vec<Item> = items.collect();
    let length = items.len().max(1);
    items.get(index % length).copied()
}

/// `None` succeeds, `Some` fails, for good or not.
fn result(outcome: Option<bool>) -> Result<(), crate::target::VersionFailure> {
    outcome.map_or(Ok(()), |retryable| Err(failure(retryable)))
}

fn take(world: &mut World, step: Step) {
    match step {
        Step::Apply(plan) => world.apply(plan),
        Step::Want(models) => {
            world.want_keys(models.iter().map(|model| key(MODELS[*model])).collect());
        }
        Step::WantRetired(index) => {
            let keys: Vec<_> = world.plan.iter().map(|target| target.key.clone()).collect();
            let retired: Vec<_> = keys.into_iter().filter(|key| key.retired.is_some()).collect();
            if let Some(place) = pick(0..retired.len(), index) {
                world.want_keys(vec![retired[place].clone()]);
            }
        }
        Step::Cancel(index) => {
            if let Some(waiter) = pick(world.waiting.keys().copied(), index) {
                world.cancel(waiter);
            }
        }
        Step::Release(index) => {
            if let Some(entry) = pick(world.leases.clone().into_iter(), index) {
                world.release(entry);
            }
        }
        Step::Prepare(index, outcome) => {
            if let Some(entry) = pick(world.preparing.keys().copied(), index) {
                world.finish_prepare(entry, result(outcome));
            }
        }
        Step::Load(index, outcome) => {
            if let Some(entry) = pick(world.loading.keys().copied(), index) {
                world.finish_load(entry, result(outcome));
            }
        }
        Step::Lose(index) => {
            if let Some(entry) = pick(world.loading.keys().copied(), index) {
                world.lose_files(entry);
            }
        }
        Step::Free(index) => {
            if let Some(entry) = pick(world.freeing.iter().copied(), index) {
                world.finish_free(entry);
            }
        }
        Step::Pass(seconds) => world.pass(Duration::from_secs(seconds)),
        Step::Anticipate(likely, max_versions, max_bytes) => {
            let likely: Vec<&str> = likely.iter().map(|model| MODELS[*model]).collect();
            world.anticipate(&likely, AheadBounds { max_versions, max_bytes });
        }
        Step::Measure(bytes) => {
            world.machine_bytes = bytes;
            world.measure();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if is_soak() { 50_000 } else { 512 }))]

    /// The world checks every effect: budget, leases, kept versions, single loads, no answer to nobody. In the end,
    /// when everything in motion ends well and leases come back, nobody waits and everything preloaded is up or
    /// has failed for want of memory.
    #[test]
    fn promises_hold_over_random_events(first in plan_with_history(), steps in prop::collection::vec(step(), 1..if is_soak() { 600 } else { 120 })) {
        let mut world = World::with_plan(first);
        for step in steps {
            take(&mut world, step);
        }
        let mut rounds = 0;
        let is_open = |world: &World| {
            let views = world.residency.views();
            let is_open = |view: &super::super::View<'_>| {
                let in_motion = !matches!(view.state, VersionState::Loaded | VersionState::FailedToLoad);
                view.target.load == LoadPolicy::Preload && !view.is_proven && in_motion
            };
            !world.waiting.is_empty() || views.iter().any(is_open)
        };
        while is_open(&world) {
            world.settle();
            while let Some(entry) = world.leases.last().copied() {
                world.release(entry);
            }
            world.settle();
            if let Some(wake) = world.residency.next_wake(world.now) {
                let time = wake.saturating_sub(world.now);
                // A deadline would answer waiters in any case; what is on its way must be answered before that.
                prop_assert!(time < Duration::from_secs(100) || world.waiting.is_empty(), "only deadlines help");
                world.pass(time);
            }
            rounds += 1;
            prop_assert!(rounds < 50, "{} wait for ever: {:?}", world.waiting.len(), world.unsettled());
        }
        // A planned version that was loaded is never tried in vain: what has failed for good did so by a failure.
        for view in world.residency.views() {
            if view.state == VersionState::FailedToLoad {
                prop_assert!(view.last_failure.is_some());
            }
        }
    }
}
