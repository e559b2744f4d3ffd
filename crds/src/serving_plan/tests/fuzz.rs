//! Texts from anywhere become a plan or an error: nothing else, whatever they hold.

use std::error::Error;

use ostler_fuzz::{Seed, Target};

use super::*;

fn check_plan(bytes: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(bytes) else { return "not UTF-8".to_owned() };
    match ServingPlan::from_json(text) {
        Err(error) => {
            let cause = error.source().map(ToString::to_string).unwrap_or_default();
            format!("{error}: {cause}")
        }
        Ok(plan) => {
            let written = plan.to_json().unwrap();
            let again = ServingPlan::from_json(&written).unwrap();
            assert_eq!((&again, again.to_json().unwrap()), (&plan, written));
            format!("a plan of {} models", "+".repeat(plan.models.len()))
        }
    }
}

fn plans() -> Vec<Seed> {
    let deep = format!("{{\"format\":1,\"x\":{}", "[".repeat(2_000));
    vec![
        ("deep", deep.into_bytes()),
        ("newer", b"{\"format\":2,\"generation\":0,\"salt\":\"\",\"models\":[]}".to_vec()),
    ]
}

/// Row 38 for plans, which another process wrote.
#[test]
fn row_38_whatever_is_a_plan_is_written_as_the_same_one() {
    ostler_fuzz::run!(Target {
        seeds: plans,
        tokens: &[
            b"\"maxBatch\":1,",
            b"\"history\":[],",
            b"\"languagePair\":\"en-de\",",
            b"null",
            b"{}",
            b"[]",
            b"-1",
            b"1e999",
            b"\\ud800",
            b"\"weight\":101",
            b"\"unpinned\":\"\",",
            b"file:///a",
            b"hf://a/b:main",
            b"\xff",
        ],
        inputs: 20_000,
        ..Target::new("plan", check_plan)
    });
}
