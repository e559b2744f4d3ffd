//! Files of packed weights of which anything may be wrong.

use std::cell::OnceCell;
use std::sync::OnceLock;

use ostler_fuzz::{Seed, Target};

use super::super::*;

const KEY: [u8; 32] = [9; 32];

/// What was packed: two blocks, the second of which is short.
fn contents() -> &'static [u8] {
    static CONTENTS: OnceLock<Vec<u8>> = OnceLock::new();
    CONTENTS.get_or_init(|| (0..BLOCK_BYTES + 300).map(|number| (number % 251) as u8).collect())
}

/// The file of it as it is written, and a folder for others.
struct Bench {
    folder: tempfile::TempDir,
    whole: Vec<u8>,
    processor: Processor,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("whole");
        write(&path, &KEY, contents()).unwrap();
        let whole = std::fs::read(&path).unwrap();
        Self { folder, whole, processor: Processor::new(std::num::NonZeroUsize::new(1), None).unwrap() }
    }

    /// What reading a file comes to. What is taken for whole must be the very contents.
    fn read(&self, bytes: &[u8]) -> String {
        let path = self.folder.path().join("copy");
        std::fs::write(&path, bytes).unwrap();
        let length = contents().len();
        let mut arena = Arena::new(length as u64).unwrap();
        match read(&path, &KEY, &mut arena, length as u64, &self.processor) {
            Err(error @ PackedError::Damaged { .. }) => error.to_string(),
            Err(error) => panic!("{error}"),
            Ok(Found::Nothing) => "other weights".to_owned(),
            Ok(Found::Whole) => {
                assert!(
                    arena.bytes_mut(length).unwrap() == contents(),
                    "something else was taken for the contents"
                );
                "whole".to_owned()
            }
        }
    }
}

thread_local! {
    static BENCH: OnceCell<Bench> = const { OnceCell::new() };
}

/// The input is changes of the whole file: a place of three bytes and what is written there, or a length alone.
fn check(changes: &[u8]) -> String {
    BENCH.with(|bench| {
        let bench = bench.get_or_init(Bench::new);
        let mut bytes = bench.whole.clone();
        let mut rest = changes;
        while let Some((change, behind)) = rest.split_at_checked(5) {
            let place = u32::from_le_bytes([change[0], change[1], change[2], 0]) as usize;
            // The header is what most can go wrong in.
            let place = if change[3] & 1 == 0 { place % 96 } else { place };
            match bytes.get_mut(place) {
                Some(byte) if change[3] & 2 == 0 => *byte = change[4],
                _ => bytes.resize(place.min(bytes.len() + 1), change[4]),
            }
            rest = behind;
        }
        let told = bench.read(&bytes);
        assert!(told == "whole" || bytes != bench.whole, "{told}");
        told
    })
}

fn seeds() -> Vec<Seed> {
    let change = |place: u32, how: u8, byte: u8| {
        let place = place.to_le_bytes();
        vec![place[0], place[1], place[2], how, byte]
    };
    vec![
        ("as-written", Vec::new()),
        ("magic", change(0, 0, b'x')),
        ("key", change(8, 0, 1)),
        ("length", change(45, 0, 1)),
        ("checksum", change(50, 0, 1)),
        ("block", change(4_096 + 77, 1, 1)),
        ("last-byte", change(BLOCK_BYTES as u32 + 4_096 + 299, 1, 1)),
        ("cut-in-the-header", change(20, 2, 0)),
        ("cut-in-the-contents", change(500_000, 3, 0)),
        ("longer", change(0xff_ffff, 3, 0)),
    ]
}

/// As row 27 for our own packed weights: whatever lies there is the contents, or it is not taken.
#[test]
fn nothing_but_the_contents_is_taken_for_them() {
    ostler_fuzz::run!(Target { seeds, longest: 60, inputs: 500, ..Target::new("packed-weights", check) });
}
