use std::collections::HashMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use safetensors::tensor::{Dtype, TensorView};

use super::*;

mod fuzz;

fn header(json: &str, data: u64) -> Result<Header, HeaderError> {
    parse(json.as_bytes(), 8 + json.len() as u64 + data)
}

const ONE: &str = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;

#[test]
fn a_sound_header_is_read() {
    let parsed = header(ONE, 8).unwrap();
    let info = TensorInfo { format: NumberFormat::F32, shape: vec![2], start: 0, length: 8 };
    assert_eq!(parsed.tensors, BTreeMap::from([("a".to_owned(), info)]));
    let spaced = format!("{ONE}   ");
    assert_eq!(header(&spaced, 8).unwrap(), parsed);
    assert_eq!(header("{}", 0).unwrap(), Header::default());
}

/// Row 27.
#[test]
fn row_27_lengths_are_checked_before_anything_is_reserved() {
    assert_eq!(header_length((1u64 << 63).to_le_bytes(), 1000), Err(HeaderError::TooLong(1 << 63)));
    assert_eq!(header_length(u64::MAX.to_le_bytes(), 1000), Err(HeaderError::TooLong(u64::MAX)));
    assert_eq!(
        header_length(100u64.to_le_bytes(), 50),
        Err(HeaderError::BeyondFile { claimed: 100, available: 42 })
    );
    assert_eq!(header_length(0u64.to_le_bytes(), 7), Err(HeaderError::TooShort(7)));
    assert_eq!(header_length(42u64.to_le_bytes(), 50), Ok(42));
}

/// Rows 27 and 28 of hostile headers: what is wrong, the header, the bytes of data, a part of the error's text.
#[test]
fn row_27_and_28_hostile_headers_are_refused_at_once_by_what_is_wrong_with_them() {
    let tensor = |name: &str, dtype: &str, shape: &str, offsets: &str| {
        format!(r#""{name}":{{"dtype":"{dtype}","shape":[{shape}],"data_offsets":[{offsets}]}}"#)
    };
    let object = |entries: &[String]| format!("{{{}}}", entries.join(","));
    let cases = [
        ("no object", "[]".to_owned(), 0, "does not begin with"),
        ("leading space", format!(" {ONE}"), 8, "does not begin with"),
        ("not json", "{\"a\":".to_owned(), 0, "not a safetensors header"),
        ("trailing text", format!("{ONE}x"), 8, "not a safetensors header"),
        ("deep nesting", format!("{{\"a\":{}", "[".repeat(100_000)), 0, "not a safetensors header"),
        (
            "duplicate key",
            object(&[tensor("a", "U8", "1", "0,1"), tensor("a", "U8", "1", "1,2")]),
            2,
            "twice",
        ),
        ("duplicate metadata", "{\"__metadata__\":{},\"__metadata__\":{}}".to_owned(), 0, "twice"),
        (
            "duplicate field",
            r#"{"a":{"dtype":"U8","dtype":"U8","shape":[],"data_offsets":[0,1]}}"#.to_owned(),
            1,
            "dtype",
        ),
        (
            "unknown field",
            r#"{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1],"x":1}}"#.to_owned(),
            1,
            "unknown field",
        ),
        ("metadata of numbers", r#"{"__metadata__":{"a":1}}"#.to_owned(), 0, "invalid type"),
        ("unknown format", object(&[tensor("a", "F8_E4M3", "1", "0,1")]), 1, "F8_E4M3"),
        ("negative dimension", object(&[tensor("a", "U8", "-1", "0,1")]), 1, "invalid value"),
        ("fractional dimension", object(&[tensor("a", "U8", "1.5", "0,1")]), 1, "invalid type"),
        ("overflowing shape", object(&[tensor("a", "F32", "4294967296,4294967296", "0,8")]), 8, "overflows"),
        ("overflowing size", object(&[tensor("a", "F64", "2305843009213693952", "0,8")]), 8, "overflows"),
        ("many dimensions", object(&[tensor("a", "U8", "1,1,1,1,1,1,1,1,1", "0,1")]), 1, "dimensions"),
        ("shape of other length", object(&[tensor("a", "F32", "3", "0,8")]), 8, "its shape needs 12"),
        ("reversed range", object(&[tensor("a", "U8", "1", "1,0")]), 1, "overlap"),
        ("overlap", object(&[tensor("a", "U8", "2", "0,2"), tensor("b", "U8", "2", "1,3")]), 3, "overlap"),
        ("same range", object(&[tensor("a", "U8", "2", "0,2"), tensor("b", "U8", "2", "0,2")]), 2, "overlap"),
        (
            "gap",
            object(&[tensor("a", "U8", "1", "0,1"), tensor("b", "U8", "1", "2,3")]),
            3,
            "belong to no tensor",
        ),
        ("gap in front", object(&[tensor("a", "U8", "1", "1,2")]), 2, "belong to no tensor"),
        ("trailing bytes", ONE.to_owned(), 9, "end at byte 8 of 9"),
        ("truncated data", ONE.to_owned(), 7, "end at byte 8 of 7"),
        (
            "far range",
            object(&[tensor("a", "U8", "1", "18446744073709551614,18446744073709551615")]),
            1,
            "no tensor",
        ),
    ];
    for (name, json, data, part) in cases {
        let error = header(&json, data).expect_err(name).to_string();
        assert!(error.contains(part), "{name}: {error}");
        let timed = || {
            let started = Instant::now();
            drop(header(&json, data));
            started.elapsed()
        };
        // A busy machine may hold up one of them.
        let fastest = (0..5).map(|_| timed()).min();
        assert!(fastest < Some(Duration::from_millis(100)), "{name}: {fastest:?}");
    }
    assert_eq!(parse(b"{\"\xff\":1}", 100), Err(HeaderError::NotUtf8(2)));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), length in any::<u64>()) {
        let _ = parse(&bytes, length);
    }

    #[test]
    fn no_change_of_a_sound_header_makes_it_panic(
        at in 0usize..54,
        byte in any::<u8>(),
        length in 0u64..200,
    ) {
        let mut bytes = ONE.as_bytes().to_vec();
        bytes[at] = byte;
        let _ = parse(&bytes, length);
    }

    #[test]
    fn what_the_safetensors_crate_writes_is_read_with_the_same_shapes(
        tensors in prop::collection::btree_map("[a-z._0-9]{1,12}", (0usize..4, prop::collection::vec(0usize..4, 0..4)), 1..6),
        metadata in prop::option::of(prop::collection::hash_map("[a-z]{1,4}", "\\PC{0,6}", 0..3)),
    ) {
        let formats = [Dtype::F32, Dtype::F16, Dtype::I64, Dtype::U8];
        let sizes = [4, 2, 8, 1];
        let bytes: Vec<Vec<u8>> = tensors
            .values()
            .map(|(format, shape)| vec![0; shape.iter().product::<usize>() * sizes[*format]])
            .collect();
        let views: HashMap<&String, TensorView<'_>> = tensors
            .iter()
            .zip(&bytes)
            .map(|((name, (format, shape)), bytes)| {
                (name, TensorView::new(formats[*format], shape.clone(), bytes).unwrap())
            })
            .collect();
        let file = safetensors::serialize(views, metadata).unwrap();
        let length = header_length(file[..8].try_into().unwrap(), file.len() as u64).unwrap();
        let parsed = parse(&file[8..8 + length], file.len() as u64).unwrap();
        prop_assert_eq!(parsed.tensors.len(), tensors.len());
        for (name, (_, shape)) in &tensors {
            prop_assert_eq!(&parsed.tensors[name].shape, shape);
        }
    }
}
