use super::*;
use crate::rows::rows;

fn measured(seconds: &[f64], tokens: &[u32], text: &str) -> Outcome {
    Outcome::Measured(Measured {
        engine: "x".to_owned(),
        seconds: seconds.to_vec(),
        texts: vec![text.to_owned()],
        tokens: if tokens.is_empty() { vec![] } else { vec![tokens.to_vec()] },
        memory: None,
    })
}

fn peaks() -> Peaks {
    Peaks { int8: 1e12, bfloat16: 5e11, float32: 2e11, streams: [(1, 5e10)].into(), ..Peaks::default() }
}

fn row(id: &str) -> Row {
    rows(&[2]).into_iter().find(|row| row.id == id).unwrap()
}

fn judged(id: &str, outcomes: Vec<Outcome>) -> Verdict {
    let reference = [["1", "2", "3", "4"].map(str::to_owned).to_vec()];
    let answered = Answered { row: row(id), outcomes };
    judge(&answered, Some(&reference), "one two three four", &peaks(), true)
}

#[test]
fn the_best_peer_decides_and_whoever_is_only_shown_does_not() {
    let tokens = [1, 2, 3, 4];
    let verdict = judged(
        "whisper-bfloat16-2",
        vec![
            measured(&[0.4, 0.4, 9.0], &tokens, ""),
            measured(&[1.2], &tokens, ""),
            measured(&[1.0], &[1, 2, 3, 5], ""),
        ],
    );
    assert_eq!(verdict.peer.unwrap().name, "torch bfloat16");
    assert!((verdict.times.unwrap() - 2.5).abs() < 1e-9);
    assert_eq!(verdict.met, Met::Yes);
    assert_eq!(verdict.agreements, [Agreement::Edits(0.0), Agreement::Edits(0.0), Agreement::Edits(0.25)]);
    let shown = judged(
        "whisper-int8-2",
        vec![measured(&[0.3], &tokens, ""), measured(&[1.2], &tokens, ""), measured(&[0.1], &tokens, "")],
    );
    assert_eq!(shown.peer.unwrap().name, "CTranslate2 int8");
}

#[test]
fn what_misses_its_target_says_by_how_much() {
    let tokens = [1, 2, 3, 4];
    let verdict = judged(
        "whisper-int8-2",
        vec![measured(&[0.5], &tokens, ""), measured(&[1.0], &tokens, ""), Outcome::Absent("x".to_owned())],
    );
    let Met::No(wrong) = verdict.met else { panic!("{:?}", verdict.met) };
    assert!(wrong[0].contains("2.00 of 3.8 times"), "{wrong:?}");
    assert!(wrong[1].contains("times the floor instead of 1.3"), "{wrong:?}");
    assert_eq!(verdict.agreements[2], Agreement::Unknown);
}

#[test]
fn a_time_of_its_own_is_a_target_too() {
    let with = |own: f64| {
        judged(
            "load-packed",
            vec![measured(&[own], &[], ""), measured(&[0.01], &[], ""), measured(&[0.2], &[], "")],
        )
        .met
    };
    assert_eq!(with(0.05), Met::Yes);
    assert_eq!(with(0.07), Met::No(vec!["70 ms instead of 60".to_owned()]));
}

#[test]
fn a_recording_may_not_have_more_wrong_words_than_the_peers() {
    let good = "one two three four";
    let bad = "one two three for";
    let peers = |text: &str| [measured(&[9.0], &[1; 90], text), measured(&[8.0], &[1; 90], text)];
    let with = |own: &str, other: &str| {
        let [first, second] = peers(other);
        judged("recording-2", vec![measured(&[2.0], &[1; 90], own), first, second]).met
    };
    assert_eq!(with(good, bad), Met::Yes);
    assert_eq!(with(bad, bad), Met::Yes);
    assert!(matches!(with(bad, good), Met::No(_)));
}

#[test]
fn where_ostler_or_every_peer_is_absent_nothing_is_judged() {
    let absent = || Outcome::Absent("it did not install".to_owned());
    let tokens = [1, 2, 3, 4];
    for outcomes in [
        vec![absent(), measured(&[1.0], &tokens, ""), absent()],
        vec![measured(&[1.0], &tokens, ""), absent(), absent()],
    ] {
        let verdict = judged("whisper-int8-2", outcomes);
        assert_eq!((verdict.times, verdict.met), (None, Met::NotJudged));
    }
}

#[test]
fn memory_is_judged_by_the_worse_of_peak_and_steady() {
    let with = |peak, steady| {
        Outcome::Measured(Measured {
            engine: String::new(),
            seconds: vec![],
            texts: vec![],
            tokens: vec![],
            memory: Some(Anonymous { peak, steady }),
        })
    };
    let verdict = judged("memory-whisper", vec![with(200, 100), with(100, 200), with(1, 1)]);
    assert_eq!(verdict.times, Some(0.5));
    assert!(matches!(verdict.met, Met::No(_)));
}

#[test]
fn translations_agree_as_far_as_their_first_words_do() {
    let text = "1 2 9 4";
    let outcomes =
        vec![measured(&[0.01], &[], text), measured(&[0.2], &[], "1 2 3 4"), measured(&[0.2], &[], text)];
    let verdict = judged("opus-mt-1-2", outcomes);
    assert_eq!(verdict.agreements[0], Agreement::First(2.0, 4.0));
    assert!(verdict.agreements[1].is_equal());
}
