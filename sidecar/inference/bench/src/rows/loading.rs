//! Rows of loading and of memory.

use super::peers::{contender, ostler};
use super::row::{Row, TARGET_THREADS, Target, Task};
use crate::contender::{Contender, Model, Program, Side};
use crate::shapes::Precision;

/// CTranslate2's int8 from a file of float32, which it rounds while it loads, as Ostler does with the Hub's file.
fn rounding_while_loading(program: Program, model: Model) -> Contender {
    contender("CTranslate2 int8, from float32", Side::Peer, program, model, "int8")
}

pub(super) fn loading_rows() -> Vec<Row> {
    let threads = TARGET_THREADS;
    let row = |id: &str, title, task, times, contenders: Vec<Contender>| Row {
        id: id.to_owned(),
        title,
        threads,
        task,
        precision: Precision::Int8,
        contenders: contenders.into_iter().map(|contender| Contender { threads, ..contender }).collect(),
        target: Some(Target { times, floor: None, seconds: None }),
    };
    let converted =
        |program, model| contender("CTranslate2 int8, converted", Side::Shown, program, model, "int8");
    let whisper = vec![
        ostler(Model::WhisperBase, "int8"),
        rounding_while_loading(Program::Ctranslate2Whisper, Model::Ctranslate2Whisper),
        converted(Program::Ctranslate2Whisper, Model::Ctranslate2WhisperInt8),
    ];
    let marian = vec![
        ostler(Model::Marian, "int8"),
        rounding_while_loading(Program::Ctranslate2Marian, Model::Ctranslate2Marian),
        converted(Program::Ctranslate2Marian, Model::Ctranslate2MarianInt8),
    ];
    let packed = |side, dtype| {
        let name = format!("Ostler {dtype}, packed weights kept");
        Contender { name, side, packed: true, ..ostler(Model::WhisperBase, dtype) }
    };
    let second = vec![
        packed(Side::Ostler, "int8"),
        packed(Side::Shown, "bfloat16"),
        contender(
            "CTranslate2 int8, converted",
            Side::Peer,
            Program::Ctranslate2Whisper,
            Model::Ctranslate2WhisperInt8,
            "int8",
        ),
    ];
    let title = "loading whisper-base as int8 once more, weights packed before";
    let again = Row {
        target: Some(Target { times: 1.0, floor: None, seconds: Some(0.06) }),
        ..row("load-packed", title, Task::Load, 1.0, second)
    };
    vec![
        row("load", "loading whisper-base as int8, page cache warm", Task::Load, 1.5, whisper.clone()),
        again,
        row("memory-whisper", "memory, whisper-base, int8", Task::Memory, 1.0, whisper),
        row("memory-opus-mt", "memory, opus-mt size, int8", Task::Memory, 1.0, marian),
    ]
}
