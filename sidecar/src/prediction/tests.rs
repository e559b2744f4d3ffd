mod bounded;

use ostler_crds::names::{Dtype, LoadPolicy};

use super::*;
use crate::target::Batching;

/// The start of a day.
const START: WallTime = Duration::from_secs(20_000 * 24 * 3600);
const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

/// `model`, or `model/PAIR`.
fn key(name: &str) -> VersionKey {
    let (model, pair) = name.split_once('/').map_or((name, None), |(model, pair)| (model, Some(pair)));
    VersionKey {
        model: model.parse().unwrap(),
        version: "v1".parse().unwrap(),
        language_pair: pair.map(|pair| pair.parse().unwrap()),
        retired: None,
    }
}

fn target(name: &str) -> Target {
    let is_speech = name == "whisper";
    Target {
        key: key(name),
        task: if is_speech { Task::AutomaticSpeechRecognition } else { Task::Translation },
        source: "hf://o/r".parse().unwrap(),
        commit: None,
        unpinned: None,
        dtype: Dtype::Auto,
        load: LoadPolicy::Lazy,
        keep: false,
        instances: 1,
        batching: Batching::ALONE,
        model_limit_bytes: None,
        task_limit_bytes: None,
        idle_time: (name == "brief").then_some(5 * MINUTE),
    }
}

const NAMES: [&str; 6] =
    ["whisper", "translation/de-en", "translation/en-de", "translation/de-fr", "similarity", "brief"];

fn predictor() -> Predictor {
    let mut predictor = Predictor::new(START);
    predictor.obey(&NAMES.map(target));
    predictor
}

fn likely(predictor: &mut Predictor, now: WallTime) -> Vec<String> {
    let predicted = predictor.likely(now).into_iter();
    predicted.map(|prediction| format!("{}: {}", prediction.key, prediction.reason)).collect()
}

/// Speech in a language, and after a minute a translation from it.
fn round(predictor: &mut Predictor, language: &str, follower: &str, asker: Option<Asker>, now: WallTime) {
    speak(predictor, language, asker, now);
    predictor.used(&key(follower), asker, now + MINUTE);
}

fn speak(predictor: &mut Predictor, language: &str, asker: Option<Asker>, now: WallTime) -> bool {
    predictor.used(&key("whisper"), asker, now);
    predictor.heard(spoken(language), asker, true, now)
}

fn spoken(language: &str) -> Cue {
    Cue { after: key("whisper"), language: Some(language.to_owned()) }
}

const DE_EN: &str = "translation@v1 (de-en): it followed whisper@v1 in de 2.0 of 2.0 times";

#[test]
fn what_has_followed_a_language_two_times_of_two_is_likely_once_it_is_heard_again() {
    let mut predictor = predictor();
    for number in 0..2 {
        let now = START + number * HOUR;
        assert_eq!(likely(&mut predictor, now), [""; 0]);
        round(&mut predictor, "de", "translation/de-en", None, now);
        round(&mut predictor, "en", "translation/en-de", None, now + HOUR / 2);
    }
    let now = START + 3 * HOUR;
    assert_eq!(likely(&mut predictor, now), [""; 0], "nobody speaks");
    assert!(speak(&mut predictor, "de", None, now), "something is to be expected");
    assert_eq!(likely(&mut predictor, now), [DE_EN]);
    assert!(!speak(&mut predictor, "de", None, now + MINUTE), "the same is");
    predictor.used(&key("translation/de-en"), None, now + 2 * MINUTE);
    assert_eq!(likely(&mut predictor, now + 2 * MINUTE), [""; 0], "it has come");
    speak(&mut predictor, "fr", None, now + HOUR);
    assert_eq!(likely(&mut predictor, now + HOUR), [""; 0]);
    speak(&mut predictor, "de", None, now + HOUR);
    assert_eq!(likely(&mut predictor, now + HOUR + SOON).len(), 1);
    assert_eq!(likely(&mut predictor, now + HOUR + SOON + MINUTE), [""; 0], "it did not come");
}

#[test]
fn whatever_follows_anything_is_learned_and_counted_against_where_it_does_not_come() {
    let mut predictor = predictor();
    let translate = |predictor: &mut Predictor, now| predictor.used(&key("translation/de-en"), None, now);
    for number in 0..2 {
        let now = START + number * HOUR;
        // Sentence by sentence is one episode.
        for second in 0..30 {
            translate(&mut predictor, now + Duration::from_secs(second));
        }
        predictor.used(&key("similarity"), None, now + MINUTE);
    }
    let after =
        |followed: &str| vec![format!("similarity@v1: it followed translation@v1 (de-en) {followed} times")];
    let mut now = START + 2 * HOUR;
    translate(&mut predictor, now);
    assert_eq!(likely(&mut predictor, now), after("2.0 of 2.0"));
    now += HOUR;
    assert_eq!(likely(&mut predictor, now), [""; 0]);
    translate(&mut predictor, now);
    assert_eq!(likely(&mut predictor, now), [""; 0], "two of three are not enough");
    predictor.used(&key("similarity"), None, now + MINUTE);
    for number in 1..4 {
        translate(&mut predictor, now + number * HOUR);
        predictor.used(&key("similarity"), None, now + number * HOUR + MINUTE);
    }
    translate(&mut predictor, now + 4 * HOUR);
    assert_eq!(likely(&mut predictor, now + 4 * HOUR), after("5.9 of 6.9"));
}

#[test]
fn only_what_the_same_one_asks_for_follows_and_all_who_say_nothing_are_one() {
    let (one, other) = (Some(Asker::named("talk-1")), Some(Asker::named("talk-2")));
    assert_ne!(one, other);
    for (speaker, reader, follows) in
        [(one, one, true), (None, None, true), (one, other, false), (one, None, false), (None, one, false)]
    {
        let mut predictor = predictor();
        for number in 0..2 {
            speak(&mut predictor, "de", speaker, START + number * HOUR);
            predictor.used(&key("translation/de-en"), reader, START + number * HOUR + MINUTE);
        }
        // Whoever speaks now need not be one who spoke before.
        let now = START + 2 * HOUR;
        speak(&mut predictor, "de", Some(Asker::named("talk-3")), now);
        assert_eq!(likely(&mut predictor, now) == [DE_EN], follows, "{speaker:?} {reader:?}");
    }
}

#[test]
fn what_follows_a_long_transcript_may_come_after_its_end() {
    for (is_told, follows) in [(true, true), (false, false)] {
        let mut predictor = predictor();
        for number in 0..3 {
            let start = START + number * 3 * HOUR;
            speak(&mut predictor, "de", None, start);
            for minute in (1..120).filter(|_| is_told) {
                predictor.heard(spoken("de"), None, false, start + minute * MINUTE);
            }
            let end = start + 2 * HOUR;
            let expected = if follows && number == 2 { vec![DE_EN.to_owned()] } else { Vec::new() };
            assert_eq!(likely(&mut predictor, end), expected);
            predictor.used(&key("translation/de-en"), None, end);
        }
    }
}

#[test]
fn what_is_used_again_and_again_is_likely_for_a_while() {
    let uses = |name: &str, minutes: &[u32]| {
        let mut predictor = predictor();
        for minute in minutes {
            predictor.used(&key(name), None, START + *minute * MINUTE);
        }
        predictor
    };
    let is_likely =
        |predictor: &mut Predictor, minute: u32| !likely(predictor, START + minute * MINUTE).is_empty();
    for (minutes, at, expected) in [
        (&[0, 1, 2][..], 2, false),
        (&[0, 1, 2, 3, 4], 4, true),
        (&[0, 1, 2, 3, 4], 20, false),
        (&[0, 5, 10, 15, 20, 25, 30], 30, true),
        (&[0, 30, 60, 90], 90, false),
    ] {
        assert_eq!(is_likely(&mut uses("similarity", minutes), at), expected, "{minutes:?} at {at}");
    }
    let mut burst = predictor();
    for _ in 0..1000 {
        burst.used(&key("similarity"), None, START);
    }
    assert!(!is_likely(&mut burst, 0), "a burst is no habit");
    let minutes: Vec<u32> = (0..20).collect();
    let mut often = uses("similarity", &minutes);
    assert_eq!(
        likely(&mut often, START + 19 * MINUTE),
        ["similarity@v1: of late it was used in 16.2 different minutes"]
    );
    assert!(is_likely(&mut often, 24));
    // What its model's spec unloads by then is not loaded again for it.
    let mut brief = uses("brief", &minutes);
    assert!(is_likely(&mut brief, 23) && !is_likely(&mut brief, 24));
}

#[test]
fn what_is_used_at_the_same_hour_of_the_day_is_likely_shortly_before() {
    let at = |day: u32, hour: u32, minute: u32| START + (24 * day + hour) * HOUR + minute * MINUTE;
    let used_on = |days: &[u32]| {
        let mut predictor = predictor();
        for day in days {
            predictor.used(&key("similarity"), None, at(*day, 9, 30));
        }
        predictor
    };
    let reason = |used: &str| vec![format!("similarity@v1: at 9 h UTC it was used on {used} days")];
    let mut twice = used_on(&[0, 1]);
    assert_eq!(likely(&mut twice, at(2, 8, 49)), [""; 0]);
    assert_eq!(likely(&mut twice, at(2, 8, 51)), reason("1.7 of 1.7"));
    assert_eq!(likely(&mut twice, at(2, 9, 49)), reason("1.7 of 1.7"));
    assert_eq!(likely(&mut twice, at(2, 9, 51)), [""; 0]);
    twice.used(&key("similarity"), None, at(2, 9, 0));
    assert_eq!(likely(&mut twice, at(2, 9, 20)), [""; 0], "it has come today");
    for (days, day, expected) in [
        (&[0][..], 1, false),
        (&[0, 1, 3], 4, false),
        (&[0, 1, 2, 3, 5], 6, true),
        (&[0, 1], 3, false),
        (&[0, 1, 2, 3, 4, 5, 6], 7, true),
        (&[0, 1, 2, 3, 4, 5, 6], 11, false),
    ] {
        assert_eq!(!likely(&mut used_on(days), at(day, 9, 0)).is_empty(), expected, "{days:?} on {day}");
    }
}

#[test]
fn what_was_loaded_in_vain_rests_for_an_hour_or_until_the_next_time() {
    let mut predictor = predictor();
    let now = START + HOUR;
    for number in 0..2 {
        round(&mut predictor, "de", "translation/de-en", None, START + number * 20 * MINUTE);
    }
    for minute in 0..8 {
        predictor.used(&key("similarity"), None, now + minute * MINUTE);
    }
    speak(&mut predictor, "de", None, now + 8 * MINUTE);
    assert_eq!(likely(&mut predictor, now + 8 * MINUTE).len(), 2);
    predictor.in_vain(&key("similarity"), now + 8 * MINUTE);
    predictor.in_vain(&key("translation/de-en"), now + 8 * MINUTE);
    assert_eq!(likely(&mut predictor, now + 9 * MINUTE), [""; 0]);
    predictor.used(&key("similarity"), None, now + 10 * MINUTE);
    assert_eq!(likely(&mut predictor, now + 10 * MINUTE).len(), 1, "it is used again");
    // The next time speech is heard, it counts that nothing followed, and that is two of three.
    round(&mut predictor, "de", "translation/de-en", None, now + HOUR);
    round(&mut predictor, "de", "translation/de-en", None, now + 2 * HOUR);
    speak(&mut predictor, "de", None, now + 3 * HOUR);
    let expected = ["translation@v1 (de-en): it followed whisper@v1 in de 4.0 of 4.9 times"];
    assert_eq!(likely(&mut predictor, now + 3 * HOUR), expected);
}

#[test]
fn what_the_plan_does_not_have_is_forgotten() {
    let mut predictor = predictor();
    for number in 0..2 {
        round(&mut predictor, "de", "translation/de-en", None, START + number * HOUR);
    }
    predictor.obey(&["whisper", "translation/de-en"].map(target));
    speak(&mut predictor, "de", None, START + 2 * HOUR);
    assert_eq!(likely(&mut predictor, START + 2 * HOUR).len(), 1, "what it has is not");
    predictor.obey(&["whisper"].map(target));
    predictor.obey(&NAMES.map(target));
    speak(&mut predictor, "de", None, START + 3 * HOUR);
    assert_eq!(likely(&mut predictor, START + 3 * HOUR), [""; 0]);
}
