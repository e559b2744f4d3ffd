//! Rows of speech: a window in each format, and ten minutes.

use super::peers::{contender, ctranslate2_whisper, ostler, torch};
use super::row::{Row, TARGET_THREADS, Target, Task};
use crate::contender::{Contender, Model, Program, Side};
use crate::shapes::Precision;

fn whisper_cpp() -> Contender {
    contender("whisper.cpp q8_0", Side::Shown, Program::WhisperCpp, Model::WhisperCpp8Bit, "int8")
}

/// A window of 30 s; every contender gets all threads.
fn window(
    name: &str,
    title: &'static str,
    threads: usize,
    precision: Precision,
    contenders: Vec<Contender>,
    target: Target,
) -> Row {
    Row {
        id: format!("whisper-{name}-{threads}"),
        title,
        threads,
        task: Task::Window,
        precision,
        contenders: contenders.into_iter().map(|contender| Contender { threads, ..contender }).collect(),
        target: (threads == TARGET_THREADS).then_some(target),
    }
}

pub(super) fn whisper_rows(threads: usize) -> Vec<Row> {
    let times = |times| Target { times, floor: None, seconds: None };
    let model = Model::WhisperBaseFixed;
    let avx2 = |contender| Contender { instructions: Some("avx2"), ..contender };
    vec![
        window(
            "int8",
            "whisper-base, 30 s + 64 tokens, int8",
            threads,
            Precision::Int8,
            vec![ostler(model, "int8"), ctranslate2_whisper(Side::Peer, "int8"), whisper_cpp()],
            Target { floor: Some(1.3), ..times(3.8) },
        ),
        window(
            "bfloat16",
            "whisper-base, 30 s + 64 tokens, bfloat16",
            threads,
            Precision::Bfloat16,
            vec![
                ostler(model, "bfloat16"),
                ctranslate2_whisper(Side::Peer, "int8"),
                torch(Side::Peer, "bfloat16"),
            ],
            times(2.4),
        ),
        window(
            "float32",
            "whisper-base, 30 s + 64 tokens, float32",
            threads,
            Precision::Float32,
            vec![
                ostler(model, "float32"),
                ctranslate2_whisper(Side::Peer, "float32"),
                torch(Side::Peer, "float32"),
            ],
            times(1.3),
        ),
        window(
            "avx2",
            "whisper-base, 30 s + 64 tokens, int8, all kept to AVX2",
            threads,
            Precision::Int8,
            vec![avx2(ostler(model, "int8")), avx2(ctranslate2_whisper(Side::Peer, "int8"))],
            times(1.5),
        ),
    ]
}

pub(super) fn recording(threads: usize) -> Row {
    let faster_whisper = |batch| Contender {
        batch,
        ..contender(
            &format!("faster-whisper int8, batches of {batch}"),
            Side::Peer,
            Program::FasterWhisper,
            Model::Ctranslate2WhisperInt8,
            "int8",
        )
    };
    let contenders = vec![ostler(Model::WhisperBase, "int8"), faster_whisper(8), faster_whisper(16)];
    Row {
        id: format!("recording-{threads}"),
        title: "whisper-base, 10 minutes of speech, batched windows, int8",
        threads,
        task: Task::Recording,
        precision: Precision::Int8,
        contenders: contenders.into_iter().map(|contender| Contender { threads, ..contender }).collect(),
        target: (threads == TARGET_THREADS).then_some(Target { times: 2.5, floor: None, seconds: None }),
    }
}
