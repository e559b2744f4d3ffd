//! Faults are found, each in a child: the tests named `child_*` are what the children run, and do nothing else.

use crate::{FuzzError, Place, Seed, Target, supervise};

fn seeds() -> Vec<Seed> {
    vec![("sound", b"sound".to_vec())]
}

const fn target(check: fn(&[u8]) -> String) -> Target {
    Target { seeds, tokens: &[b"!"], longest: 1_000, ..Target::new("sample", check) }
}

const SOUND: Target = target(|bytes| format!("{} bytes", bytes.len()));
const PANICS: Target = target(|bytes| {
    assert!(!bytes.contains(&b'!'), "a fault");
    String::new()
});
const OVERFLOWS: Target =
    target(|bytes| if bytes.contains(&b'!') { depth(0).to_string() } else { String::new() });
const RESERVES: Target = target(|bytes| {
    let much = if bytes.contains(&b'!') { 1 << 30 } else { 1 };
    std::hint::black_box(Vec::<u8>::with_capacity(much)).len().to_string()
});

#[expect(unconditional_recursion, reason = "a stack that overflows is what is to be found")]
fn depth(level: u64) -> u64 {
    std::hint::black_box(depth(std::hint::black_box(level + 1))) + 1
}

/// In a usual run these are no children.
fn child(target: &Target) {
    if std::env::var("OSTLER_FUZZ_SHOWN").is_ok() {
        println!("{}", supervise(target, &place("")).unwrap());
    }
}

#[test]
fn child_sound() {
    child(&SOUND);
}

#[test]
fn child_panics() {
    child(&PANICS);
}

#[test]
fn child_overflows() {
    child(&OVERFLOWS);
}

#[test]
fn child_reserves() {
    child(&RESERVES);
}

fn place(test: &str) -> Place {
    Place::new(env!("CARGO_MANIFEST_DIR"), &format!("ostler_fuzz::tests::{test}::here"))
}

#[test]
fn a_sound_parser_passes() {
    let told = supervise(&SOUND, &place("child_sound")).unwrap();
    assert!(told.starts_with("sample: 4000 inputs in "), "{told}");
}

#[test]
fn each_kind_of_fault_is_found_with_its_input() {
    for (target, test, part) in [
        (PANICS, "child_panics", "a fault"),
        (OVERFLOWS, "child_overflows", "overflowed its stack"),
        (RESERVES, "child_reserves", "memory allocation of 1073741824 bytes failed"),
    ] {
        let error = supervise(&target, &place(test)).unwrap_err();
        let FuzzError::Fault { input, output, .. } = &error else { panic!("{test}: {error}") };
        assert!(output.contains(part), "{test}: {error}");
        assert!(std::fs::read(input).unwrap().contains(&b'!'), "{test}");
        std::fs::remove_file(input).unwrap();
    }
}

#[test]
fn a_child_that_runs_nothing_is_a_fault() {
    let error = supervise(&SOUND, &place("child_of_another_name")).unwrap_err();
    assert!(matches!(error, FuzzError::Fault { .. }), "{error}");
}

#[test]
fn a_corpus_that_is_not_what_its_program_makes_is_named() {
    let other = Target { seeds: || vec![("sound", b"other".to_vec())], ..SOUND };
    assert!(matches!(supervise(&other, &place("child_sound")), Err(FuzzError::Seed { .. })));
    let missing = Target { seeds: || vec![("missing", Vec::new())], ..SOUND };
    assert!(matches!(supervise(&missing, &place("child_sound")), Err(FuzzError::File { .. })));
}

#[test]
fn a_test_is_known_by_its_name() {
    let place = crate::here!();
    assert_eq!(place.test, "tests::a_test_is_known_by_its_name");
    assert!(place.folder.ends_with("tests/fuzz"));
}
