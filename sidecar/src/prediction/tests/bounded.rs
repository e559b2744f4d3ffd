use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Use(u16, Option<u16>),
    Hear(u16, u16, Option<u16>, bool),
    Vain(u16),
    Pass(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let asker = || prop::option::of(0_u16..2000);
    prop_oneof![
        4 => (0_u16..700, asker()).prop_map(|(version, asker)| Step::Use(version, asker)),
        4 => (0_u16..700, 0_u16..20, asker(), any::<bool>())
            .prop_map(|(version, language, asker, is_first)| Step::Hear(version, language, asker, is_first)),
        1 => (0_u16..700).prop_map(Step::Vain),
        2 => (0_u32..20_000).prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Whatever happens, little is remembered, and what is likely is of the plan, once each, with a probability.
    #[test]
    fn what_is_remembered_is_bounded_and_what_is_likely_makes_sense(steps in prop::collection::vec(step(), 1..3000)) {
        let name = |version: u16| if version < 600 { format!("m{version}") } else { "gone".to_owned() };
        let mut predictor = Predictor::new(START);
        predictor.obey(&(0..600).map(|version| target(&name(version))).collect::<Vec<_>>());
        let mut now = START;
        let named = |asker: Option<u16>| asker.map(|asker| Asker::named(&asker.to_string()));
        for step in steps {
            match step {
                Step::Use(version, asker) => {
                    predictor.used(&key(&name(version)), named(asker), now);
                }
                Step::Hear(version, language, asker, is_first) => {
                    let cue = Cue { after: key(&name(version % 50)), language: Some(language.to_string()) };
                    predictor.heard(cue, named(asker), is_first, now);
                }
                Step::Vain(version) => predictor.in_vain(&key(&name(version)), now),
                Step::Pass(seconds) => now += Duration::from_secs(seconds.into()) / 100,
            }
        }
        let (cues, followers, episodes, followed) = predictor.sequences.sizes();
        prop_assert!(cues <= 256 && followers <= 8 && episodes <= 256 && followed <= 8);
        prop_assert!(predictor.habits.len() <= 256);
        let predicted = predictor.likely(now);
        let keys: std::collections::BTreeSet<&VersionKey> = predicted.iter().map(|one| &one.key).collect();
        prop_assert_eq!(keys.len(), predicted.len());
        for prediction in &predicted {
            prop_assert!(prediction.key.model.as_str() != "gone");
            prop_assert!((LIKELY..=1.0).contains(&prediction.probability), "{:?}", prediction);
        }
        prop_assert!(predicted.is_sorted_by(|left, right| left.probability >= right.probability));
    }
}
