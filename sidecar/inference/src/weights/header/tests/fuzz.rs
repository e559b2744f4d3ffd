//! Whole files, of which anything may be wrong.

use ostler_fuzz::{Seed, Target};
use safetensors::SafeTensors;

use super::*;

/// Reads the header as [`crate::weights::Weights`] does. What is accepted has every tensor inside of the file, none over
/// another, and is the same to the format's own library.
fn check(bytes: &[u8]) -> String {
    let length = bytes.len() as u64;
    let Some(first) = bytes.first_chunk() else { return "short".to_owned() };
    let header = match header_length(*first, length) {
        Ok(header_length) => {
            parse(&bytes[8..8 + header_length], length).map(|header| (header, header_length))
        }
        Err(error) => Err(error),
    };
    let (header, header_length) = match header {
        Ok(read) => read,
        Err(error) => return error.to_string(),
    };
    let data = &bytes[8 + header_length..];
    let mut taken = vec![false; data.len()];
    for info in header.tensors.values() {
        let numbers: usize = info.shape.iter().product();
        assert_eq!(info.length, (numbers * info.format.size()) as u64);
        assert_eq!(info.elements(), numbers as u64);
        for byte in &mut taken[info.start as usize..(info.start + info.length) as usize] {
            assert!(!std::mem::replace(byte, true), "two tensors have the same byte");
        }
    }
    assert!(taken.iter().all(|byte| *byte), "a byte belongs to no tensor");
    let library = SafeTensors::deserialize(bytes).unwrap();
    assert_eq!(library.len(), header.tensors.len());
    for (name, tensor) in library.tensors() {
        let info = &header.tensors[&name];
        assert_eq!(tensor.shape(), info.shape);
        assert_eq!(tensor.data(), &data[info.start as usize..(info.start + info.length) as usize]);
    }
    format!("{} tensors", "+".repeat(header.tensors.len()))
}

fn file(header: &str, data: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![7; data]].concat()
}

/// Rows 27 and 28.
fn seeds() -> Vec<Seed> {
    let tensor = |name: &str, dtype: &str, shape: &str, offsets: &str| {
        format!("\"{name}\":{{\"dtype\":\"{dtype}\",\"shape\":[{shape}],\"data_offsets\":[{offsets}]}}")
    };
    let of = |tensors: &[String], data| file(&format!("{{{}}}", tensors.join(",")), data);
    let two = [tensor("a", "F32", "2", "0,8"), tensor("b", "I8", "2,2", "8,12")];
    let with_length = |length: u64| [&length.to_le_bytes(), two[0].as_bytes()].concat();
    vec![
        ("one", file(ONE, 8)),
        ("two", of(&two, 12)),
        (
            "aliases",
            file(&format!("{{\"__metadata__\":{{\"c\":\"a\",\"format\":\"pt\"}},{}}}  ", two.join(",")), 12),
        ),
        ("no-numbers", of(&[tensor("a", "F32", "0,3", "0,0"), tensor("b", "U8", "", "0,1")], 1)),
        ("length-2-to-the-63", with_length(1 << 63)),
        ("length-over-the-cap", with_length(MAX_HEADER_BYTES + 1)),
        ("length-beyond-the-file", with_length(1_000)),
        ("not-utf8", [&12u64.to_le_bytes()[..], b"{\"\xff\":\"\xfe\"}   "].concat()),
        ("duplicate", of(&[tensor("a", "U8", "1", "0,1"), tensor("a", "U8", "1", "1,2")], 2)),
        ("overlap", of(&[tensor("a", "U8", "2", "0,2"), tensor("b", "U8", "2", "1,3")], 3)),
        ("gap", of(&[tensor("a", "U8", "1", "0,1"), tensor("b", "U8", "1", "2,3")], 3)),
        ("overflow", of(&[tensor("a", "F32", "4294967296,4294967296", "0,8")], 8)),
        ("trailing-bytes", file(ONE, 9)),
        ("truncated", file(ONE, 7)),
        ("deep", file(&format!("{{\"a\":{}", "[".repeat(3_000)), 0)),
    ]
}

#[test]
fn row_27_and_28_what_is_accepted_is_whole_and_does_not_overlap() {
    ostler_fuzz::run!(Target {
        seeds,
        tokens: &[
            b"\"dtype\":\"",
            b"\"F64\"",
            b"\"BOOL\"",
            b"\"BF16\"",
            b"\"shape\":[",
            b"\"data_offsets\":[",
            b"__metadata__",
            b"{",
            b"}",
            b"[",
            b"]",
            b",",
            b"\"b\":",
            b"1e1",
            b"-1",
            b"0.5",
            b" ",
            b"\\u0061",
        ],
        inputs: 25_000,
        ..Target::new("safetensors", check)
    });
}
