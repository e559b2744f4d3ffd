//! Packed weights that are kept: the same answers, and nothing believed that differs.

use std::fs;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Mutex;

use super::*;
use crate::engine::{ClassifyJob, Control, EmbedJob, Job, Output, TextFormat, TranslateJob};
use crate::processor::Instructions;

/// A cache, and what it said.
struct Watched {
    cache: PackedCache,
    events: Arc<Mutex<Vec<String>>>,
}

fn watched(folder: &Path, revision: &str) -> Watched {
    let events = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&events);
    let watch = move |event: &PackedEvent| {
        heard.lock().unwrap().push(match event {
            PackedEvent::Read => "read".to_owned(),
            PackedEvent::Written => "written".to_owned(),
            PackedEvent::Failed(error) => error.to_string(),
        });
    };
    let cache = PackedCache {
        folder: folder.to_owned(),
        revision: revision.to_owned(),
        check_files: Arc::new(|| Ok(())),
        watch: Arc::new(watch),
    };
    Watched { cache, events }
}

impl Watched {
    fn events(&self) -> Vec<String> {
        std::mem::take(&mut self.events.lock().unwrap())
    }

    fn options(&self, dtype: Dtype, instructions: Option<Instructions>) -> LoadOptions {
        let processor = Processor::new(NonZeroUsize::new(2), instructions).unwrap();
        LoadOptions { processor: Arc::new(processor), packed: Some(self.cache.clone()), ..options(dtype) }
    }

    fn load(&self, (folder, task): &(PathBuf, Task), dtype: Dtype) -> Box<dyn Engine> {
        load(folder, *task, &self.options(dtype, None)).unwrap()
    }
}

/// One model of each family that has weights in tensors.
fn models() -> [(PathBuf, Task); 4] {
    [
        (shipped("opus-mt-en-de"), Task::Translation),
        (shipped("xlm-roberta-language-detection"), Task::TextClassification),
        (golden("embed/bert-cls-dense-normalize"), Task::FeatureExtraction),
        (golden("whisper-multilingual"), Task::AutomaticSpeechRecognition),
    ]
}

fn encoder() -> (PathBuf, Task) {
    (golden("embed/xlm-roberta-mean"), Task::FeatureExtraction)
}

/// What an engine makes of a job of its task, to the last bit.
fn answer(engine: &dyn Engine, task: Task) -> String {
    let text = "We load fourteen houses!".to_owned();
    let job = match task {
        Task::Translation => Job::Translate(TranslateJob {
            texts: vec![text],
            source: None,
            target: None,
            beams: Some(3),
            split_sentences: true,
            format: TextFormat::Plain,
            alternatives: 2,
        }),
        Task::TextClassification => Job::Classify(ClassifyJob { texts: vec![text] }),
        Task::AutomaticSpeechRecognition => {
            engine.canary().unwrap();
            return String::new();
        }
        _ => Job::Embed(EmbedJob { texts: vec![text], dimensions: None }),
    };
    match engine.run(&job, &Control::default()).unwrap() {
        Output::Embeddings(embeddings) => {
            let bits = embeddings.vectors.into_iter().flatten().map(f32::to_bits);
            format!("{:?}", bits.collect::<Vec<_>>())
        }
        output => format!("{output:?}"),
    }
}

/// The copies in a folder, by name.
fn copies(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn a_second_load_reads_what_the_first_packed_and_answers_the_same() {
    for model in models() {
        for dtype in [Dtype::Float32, Dtype::Bfloat16, Dtype::Int8] {
            let folder = tempfile::tempdir().unwrap();
            // The folder is made where it is missing.
            let kept = watched(&folder.path().join("a/b"), "1");
            let plain = load(&model.0, model.1, &options(dtype)).unwrap();
            let first = kept.load(&model, dtype);
            let parts = kept.events();
            assert!(
                !parts.is_empty() && parts.iter().all(|event| event == "written"),
                "{model:?}: {parts:?}"
            );
            let second = kept.load(&model, dtype);
            assert_eq!(kept.events(), vec!["read"; parts.len()], "{model:?} in {dtype}");
            let expected = answer(plain.as_ref(), model.1);
            assert_eq!(answer(first.as_ref(), model.1), expected, "{model:?} in {dtype}");
            assert_eq!(answer(second.as_ref(), model.1), expected, "{model:?} in {dtype}");
        }
    }
}

/// What an arena takes was known before: the copy is its bytes, which fill whole pages.
#[test]
fn the_contents_are_as_large_as_was_measured_and_always_the_same() {
    for model in models() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (kept, again) = (watched(one.path(), "1"), watched(other.path(), "1"));
        let footprint = inspect(&model.0, model.1, &options(Dtype::Int8)).unwrap();
        assert!(footprint.transient_bytes > 0);
        drop((kept.load(&model, Dtype::Int8), again.load(&model, Dtype::Int8)));
        let mut held = 0;
        for (copy, same) in copies(one.path()).iter().zip(copies(other.path())) {
            let bytes = fs::read(copy).unwrap();
            assert!(bytes == fs::read(same).unwrap(), "{model:?}: threads pack in any order");
            let length = u64::from_le_bytes(bytes[40..48].try_into().unwrap());
            held += length.next_multiple_of(if cfg!(target_arch = "aarch64") { 64 << 10 } else { 4 << 10 });
        }
        assert_eq!(footprint.resident_bytes, held, "{model:?}");
    }
}

#[test]
fn damage_anywhere_is_found_and_mended() {
    let model = encoder();
    let folder = tempfile::tempdir().unwrap();
    let kept = watched(folder.path(), "1");
    let expected = answer(kept.load(&model, Dtype::Int8).as_ref(), model.1);
    assert_eq!(kept.events(), ["written"]);
    let [path] = &copies(folder.path())[..] else { panic!("one copy") };
    let whole = fs::read(path).unwrap();
    let flipped = |place: usize| {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x10;
        (format!("byte {place}"), bytes)
    };
    let cut = |length: usize| (format!("{length} bytes"), whole[..length].to_vec());
    let cases = [
        // Magic, key, length, checksum of the header, checksum of a block, contents.
        flipped(0),
        flipped(20),
        flipped(41),
        flipped(50),
        flipped(57),
        flipped(4096),
        flipped(whole.len() - 1),
        cut(0),
        cut(10),
        cut(60),
        cut(4096),
        cut(whole.len() - 1),
        ("a byte more".to_owned(), [whole.as_slice(), b"x"].concat()),
        ("a web page".to_owned(), b"<html>Too many requests</html>".repeat(100)),
    ];
    for (what, bytes) in cases {
        fs::write(path, bytes).unwrap();
        let engine = kept.load(&model, Dtype::Int8);
        assert_eq!(answer(engine.as_ref(), model.1), expected, "{what}");
        let events = kept.events();
        assert_eq!(events.last().map(String::as_str), Some("written"), "{what}: {events:?}");
        assert!(events.len() == 1 || events[0].contains("is damaged"), "{what}: {events:?}");
        assert!(fs::read(path).unwrap() == whole, "{what}");
        kept.load(&model, Dtype::Int8);
        assert_eq!(kept.events(), ["read"], "{what}");
    }
}

#[test]
fn what_was_packed_for_something_else_is_not_read() {
    let model = encoder();
    let folder = tempfile::tempdir().unwrap();
    let kept = watched(folder.path(), "1");
    kept.load(&model, Dtype::Int8);
    assert_eq!(kept.events(), ["written"]);
    // Another format and other instructions have copies of their own.
    kept.load(&model, Dtype::Float32);
    assert_eq!(kept.events(), ["written"]);
    let portable = kept.options(Dtype::Int8, Some(Instructions::Portable));
    load(&model.0, model.1, &portable).unwrap();
    let expected = if Instructions::best() == Instructions::Portable { "read" } else { "written" };
    assert_eq!(kept.events(), [expected]);
    kept.load(&model, Dtype::Int8);
    assert_eq!(kept.events(), ["read"]);
    // Another revision takes the place of this one.
    let (count, other) = (copies(folder.path()).len(), watched(folder.path(), "2"));
    other.load(&model, Dtype::Int8);
    assert_eq!((other.events(), copies(folder.path()).len()), (vec!["written".to_owned()], count));
    kept.load(&model, Dtype::Int8);
    assert_eq!(kept.events(), ["written"]);
    // So does another model under the name of the same revision, which nobody should give it.
    let impostor = (golden("embed/xlm-roberta-plain"), model.1);
    kept.load(&impostor, Dtype::Int8);
    assert_eq!(kept.events(), ["written"]);
}

#[test]
fn a_copy_under_the_name_of_another_format_is_not_read() {
    let model = encoder();
    let folder = tempfile::tempdir().unwrap();
    let kept = watched(folder.path(), "1");
    let expected = answer(kept.load(&model, Dtype::Int8).as_ref(), model.1);
    let int8 = copies(folder.path()).remove(0);
    let float32 = int8.to_string_lossy().replace("int8", "float32");
    kept.load(&model, Dtype::Float32);
    fs::copy(float32, &int8).unwrap();
    kept.events();
    assert_eq!(answer(kept.load(&model, Dtype::Int8).as_ref(), model.1), expected);
    assert_eq!(kept.events(), ["written"]);
}

#[test]
fn many_loads_at_once_leave_one_whole_copy() {
    let model = encoder();
    let folder = tempfile::tempdir().unwrap();
    let kept = watched(folder.path(), "1");
    let expected = answer(load(&model.0, model.1, &options(Dtype::Int8)).unwrap().as_ref(), model.1);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| assert_eq!(answer(kept.load(&model, Dtype::Int8).as_ref(), model.1), expected));
        }
    });
    let events = kept.events();
    assert!(events.iter().all(|event| event == "written" || event == "read"), "{events:?}");
    assert_eq!(copies(folder.path()).len(), 1);
    kept.load(&model, Dtype::Int8);
    assert_eq!(kept.events(), ["read"]);
}

/// A process that is killed while it writes leaves a file under a name that is nobody's.
#[test]
fn what_a_crash_left_is_removed_and_what_is_being_written_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (left, in_work) = (folder.path().join(".packing-left"), folder.path().join(".packing-in-work"));
    fs::write(&left, b"half of it").unwrap();
    let file = fs::File::create(&in_work).unwrap();
    file.lock().unwrap();
    let kept = watched(folder.path(), "1");
    kept.load(&encoder(), Dtype::Int8);
    assert_eq!(kept.events(), ["written"]);
    assert!(!left.exists() && in_work.exists());
}

#[test]
fn a_cache_that_cannot_be_used_is_told_once_and_does_no_harm() {
    let model = encoder();
    let folder = tempfile::tempdir().unwrap();
    let expected = answer(load(&model.0, model.1, &options(Dtype::Int8)).unwrap().as_ref(), model.1);
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    let in_the_way = folder.path().join("in the way");
    let kept = watched(&in_the_way, "1");
    kept.load(&model, Dtype::Int8);
    kept.events();
    let copy = copies(&in_the_way).remove(0);
    fs::remove_file(&copy).unwrap();
    // A folder under the copy's name; it cannot be replaced by a file.
    fs::create_dir_all(copy.join("sub")).unwrap();
    for place in [file.as_path(), in_the_way.as_path(), Path::new("/proc/nowhere")] {
        let kept = watched(place, "1");
        assert_eq!(answer(kept.load(&model, Dtype::Int8).as_ref(), model.1), expected, "{place:?}");
        let events = kept.events();
        assert!(events.len() == 1 && events[0].contains("cannot be"), "{place:?}: {events:?}");
    }
}

/// The child of a pickle runs once: later loads have its output, and the copy.
#[test]
fn a_second_load_of_a_pickle_runs_no_child() {
    let folder = tempfile::tempdir().unwrap();
    let model = (shipped("opus-mt-en-fr"), Task::Translation);
    let converted = folder.path().join("converted");
    // Stands for the program: a script that puts what the converter makes where it is asked to.
    crate::weights::pickle::convert(&model.0.join(files::SINGLE_PICKLE), &folder.path().join("made"))
        .unwrap();
    let script = format!(
        "echo run >> {0}/runs; cp {0}/made \"$2\"; echo 'ostler-unpickle: {{\"result\":\"Converted\"}}'",
        folder.path().display()
    );
    let kept = watched(&folder.path().join("packed"), "1");
    let load = || {
        let pickle = PicklePolicy::Child {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.clone().into(), "sh".into()],
            scratch_folder: converted.clone(),
        };
        let options = LoadOptions { pickle, ..kept.options(Dtype::Int8, None) };
        inspect(&model.0, model.1, &options).unwrap();
        answer(load(&model.0, model.1, &options).unwrap().as_ref(), model.1)
    };
    assert_eq!(load(), load());
    assert_eq!(kept.events(), ["written", "read"]);
    assert_eq!(fs::read_to_string(folder.path().join("runs")).unwrap(), "run\n");
}
