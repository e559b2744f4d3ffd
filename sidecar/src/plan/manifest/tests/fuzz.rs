//! Files of which anything may be wrong.

use std::error::Error;

use ostler_fuzz::{Seed, Target};

use super::*;

fn check(bytes: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(bytes) else { return "not UTF-8".to_owned() };
    match Manifest::from_yaml(text) {
        Err(error) => {
            let cause = error.source().map(ToString::to_string).unwrap_or_default();
            format!("{error}: {cause}")
        }
        Ok(Manifest { plan, budget }) => {
            let written = plan.to_json().unwrap();
            assert_eq!(ServingPlan::from_json(&written).unwrap(), plan);
            assert!(budget.bytes > 0 && budget.evict_to_percent <= budget.evict_above_percent);
            for model in &plan.models {
                let weights: u32 =
                    model.versions.iter().map(|version| u32::from(version.weight.percent())).sum();
                assert_eq!(weights, 100, "{}", model.name);
            }
            format!("{} models", "+".repeat(plan.models.len()))
        }
    }
}

const SMALL: &str = "apiVersion: ostler.dev/v1alpha1\nkind: ModelDeployment\nmetadata: {name: a}\nspec:\n  memory: {host: 1Gi}\n  \
    models:\n  - name: m\n    task: translation\n    languagePairs: [en-de]\n    versions:\n    - {name: v1, storageUri: 'hf://a/{languagePair}'}\n    \
    - {name: v2, storageUri: 'file:///b', weight: 30}\n    defaultVersion: v1\n";

fn seeds() -> Vec<Seed> {
    let levels = |last: char| ('a'..=last).zip('b'..);
    let laughs: String =
        levels('z').map(|(of, next)| format!("{next}: &{next} [*{of}, *{of}, *{of}]\n")).take(24).collect();
    vec![
        ("small", SMALL.as_bytes().to_vec()),
        ("laughs", format!("a: &a [x, x, x]\n{laughs}").into_bytes()),
        ("alias-of-itself", b"a: &a [*a]\n".to_vec()),
        ("deep", "[".repeat(3_000).into_bytes()),
        (
            "deep-block",
            (0..60).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect::<String>().into_bytes(),
        ),
        ("two", format!("{SMALL}---\n{SMALL}").into_bytes()),
        ("tag", b"apiVersion: !!binary x\nkind: !<tag> ModelDeployment\n".to_vec()),
        ("large-quantity", SMALL.replace("1Gi", "1e999").into_bytes()),
    ]
}

#[test]
fn whatever_is_a_manifest_becomes_a_plan_that_can_be_written() {
    ostler_fuzz::run!(Target {
        seeds,
        files: &["../examples/video-translation.yaml"],
        tokens: &[
            b": ",
            b"- ",
            b"\n  ",
            b"&a ",
            b"*a",
            b"---\n",
            b"!!str ",
            b"|",
            b"> ",
            b"? ",
            b"{",
            b"}",
            b"[",
            b"]",
            b"weight: 101",
            b"null",
            b"~",
            b"keep: true",
            b"fallback: [v1]",
            b"resultCache: {}",
            b"'",
            b"\"",
            b"\t",
            b"\xef\xbb\xbf",
            b"0x7f",
            b".inf",
        ],
        inputs: 8_000,
        ..Target::new("manifest", check)
    });
}
