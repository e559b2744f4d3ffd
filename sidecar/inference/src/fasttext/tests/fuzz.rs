//! Files of which anything may be wrong.

use ostler_fuzz::{Seed, Target};

use super::*;

/// What comes of the error of each step.
fn check(bytes: &[u8]) -> String {
    let source = || Source::new(Cursor::new(bytes), bytes.len() as u64, "model.bin");
    let (measured, model) =
        (FastText::read(source(), Purpose::Measure), FastText::read(source(), Purpose::Run));
    // Weights are looked at when they are read, and not when they are measured.
    if let Err(error @ LoadError::NotFinite { .. }) = &model {
        return error.to_string();
    }
    let (measured, model) = match (measured, model) {
        (Ok(measured), Ok(model)) => (measured, model),
        (Err(error), Err(other)) => {
            assert_eq!(error.to_string(), other.to_string(), "both ways of reading see the same");
            assert!(matches!(error.reason(), "Corrupted" | "Incompatible"), "{error}");
            return error.to_string();
        }
        _ => panic!("measuring and reading disagree"),
    };
    let size = |model: &FastText| model.dictionary.bytes() + model.input.bytes() + model.labels.bytes();
    assert_eq!(size(&measured), size(&model));
    // An entry of the dictionary is ten bytes of the file at least, and a few dozen here.
    assert!(size(&model) <= 16 * bytes.len() as u64 + 4_096, "{} of {}", size(&model), bytes.len());
    match model.label("das ist ein Haus \u{0} </s> the dog") {
        Ok(labels) => {
            assert!(labels.len() <= model.labels.count());
            assert!(labels.iter().all(|label| (0.0..=1.0).contains(&label.score)));
        }
        Err(error) => assert!(matches!(error, EngineError::NotFinite(_)), "{error}"),
    }
    drop(model.canary());
    let (is_pruned, labels) = (model.dictionary.is_pruned(), model.labels.count());
    format!("read; pruned: {is_pruned}; labels: {}", "+".repeat(labels.min(3)))
}

/// The header of a classifier, and what follows it.
fn file(numbers: &[i32], rest: &[u8]) -> Vec<u8> {
    let numbers = numbers.iter().flat_map(|number| number.to_le_bytes());
    [793_712_314_i32, 12]
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .chain(numbers)
        .chain(rest.iter().copied())
        .collect()
}

fn seeds() -> Vec<Seed> {
    // dim, ws, epoch, minCount, neg, wordNgrams, loss, model, bucket, minn, maxn, lrUpdateRate, t.
    let header = [2, 5, 5, 1, 5, 1, 3, 3, 0, 0, 0, 100, 0, 0];
    let dictionary = |size: i32, words: i32, labels: i32, pruned: i64| {
        let counts = [size, words, labels].map(i32::to_le_bytes).concat();
        [&counts[..], &1_i64.to_le_bytes(), &pruned.to_le_bytes()].concat()
    };
    let entry = |text: &str, kind: u8| [text.as_bytes(), &[0], &3_i64.to_le_bytes(), &[kind]].concat();
    let matrix = |rows: i64, columns: i64| {
        let numbers = vec![0x3f; rows.min(8) as usize * columns as usize * 4];
        [&[0][..], &rows.to_le_bytes(), &columns.to_le_bytes(), &numbers].concat()
    };
    let small =
        [dictionary(2, 1, 1, -1), entry("dog", 0), entry("__label__en", 1), matrix(1, 2), matrix(1, 2)]
            .concat();
    let claims = |size, words, labels, pruned| file(&header, &dictionary(size, words, labels, pruned));
    vec![
        ("small", file(&header, &small)),
        ("entries-of-16-gb", claims(i32::MAX, i32::MAX - 1, 1, -1)),
        ("pruned-rows-without-end", claims(1, 0, 1, i64::MAX)),
        ("no-labels", claims(0, 0, 0, -1)),
        ("rows-without-end", file(&header, &[&small[..small.len() - 50], &matrix(i64::MAX, 2)].concat())),
    ]
}

/// As row 27 for fastText's files: what they claim is compared with what they are before anything is reserved.
#[test]
fn no_file_claims_more_than_it_is() {
    ostler_fuzz::run!(Target {
        seeds,
        files: &[
            "tests/goldens/fasttext/words-softmax.bin",
            "tests/goldens/fasttext/pruned-softmax.ftz",
            "tests/goldens/fasttext/unsupported-ova.bin",
        ],
        tokens: &[b"__label__", b"</s>", b"\0", b"\x01", &[0xff; 8], &[0; 8], b"\xff\xff\xff\x7f"],
        longest: 16 << 10,
        inputs: 4_000,
        ..Target::new("fasttext", check)
    });
}
