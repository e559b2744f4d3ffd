//! Ostler in a whole Kubernetes: kubelet, containers, Services, Helm.
//!
//! One cluster serves all tests, one after the other, and goes away with the last. A word on the command line runs the
//! tests with that word in their name; `OSTLER_E2E_KEEP=1` leaves the cluster running, to look around in.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests fail by panicking and speak on the terminal, in their helpers too"
)]

mod affinity;
mod demo;
mod helm;
mod identity;
mod load;
mod loading;
mod outage;
mod pod_security;
mod rolling;
mod scaling;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use world::{Space, World};

type Test = fn(&Space<'_>);

const TESTS: &[(&str, Test)] = &[
    ("the_demo_goes_all_the_way", demo::the_demo_goes_all_the_way),
    ("kubectl_scale_adds_and_removes_pods", scaling::kubectl_scale_adds_and_removes_pods),
    ("a_restricted_namespace_admits_the_pods", pod_security::a_restricted_namespace_admits_the_pods),
    ("helm_waits_until_the_models_are_loaded", helm::helm_waits_until_the_models_are_loaded),
    ("helm_does_not_report_success_for_a_model_that_is_not_there", helm::helm_fails_for_a_missing_model),
    ("a_pod_waits_for_a_node_with_the_gpu", affinity::a_pod_waits_for_a_node_with_the_gpu),
    ("a_sidecar_killed_while_loading_comes_back", loading::a_sidecar_killed_while_loading_comes_back),
    ("a_pod_deleted_while_loading_is_replaced", loading::a_pod_deleted_while_loading_is_replaced),
    ("requests_are_answered_while_the_api_server_is_away", outage::requests_are_answered),
    ("a_report_cannot_be_forged_from_a_user_container", identity::a_report_cannot_be_forged),
    ("a_rolling_change_under_load_loses_no_request", rolling::a_rolling_change_under_load_loses_no_request),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
    let tests: Vec<_> = TESTS.iter().filter(|(name, _)| wanted(name)).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        tests.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }

    let started = Instant::now();
    let world = match World::create() {
        Ok(world) => world,
        Err(error) => {
            eprintln!("the cluster could not be prepared: {error}");
            return ExitCode::FAILURE;
        }
    };
    println!(
        "cluster and chart are up after {:.1} s; running {} tests",
        started.elapsed().as_secs_f64(),
        tests.len()
    );
    let failed: Vec<&str> =
        tests.iter().filter(|(name, test)| !passes(&world, name, *test)).map(|(name, _)| *name).collect();
    drop(world);
    println!(
        "{} passed, {} failed, in {:.0} s",
        tests.len() - failed.len(),
        failed.len(),
        started.elapsed().as_secs_f64()
    );
    failed.iter().for_each(|name| println!("  failed: {name}"));
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn passes(world: &World, name: &str, test: Test) -> bool {
    let started = Instant::now();
    println!("test {name} ...");
    let space = world.space(name);
    let result = catch_unwind(AssertUnwindSafe(|| test(&space)));
    if result.is_err() {
        space.diagnose();
    }
    drop(space);
    let word = if result.is_ok() { "ok" } else { "FAILED" };
    println!("test {name} ... {word} ({:.1} s)", started.elapsed().as_secs_f64());
    result.is_ok()
}
