use std::io::Write;

use super::*;
use crate::weights::{Purpose, Weights};

mod fuzz;

/// A pickle of `{"a": tensor}` where `storage` and `view` are opcodes: the persistent id's tuple and the
/// arguments after it.
fn pickle_of(storage: &[u8], view: &[u8]) -> Vec<u8> {
    [b"\x80\x02}(X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n(", storage, view, b"tRu."].concat()
}

const STORAGE: &[u8] =
    b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06tQ";
/// Offset 0, shape (2, 3), strides (3, 1), no gradient, no hooks.
const VIEW: &[u8] = b"K\x00K\x02K\x03\x86K\x03K\x01\x86\x89ccollections\nOrderedDict\n)R";

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

const NUMBERS: [f32; 6] = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];

fn archive(entries: &[(&str, &[u8])], method: zip::CompressionMethod) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(method);
    for (name, bytes) in entries {
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn stored(pickle: &[u8]) -> Vec<u8> {
    let entries = [("archive/data.pkl", pickle), ("archive/data/0", &floats(&NUMBERS))];
    archive(&entries, zip::CompressionMethod::Stored)
}

/// A folder with the pickle, and where its conversion goes.
fn folder(bytes: &[u8]) -> (tempfile::TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let pickle = folder.path().join("pytorch_model.bin");
    std::fs::write(&pickle, bytes).unwrap();
    let output = folder.path().join("model.safetensors");
    (folder, pickle, output)
}

fn converted_numbers(bytes: &[u8], shape: &[usize]) -> Vec<f32> {
    let (folder, pickle, output) = folder(bytes);
    convert(&pickle, &output).unwrap();
    let weights = Weights::open(folder.path(), &PicklePolicy::Refused, Purpose::Run).unwrap();
    weights.tensor("a", shape).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn a_tensor_comes_out_as_it_was_saved() {
    assert_eq!(converted_numbers(&stored(&pickle_of(STORAGE, VIEW)), &[2, 3]), NUMBERS);
}

#[test]
fn a_transposed_view_is_laid_out_anew() {
    let transposed = b"K\x00K\x03K\x02\x86K\x01K\x03\x86\x89ccollections\nOrderedDict\n)R";
    let numbers = converted_numbers(&stored(&pickle_of(STORAGE, transposed)), &[3, 2]);
    assert_eq!(numbers, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
}

#[test]
fn a_view_may_begin_within_its_storage() {
    let part = b"K\x04K\x02\x85K\x01\x85\x89ccollections\nOrderedDict\n)R";
    assert_eq!(converted_numbers(&stored(&pickle_of(STORAGE, part)), &[2]), [4.0, 5.0]);
}

/// A file of torch before 1.6: pickles in a row, and the numbers behind them.
fn rows() -> Vec<u8> {
    let magic = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";
    let protocol = b"\x80\x02M\xe9\x03.";
    let system = b"\x80\x02}(X\x0d\x00\x00\x00little_endian\x88u.";
    let storage =
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06NtQ";
    let keys = b"\x80\x02](X\x01\x00\x00\x000e.";
    let pickle = pickle_of(storage, VIEW);
    [&magic[..], protocol, system, &pickle, keys, &6u64.to_le_bytes(), &floats(&NUMBERS)].concat()
}

#[test]
fn the_row_of_pickles_before_torch_1_6_is_read() {
    let bytes = rows();
    assert_eq!(converted_numbers(&bytes, &[2, 3]), NUMBERS);
    let (_folder, pickle, output) = folder(&bytes[..bytes.len() - 1]);
    assert!(matches!(convert(&pickle, &output), Err(ConvertError::Corrupted(_))));
}

/// Rows 29 and 30 of hostile pickles: whether it counts as unsafe, the file, a part of the error's text.
#[test]
fn row_29_and_30_hostile_pickles_are_refused_and_nothing_is_called() {
    let text = |text: &str| [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    let call = |global: &str| [&b"\x80\x02c"[..], global.as_bytes(), b"\n(", &text("id"), b"tR."].concat();
    let nested_tuples = [&b"\x80\x02)"[..], &b"\x85".repeat(200_000), b"."].concat();
    let nested_lists = [&b"\x80\x02"[..], &b"]".repeat(200_000), &b"a".repeat(199_999), b"."].concat();
    let laughs = [&b"\x80\x02)"[..], &b"2\x86".repeat(64), b"."].concat();
    let many = [&b"\x80\x02"[..], &b"N".repeat(1_100_000), b"."].concat();
    let huge = [&b"K\x00\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x40K\x08\x86K\x00K\x00\x86\x89)"[..]].concat();
    let cases: Vec<(&str, bool, Vec<u8>, &str)> = vec![
        ("os.system", true, call("os\nsystem"), "os.system"),
        ("posix.system", true, call("posix\nsystem"), "posix.system"),
        ("eval", true, call("__builtin__\neval"), "__builtin__.eval"),
        ("subprocess", true, call("subprocess\nPopen"), "subprocess.Popen"),
        (
            "a loader in torch",
            true,
            call("torch.storage\n_load_from_bytes"),
            "torch.storage._load_from_bytes",
        ),
        ("numpy", true, call("numpy.core.multiarray\n_reconstruct"), "numpy.core.multiarray._reconstruct"),
        (
            "a global from the stack",
            true,
            [&b"\x80\x04"[..], &text("os"), &text("system"), b"\x93."].concat(),
            "os.system",
        ),
        ("control characters", true, call("os\x1b[2J\nsystem"), "\\u{1b}[2J"),
        ("INST", true, b"(ios\nsystem\n.".to_vec(), "0x69"),
        ("OBJ", true, b"(cos\nsystem\no.".to_vec(), "os.system"),
        ("NEWOBJ", true, b"ccollections\nOrderedDict\n)\x81.".to_vec(), "0x81"),
        ("extension registry", true, b"\x82\x01.".to_vec(), "0x82"),
        ("PERSID", true, b"Pabc\n.".to_vec(), "0x50"),
        ("a dictionary called with arguments", true, call("collections\nOrderedDict"), "weights do not need"),
        ("nested tuples", true, nested_tuples, "limit of nesting"),
        ("a thousand million laughs", true, laughs, "limit of nesting"),
        ("nested lists", false, nested_lists, "no dictionary of tensors"),
        ("a far memo", true, b"Nr\xff\xff\xff\x7f.".to_vec(), "limit of memo"),
        ("an unset memo", true, b"h\x05.".to_vec(), "nothing remembered"),
        ("a full stack", true, many, "limit of stack"),
        ("a short tuple", true, b"ctorch._utils\n_rebuild_tensor_v2\n)R.".to_vec(), "weights do not need"),
        ("a short persistent id", true, b")Q.".to_vec(), "no storage"),
        ("a pop of nothing", true, b"0.".to_vec(), "empty stack"),
        ("a value from below a mark", true, b"(R.".to_vec(), "a mark"),
        ("a build on a tensor", true, b"NNb.".to_vec(), "no dictionary"),
        ("a text of 4 GB", false, b"X\xff\xff\xff\xffa.".to_vec(), "ends within"),
        ("no stop", false, b"\x80\x02N".to_vec(), "ends within"),
        ("nothing", false, Vec::new(), "ends within"),
        ("no dictionary", false, b"N.".to_vec(), "no dictionary of tensors"),
        ("no tensor", false, [&b"}("[..], &text("a"), b"Nu."].concat(), "no tensor"),
        ("many dimensions", true, fuzz::of_dimensions(9), "limit of dimensions"),
        (
            "a view beyond its storage",
            false,
            pickle_of(STORAGE, b"K\x05K\x02\x85K\x01\x85\x89)"),
            "larger than its storage",
        ),
        ("a view of overflowing size", false, pickle_of(STORAGE, &huge), "overflows"),
        ("strides of other length", false, pickle_of(STORAGE, b"K\x00K\x02\x85)\x89)"), "do not fit"),
        (
            "a negative offset",
            true,
            pickle_of(STORAGE, b"J\xff\xff\xff\xffK\x02\x85K\x01\x85\x89)"),
            "weights do not need",
        ),
        (
            "a view larger than the file",
            true,
            pickle_of(STORAGE, b"K\x00J\x00\x00\x00\x40\x85K\x00\x85\x89)"),
            "more bytes of tensors than it has",
        ),
    ];
    for (name, is_unsafe, pickle, part) in cases {
        let (_folder, path, output) = folder(&stored(&pickle));
        let error = convert(&path, &output).expect_err(name);
        assert_eq!(matches!(error, ConvertError::Unsafe(_)), is_unsafe, "{name}: {error}");
        assert!(error.to_string().contains(part), "{name}: {error}");
        assert!(!output.exists(), "{name}");
    }
}

#[test]
fn hostile_archives_are_refused() {
    let good = pickle_of(STORAGE, VIEW);
    let numbers = floats(&NUMBERS);
    let stored = zip::CompressionMethod::Stored;
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("no pickle", archive(&[("archive/data/0", &numbers)], stored), "no data.pkl"),
        ("no storage", archive(&[("archive/data.pkl", &good)], stored), "lacks the storage"),
        (
            "a short storage",
            archive(&[("archive/data.pkl", &good), ("archive/data/0", &numbers[..20])], stored),
            "which has 20 bytes",
        ),
        (
            "a compressed storage",
            archive(
                &[("archive/data.pkl", &good), ("archive/data/0", &[0; 4096])],
                zip::CompressionMethod::Deflated,
            ),
            "otherwise than torch.save",
        ),
        (
            "big-endian numbers",
            archive(
                &[("archive/data.pkl", &good), ("archive/byteorder", b"big"), ("archive/data/0", &numbers)],
                stored,
            ),
            "byte order",
        ),
        ("a web page", b"<html>Not found</html>".to_vec(), ""),
        ("a broken zip", b"PK\x03\x04broken".to_vec(), "zip"),
        ("nearly nothing", b"PK".to_vec(), ""),
    ];
    for (name, bytes, part) in cases {
        let (_folder, path, output) = folder(&bytes);
        let error = convert(&path, &output).expect_err(name);
        assert!(error.to_string().contains(part), "{name}: {error}");
        assert!(!output.exists(), "{name}");
    }
}

proptest::proptest! {
    #[test]
    fn no_change_of_a_sound_archive_makes_it_panic(at in 0usize..600, byte in proptest::prelude::any::<u8>()) {
        let mut bytes = stored(&pickle_of(STORAGE, VIEW));
        let at = at % bytes.len();
        bytes[at] = byte;
        let (_folder, path, output) = folder(&bytes);
        let _ = convert(&path, &output);
    }
}

/// Runs this test program as the child: the test [`child_entry`] alone, with the two paths behind.
fn policy(scratch: &Path) -> PicklePolicy {
    PicklePolicy::Child {
        program: std::env::current_exe().unwrap(),
        arguments: ["--exact", "weights::pickle::tests::child_entry", "--nocapture", "--test-threads=1"]
            .map(OsString::from)
            .to_vec(),
        scratch_folder: scratch.to_owned(),
    }
}

/// What `ostler-sidecar unpickle IN OUT` does. Without the two paths (in a usual run of the tests) it does
/// nothing.
#[test]
fn child_entry() {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if let [_, exact, _, _, _, input, output] = &arguments[..]
        && exact == "--exact"
    {
        let _ = run_child(Path::new(input), Path::new(output));
    }
}

#[test]
fn a_pickle_is_converted_once_by_a_child() {
    let (model, _, _) = folder(&stored(&pickle_of(STORAGE, VIEW)));
    let scratch = tempfile::tempdir().unwrap();
    let policy = policy(&scratch.path().join("converted"));
    for purpose in [Purpose::Measure, Purpose::Run] {
        let weights = Weights::open(model.path(), &policy, purpose).unwrap();
        assert_eq!(weights.tensor("a", &[2, 3]).unwrap().dims(), [2, 3]);
    }
    let files: Vec<_> = std::fs::read_dir(scratch.path().join("converted")).unwrap().collect();
    assert_eq!(files.len(), 1, "one converted file, and nothing half done beside it");
    let first = files[0].as_ref().unwrap().metadata().unwrap().modified().unwrap();
    Weights::open(model.path(), &policy, Purpose::Run).unwrap();
    let file = std::fs::read_dir(scratch.path().join("converted")).unwrap().next().unwrap().unwrap();
    assert_eq!(file.metadata().unwrap().modified().unwrap(), first);
}

#[test]
fn shards_of_pickles_are_converted_one_by_one() {
    let scratch = tempfile::tempdir().unwrap();
    let policy = policy(&scratch.path().join("converted"));
    let model = tempfile::tempdir().unwrap();
    let named_b: Vec<u8> = {
        let mut bytes = pickle_of(STORAGE, VIEW);
        let place = bytes.windows(2).position(|pair| pair == b"\x00a").unwrap() + 1;
        bytes[place] = b'b';
        bytes
    };
    let shard = |number| format!("pytorch_model-{number:05}-of-00002.bin");
    std::fs::write(model.path().join(shard(1)), stored(&pickle_of(STORAGE, VIEW))).unwrap();
    std::fs::write(model.path().join(shard(2)), stored(&named_b)).unwrap();
    let index = serde_json::json!({"weight_map": {"a": shard(1), "b": shard(2)}});
    std::fs::write(model.path().join("pytorch_model.bin.index.json"), index.to_string()).unwrap();
    let weights = Weights::open(model.path(), &policy, Purpose::Run).unwrap();
    for name in ["a", "b"] {
        let numbers: Vec<f32> =
            weights.tensor(name, &[2, 3]).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!(numbers, NUMBERS);
    }
    assert_eq!(std::fs::read_dir(scratch.path().join("converted")).unwrap().count(), 2);
    let refused = Weights::open(model.path(), &PicklePolicy::Refused, Purpose::Run).err().unwrap();
    assert!(matches!(&refused, LoadError::Unsafe { file, .. } if *file == shard(1)), "{refused}");
    std::fs::remove_file(model.path().join(shard(2))).unwrap();
    let missing = Weights::open(model.path(), &policy, Purpose::Run).err().unwrap();
    assert!(matches!(&missing, LoadError::MissingFile { file, .. } if *file == shard(2)), "{missing}");
}

#[test]
fn a_repository_with_a_pickle_alone_becomes_an_engine() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/models/opus-mt-en-fr");
    let scratch = tempfile::tempdir().unwrap();
    let options = crate::load::LoadOptions {
        // The same size on every processor.
        dtype: ostler_crds::names::Dtype::Float32,
        pickle: policy(scratch.path()),
        processor: std::sync::Arc::new(crate::processor::Processor::whole()),
        packed: None,
    };
    let task = ostler_crds::names::Task::Translation;
    let footprint = crate::load::inspect(&folder, task, &options).unwrap();
    assert!(footprint.resident_bytes > 900_000);
    crate::load::load(&folder, task, &options).unwrap().canary().unwrap();
}

/// Rows 29 and 30.
#[test]
fn row_29_and_30_what_the_child_refuses_is_typed_and_leaves_nothing_behind() {
    let payload = b"cos\nsystem\n(X\x02\x00\x00\x00idtR.";
    // A report that repeats all of it would fill the pipe, and the child would wait for a reader for ever.
    let long = [&b"}(X\x00\x00\x10\x00"[..], &b"n".repeat(1 << 20), b"Nu."].concat();
    let cases: [(&str, Vec<u8>, &str, &str); 3] = [
        ("a payload", stored(payload), "Unsafe", "os.system"),
        ("a long name", stored(&long), "Corrupted", "nnn"),
        ("a web page", b"<html>Not found</html>".to_vec(), "Unsafe", ""),
    ];
    for (name, bytes, reason, part) in cases {
        let (model, _, _) = folder(&bytes);
        let scratch = tempfile::tempdir().unwrap();
        let started = Instant::now();
        let error = Weights::open(model.path(), &policy(scratch.path()), Purpose::Run).err().unwrap();
        assert!(started.elapsed() < Duration::from_secs(30), "{name}");
        assert_eq!(error.reason(), reason, "{name}: {error}");
        assert!(error.to_string().contains(part), "{name}: {error}");
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0, "{name}");
    }
}

/// Row 30.
#[test]
fn row_30_a_child_that_dies_or_is_not_there_or_never_ends_is_an_error() {
    let program = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments);
        command
    };
    let deadline = Duration::from_millis(300);
    let cases = [
        (program("/bin/sh", &["-c", "kill -SEGV $$"]), "did not survive"),
        (program("/bin/sh", &["-c", "exit 3"]), "did not survive"),
        (program("/nowhere/at/all", &[]), "does not start"),
        (program("/bin/sh", &["-c", "while :; do :; done"]), "did not finish"),
    ];
    for (command, part) in cases {
        let error = run(command, deadline).expect_err(part);
        assert!(error.contains(part), "{error}");
    }
}
