use ostler_crds::names::Dtype;
use ostler_crds::status::VersionState::{FailedToLoad, Loaded, Loading};
use proptest::prelude::*;

use super::*;
use crate::fixtures::{ModelBuilder, deployment, model, plan, pod, reported};

const KNOWN: [(&str, char); 3] = [("a/one:main", '1'), ("a/two:main", '2'), ("a/three:main", '3')];

fn two(weight: i32) -> ModelBuilder {
    model("m").version("v1", "hf://a/one").weighted("v2", "hf://a/two", weight)
}

fn asked(model: ModelBuilder) -> ServingPlan {
    plan(&deployment().model(model).validated(), &KNOWN)
}

/// The weights in effect, and the default version.
fn effect(asked: &ServingPlan, current: Option<&ServingPlan>, pods: &[ObservedPod]) -> (ServingPlan, String) {
    let mut plan = asked.clone();
    let waiting = take_effect(&mut plan.models, current, pods);
    let model = &plan.models[0];
    let versions: Vec<String> = model
        .versions
        .iter()
        .map(|version| format!("{}:{}", version.name, version.weight.percent()))
        .collect();
    let waiting: Vec<String> =
        waiting.iter().map(|one| format!(" waits {}:{}", one.version, one.percent)).collect();
    let text = format!("{} default {}{}", versions.join(" "), model.default_version, waiting.concat());
    (plan, text)
}

#[test]
fn a_lazy_version_has_its_share_at_once() {
    let (_, text) = effect(&asked(two(10)), None, &[pod("a")]);
    assert_eq!(text, "v1:90 v2:10 default v1");
}

#[test]
fn a_preloaded_version_has_its_share_once_every_ready_pod_has_it() {
    let first = asked(model("m").preloaded().version("v1", "hf://a/one"));
    let asked = asked(two(10).preloaded());
    let has =
        |name, two| pod(name).reporting(vec![reported("m@v1", Loaded, '1'), reported("m@v2", two, '2')]);
    let waits = "v1:100 v2:0 default v1 waits m@v2:10";
    let cases = [
        ("no pod has it", vec![has("a", Loading), has("b", Loading)], waits),
        ("one has it not", vec![has("a", Loaded), has("b", Loading)], waits),
        ("one cannot have it", vec![has("a", Loaded), has("b", FailedToLoad)], waits),
        ("one says nothing", vec![has("a", Loaded), pod("b")], waits),
        ("all have it", vec![has("a", Loaded), has("b", Loaded)], "v1:90 v2:10 default v1"),
        (
            "all ready ones have it",
            vec![has("a", Loaded), has("b", Loading).not_ready()],
            "v1:90 v2:10 default v1",
        ),
        ("no pod is ready", vec![has("a", Loading).not_ready()], "v1:90 v2:10 default v1"),
    ];
    for (case, pods, expected) in cases {
        assert_eq!(effect(&asked, Some(&first), &pods).1, expected, "{case}");
    }
}

#[test]
fn loaded_at_another_commit_is_not_loaded() {
    let first = asked(model("m").preloaded().version("v1", "hf://a/one"));
    let pods = [pod("a").reporting(vec![reported("m@v1", Loaded, '1'), reported("m@v2", Loaded, '9')])];
    assert_eq!(
        effect(&asked(two(10).preloaded()), Some(&first), &pods).1,
        "v1:100 v2:0 default v1 waits m@v2:10"
    );
}

#[test]
fn a_share_once_given_stays_though_a_pod_restarts() {
    let asked = asked(two(10).preloaded());
    let (current, _) = effect(&asked, None, &[]);
    let restarted = [pod("a").reporting(vec![reported("m@v2", Loading, '2')])];
    assert_eq!(effect(&asked, Some(&current), &restarted).1, "v1:90 v2:10 default v1");
    // A larger share of what already serves, and another number format, need no waiting either.
    let mut more = self::asked(two(60).preloaded());
    more.models[0].versions[1].dtype = Dtype::Int8;
    assert_eq!(effect(&more, Some(&current), &restarted).1, "v1:40 v2:60 default v1");
}

#[test]
fn a_share_waits_anew_at_another_pin() {
    let asked = asked(two(10).preloaded());
    let (mut current, _) = effect(&asked, None, &[]);
    current.models[0].versions[1].artifacts[0].commit = Some("9".repeat(40).parse().unwrap());
    let pods = [pod("a").reporting(vec![reported("m@v2", Loaded, '9')])];
    assert_eq!(effect(&asked, Some(&current), &pods).1, "v1:100 v2:0 default v1 waits m@v2:10");
}

#[test]
fn a_new_default_leaves_its_place_to_the_old_one_until_it_is_up() {
    let (current, _) = effect(&asked(two(0).preloaded()), None, &[]);
    let asked = asked(two(0).preloaded().set("defaultVersion", serde_json::json!("v2")));
    let has = |state| [pod("a").reporting(vec![reported("m@v1", Loaded, '1'), reported("m@v2", state, '2')])];
    assert_eq!(effect(&asked, Some(&current), &has(Loading)).1, "v1:100 v2:0 default v1 waits m@v2:100");
    assert_eq!(effect(&asked, Some(&current), &has(Loaded)).1, "v1:0 v2:100 default v2");
}

#[test]
fn a_version_without_a_pin_gets_no_share_until_it_has_one() {
    let spec = deployment().model(two(10)).validated();
    let unpinned = plan(&spec, &[("a/one:main", '1')]);
    assert_eq!(effect(&unpinned, None, &[]).1, "v1:100 v2:0 default v1 waits m@v2:10");
    assert_eq!(effect(&plan(&spec, &KNOWN), Some(&unpinned), &[]).1, "v1:90 v2:10 default v1");
}

#[test]
fn everyone_can_be_sent_to_another_version() {
    let (current, _) = effect(&asked(two(10).preloaded()), None, &[]);
    assert_eq!(effect(&asked(two(100).preloaded()), Some(&current), &[pod("a")]).1, "v1:0 v2:100 default v1");
}

proptest! {
    /// Whatever the pods say, all of the traffic goes somewhere, and the decision made twice is the same.
    #[test]
    fn weights_add_up_and_do_not_flap(
        weights in (0_i32..=50, 0_i32..=50),
        default in 0_usize..3,
        loaded in proptest::collection::vec((any::<bool>(), any::<[bool; 3]>()), 0..4),
    ) {
        let names = ["v1", "v2", "v3"];
        let model = two(weights.0).weighted("v3", "hf://a/three", weights.1).preloaded();
        let first = asked(model.clone());
        let next = asked(model.set("defaultVersion", serde_json::json!(names[default])));
        let pods: Vec<ObservedPod> = loaded.iter().map(|(ready, states)| {
            let entries = states.iter().zip(names).zip(['1', '2', '3']).map(|((loaded, name), digit)| {
                reported(&format!("m@{name}"), if *loaded { Loaded } else { Loading }, digit)
            });
            let pod = pod("a").reporting(entries.collect());
            if *ready { pod } else { pod.not_ready() }
        }).collect();
        let (current, _) = effect(&first, None, &[]);
        let (one, text) = effect(&next, Some(&current), &pods);
        let sum: u32 = one.models[0].versions.iter().map(|version| u32::from(version.weight.percent())).sum();
        prop_assert_eq!(sum, 100);
        let (two, again) = effect(&next, Some(&one), &pods);
        prop_assert_eq!(one, two);
        prop_assert_eq!(text, again);
    }
}
