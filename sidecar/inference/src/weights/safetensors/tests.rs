use std::collections::HashMap;

use half::{bf16, f16};
use safetensors::tensor::{Dtype, TensorView};

use super::*;

fn write(folder: &Path, name: &str, tensors: &[(&str, Dtype, Vec<usize>, Vec<u8>)]) {
    write_with(folder, name, tensors, None);
}

fn write_with(
    folder: &Path,
    name: &str,
    tensors: &[(&str, Dtype, Vec<usize>, Vec<u8>)],
    metadata: Option<HashMap<String, String>>,
) {
    let views = tensors
        .iter()
        .map(|(name, format, shape, bytes)| (*name, TensorView::new(*format, shape.clone(), bytes).unwrap()));
    std::fs::write(folder.join(name), safetensors::serialize(views, metadata).unwrap()).unwrap();
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn open(folder: &Path, purpose: Purpose) -> Result<Weights, LoadError> {
    Weights::open(folder, &PicklePolicy::Refused, purpose)
}

fn numbers(tensor: &candle_core::Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn tensors_of_every_float_format_are_read_as_floats_and_others_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let halves = [1.5f32, -2.0].iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect();
    let brains = [1.5f32, -2.0].iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect();
    let longs = [3i64, -4].iter().flat_map(|value| value.to_le_bytes()).collect();
    write(
        folder.path(),
        "model.safetensors",
        &[
            ("float", Dtype::F32, vec![1, 2], floats(&[1.5, -2.0])),
            ("half", Dtype::F16, vec![2], halves),
            ("brain", Dtype::BF16, vec![2], brains),
            ("long", Dtype::I64, vec![2], longs),
        ],
    );
    let weights = open(folder.path(), Purpose::Run).unwrap();
    assert_eq!(numbers(&weights.tensor("float", &[1, 2]).unwrap()), [1.5, -2.0]);
    assert_eq!(numbers(&weights.tensor("half", &[2]).unwrap()), [1.5, -2.0]);
    assert_eq!(numbers(&weights.tensor("brain", &[2]).unwrap()), [1.5, -2.0]);
    let long = weights.tensor("long", &[2]).unwrap_err();
    assert!(
        matches!(&long, LoadError::WrongFormat { tensor, found: "I64", .. } if tensor == "long"),
        "{long}"
    );
    assert_eq!(weights.finish(|name| name == "long").unwrap().resident_bytes, 3 * 8);
}

#[test]
fn a_tensor_larger_than_a_chunk_is_read_whole() {
    let folder = tempfile::tempdir().unwrap();
    let values: Vec<f32> = (0..400_000).map(|number| number as f32).collect();
    write(folder.path(), "model.safetensors", &[("large", Dtype::F32, vec![400_000], floats(&values))]);
    let weights = open(folder.path(), Purpose::Run).unwrap();
    assert_eq!(numbers(&weights.tensor("large", &[400_000]).unwrap()), values);
}

#[test]
fn shards_are_one_set_of_weights() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors");
    write(folder.path(), first, &[("a", Dtype::F32, vec![1], floats(&[1.0]))]);
    write(folder.path(), second, &[("b", Dtype::F32, vec![1], floats(&[2.0]))]);
    let index = |map: serde_json::Value| {
        let index = serde_json::json!({"metadata": {"total_size": 8}, "weight_map": map});
        std::fs::write(folder.path().join("model.safetensors.index.json"), index.to_string()).unwrap();
    };
    index(serde_json::json!({"a": first, "b": second}));
    let weights = open(folder.path(), Purpose::Run).unwrap();
    assert_eq!(numbers(&weights.tensor("b", &[1]).unwrap()), [2.0]);

    index(serde_json::json!({"a": first, "b": first}));
    assert!(
        matches!(open(folder.path(), Purpose::Run), Err(LoadError::MissingTensor { tensor, .. }) if tensor == "b")
    );
    index(serde_json::json!({"a": "../../etc/passwd"}));
    assert!(matches!(open(folder.path(), Purpose::Run), Err(LoadError::Corrupted { .. })));
    index(serde_json::json!({"a": "model-00001-of-00009.safetensors"}));
    assert!(matches!(open(folder.path(), Purpose::Run), Err(LoadError::MissingFile { .. })));
    write(folder.path(), second, &[("a", Dtype::F32, vec![1], floats(&[2.0]))]);
    index(serde_json::json!({"a": first, "b": second}));
    let error = open(folder.path(), Purpose::Run).err().unwrap().to_string();
    assert!(error.contains("is in model-00001-of-00002.safetensors too"), "{error}");
}

/// Row 32.
#[test]
fn row_32_missing_extra_and_misshapen_tensors_are_named_with_their_file() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        "model.safetensors",
        &[
            ("a", Dtype::F32, vec![2], floats(&[1.0, 2.0])),
            ("position_ids", Dtype::I64, vec![1], vec![0; 8]),
            ("extra", Dtype::U8, vec![1], vec![0]),
        ],
    );
    for purpose in [Purpose::Measure, Purpose::Run] {
        let weights = open(folder.path(), purpose).unwrap();
        let missing = weights.tensor("b", &[2]).unwrap_err().to_string();
        assert!(missing.contains("model.safetensors") && missing.contains("\"b\""), "{missing}");
        let misshapen = weights.tensor("a", &[1, 2]).unwrap_err().to_string();
        assert!(misshapen.contains("[2]") && misshapen.contains("[1, 2]"), "{misshapen}");
        weights.tensor("a", &[2]).unwrap();
        let extra = weights.finish(|name| name == "position_ids").unwrap_err();
        assert!(matches!(&extra, LoadError::UnexpectedTensor { tensor, .. } if tensor == "extra"), "{extra}");
        assert_eq!(extra.reason(), "Incompatible");
        assert_eq!(weights.finish(|name| name != "a").unwrap().resident_bytes, 8);
    }
}

/// Row 22: what a model takes is known from its header, and no weight is read for it.
#[test]
fn row_22_measuring_reserves_and_reads_nothing() {
    let folder = tempfile::tempdir().unwrap();
    // A header for a terabyte, in a sparse file of that size.
    let header = r#"{"a":{"dtype":"F32","shape":[262144,1048576],"data_offsets":[0,1099511627776]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    let file = File::create(folder.path().join("model.safetensors")).unwrap();
    file.write_all_at(&bytes, 0).unwrap();
    file.set_len(bytes.len() as u64 + (1 << 40)).unwrap();
    let weights = open(folder.path(), Purpose::Measure).unwrap();
    assert_eq!(weights.tensor("a", &[262_144, 1_048_576]).unwrap().dims(), [262_144, 1_048_576]);
    assert_eq!(weights.finish(|_| false).unwrap().resident_bytes, 1 << 40);
}

#[test]
fn another_name_of_the_same_bytes_is_the_same_tensor() {
    let folder = tempfile::tempdir().unwrap();
    let metadata =
        HashMap::from([("twin".to_owned(), "a".to_owned()), ("format".to_owned(), "pt".to_owned())]);
    let tensors = [("a", Dtype::F32, vec![1], floats(&[7.0]))];
    write_with(folder.path(), "model.safetensors", &tensors, Some(metadata));
    let weights = open(folder.path(), Purpose::Run).unwrap();
    assert_eq!(numbers(&weights.tensor("twin", &[1]).unwrap()), [7.0]);
    assert!(!weights.contains("format"));
    weights.finish(|_| false).unwrap();
}

#[test]
fn a_file_that_shrinks_after_it_was_opened_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "model.safetensors", &[("a", Dtype::F32, vec![2], floats(&[1.0, 2.0]))]);
    let weights = open(folder.path(), Purpose::Run).unwrap();
    let path = folder.path().join("model.safetensors");
    let length = std::fs::metadata(&path).unwrap().len();
    File::options().write(true).open(&path).unwrap().set_len(length - 4).unwrap();
    assert!(matches!(weights.tensor("a", &[2]), Err(LoadError::Io { .. })));
}

#[test]
fn files_that_are_no_safetensors_are_refused() {
    let cases: [(&str, Vec<u8>); 4] = [
        ("empty", Vec::new()),
        ("short", vec![1, 2, 3]),
        ("a web page", b"<html>Too many requests</html>".to_vec()),
        ("a pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n".to_vec()),
    ];
    for (name, bytes) in cases {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("model.safetensors"), bytes).unwrap();
        let error = open(folder.path(), Purpose::Run).err().unwrap();
        assert_eq!(error.reason(), "Corrupted", "{name}: {error}");
    }
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(open(folder.path(), Purpose::Run).err().unwrap().reason(), "MissingFile");
    std::fs::write(folder.path().join("pytorch_model.bin"), b"x").unwrap();
    assert_eq!(open(folder.path(), Purpose::Run).err().unwrap().reason(), "Unsafe");
}

/// Row 31: a GGUF file under another name, with an alignment of 0 and a tensor far beyond its end, is not looked into.
#[test]
fn row_31_gguf_is_refused_whatever_its_name() {
    let alignment =
        [&17_u64.to_le_bytes()[..], b"general.alignment", &4_u32.to_le_bytes(), &0_u32.to_le_bytes()]
            .concat();
    let head = |tensors: u64, values: u64| {
        [&b"GGUF"[..], &3_u32.to_le_bytes(), &tensors.to_le_bytes(), &values.to_le_bytes()].concat()
    };
    let by_nothing = [head(0, 1), alignment].concat();
    assert_eq!(by_nothing.len(), 57);
    for bytes in [by_nothing, head(u64::MAX, u64::MAX), head(0, 0)] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("model.safetensors"), &bytes).unwrap();
        let error = open(folder.path(), Purpose::Run).err().unwrap();
        assert_eq!(error.reason(), "Incompatible");
        assert!(error.to_string().contains("GGUF"), "{error}");
    }
}
