//! Pickles and archives of which anything may be wrong, converted in this process; its limits are those of a test.

use std::cell::OnceCell;
use std::path::Path;

use ostler_fuzz::{Seed, Target};

use super::*;
use crate::weights::header;

thread_local! {
    static FOLDER: OnceCell<tempfile::TempDir> = const { OnceCell::new() };
}

/// Converts a file. What comes of it is a whole safetensors file that is no larger than its source and a header, or an
/// error that says of whom it speaks.
fn converted(bytes: &[u8]) -> String {
    FOLDER.with(|folder| converted_in(folder.get_or_init(|| tempfile::tempdir().unwrap()).path(), bytes))
}

fn converted_in(folder: &Path, bytes: &[u8]) -> String {
    let (pickle, output) = (folder.join("pytorch_model.bin"), folder.join("model.safetensors"));
    std::fs::write(&pickle, bytes).unwrap();
    if output.exists() {
        std::fs::remove_file(&output).unwrap();
    }
    match convert(&pickle, &output) {
        Err(error) => {
            assert!(!matches!(error, ConvertError::Write(_)), "{error}");
            error.to_string()
        }
        Ok(()) => {
            let file = std::fs::read(&output).unwrap();
            let length = header::header_length(*file.first_chunk().unwrap(), file.len() as u64).unwrap();
            let header = header::parse(&file[8..8 + length], file.len() as u64).unwrap();
            let data: u64 = header.tensors.values().map(|tensor| tensor.length).sum();
            assert!(data <= bytes.len() as u64, "{data} bytes of tensors come of {}", bytes.len());
            format!("{} tensors", "+".repeat(header.tensors.len().min(3)))
        }
    }
}

/// The opcodes of a pickle alone, in an archive that is always whole.
fn check_opcodes(bytes: &[u8]) -> String {
    converted(&stored(bytes))
}

/// A tensor whose shape and strides have so many dimensions.
pub(super) fn of_dimensions(count: usize) -> Vec<u8> {
    let many = [&b"("[..], &b"K\x01".repeat(count), b"t"].concat();
    pickle_of(STORAGE, &[&b"K\x00"[..], &many, &many, b"\x89)"].concat())
}

/// Rows 29 and 30.
fn opcodes() -> Vec<Seed> {
    let call = |global: &str| [&b"\x80\x02c"[..], global.as_bytes(), b"\n(X\x02\x00\x00\x00idtR."].concat();
    // A tuple of a thousand numbers, remembered, and tensors that have it as their shape.
    let remembered = [&b"("[..], &b"K\x01".repeat(1_000), b"tq\x00"].concat();
    let again = [&b"(ctorch._utils\n_rebuild_tensor_v2\n("[..], STORAGE, b"K\x00h\x00h\x00\x89)tR"].concat();
    let shapes = [&b"\x80\x02"[..], &remembered, &again.repeat(20), b"."].concat();
    // No numbers, in dimensions whose product overflows.
    let large = b"\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x40";
    let nothing = [&b"K\x00(K\x00"[..], large, large, b"t(K\x01", large, b"K\x01t\x89)"].concat();
    vec![
        ("tensor", pickle_of(STORAGE, VIEW)),
        ("no-numbers", pickle_of(STORAGE, &nothing)),
        (
            "transposed",
            pickle_of(STORAGE, b"K\x00K\x03K\x02\x86K\x01K\x03\x86\x89ccollections\nOrderedDict\n)R"),
        ),
        ("scalar", pickle_of(STORAGE, b"K\x02))\x89)")),
        ("os-system", call("os\nsystem")),
        ("eval", call("__builtin__\neval")),
        ("stack-global", b"\x80\x04\x8c\x02os\x8c\x06system\x93.".to_vec()),
        ("instance", b"(ios\nsystem\n.".to_vec()),
        ("nested-tuples", [&b"\x80\x02)"[..], &b"\x85".repeat(3_000), b"."].concat()),
        ("nested-lists", [&b"\x80\x02"[..], &b"]".repeat(1_500), &b"a".repeat(1_499), b"."].concat()),
        ("laughs", [&b"\x80\x02)"[..], &b"2\x86".repeat(64), b"."].concat()),
        ("far-memo", b"Nr\xff\xff\xff\x7f.".to_vec()),
        ("short-tuple", b"ctorch._utils\n_rebuild_tensor_v2\n)R.".to_vec()),
        ("many-dimensions", of_dimensions(1_000)),
        ("shapes-remembered", shapes),
        ("long-text", b"X\xff\xff\xff\xffa.".to_vec()),
    ]
}

#[test]
fn row_29_and_30_no_pickle_does_more_than_build_tensors() {
    ostler_fuzz::run!(Target {
        seeds: opcodes,
        tokens: &[
            b"\x80\x02",
            b"}",
            b"(",
            b"u",
            b"s",
            b".",
            b"t",
            b"\x85",
            b"\x86",
            b"\x87",
            b"]",
            b"a",
            b"e",
            b"2",
            b"q\x00",
            b"h\x00",
            b"\x94",
            b"R",
            b"b",
            b"Q",
            b"N",
            b"\x88",
            b"K\x08",
            b"J\xff\xff\xff\xff",
            b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f",
            b"ctorch._utils\n_rebuild_tensor_v2\n",
            b"ctorch._utils\n_rebuild_parameter\n",
            b"ccollections\nOrderedDict\n",
            b"ctorch\nLongStorage\n",
            b"X\x01\x00\x00\x00b",
            STORAGE,
            VIEW,
        ],
        inputs: 6_000,
        ..Target::new("pickle", check_opcodes)
    });
}

fn archives() -> Vec<Seed> {
    let good = pickle_of(STORAGE, VIEW);
    let numbers = floats(&NUMBERS);
    let deflated = zip::CompressionMethod::Deflated;
    vec![
        ("zip", stored(&good)),
        ("rows", rows()),
        ("deflated", archive(&[("a/data.pkl", &good), ("a/data/0", &[0; 600])], deflated)),
        ("bomb", archive(&[("a/data.pkl", &vec![b'N'; 1 << 20]), ("a/data/0", &numbers)], deflated)),
        (
            "outside",
            archive(&[("../data.pkl", &good), ("../data/0", &numbers)], zip::CompressionMethod::Stored),
        ),
        ("error-page", b"<html>Not found</html>".to_vec()),
        ("cut", b"PK\x03\x04broken".to_vec()),
    ]
}

#[test]
fn row_30_no_archive_gives_more_than_it_holds() {
    ostler_fuzz::run!(Target {
        seeds: archives,
        tokens: &[
            b"PK\x01\x02",
            b"PK\x03\x04",
            b"PK\x05\x06",
            b"PK\x06\x06",
            b"PK\x06\x07",
            b"data.pkl",
            b"a/data/0",
            b"\x08\x00",
            b"\x01\x00",
            b"../",
            b"\xff\xff\xff\xff",
            b"\x01\x00\x10\x00",
        ],
        inputs: 6_000,
        // Deflated, a pickle is a thousandth of what is read of it at most.
        memory: 192 << 20,
        ..Target::new("pickle-archive", converted)
    });
}
