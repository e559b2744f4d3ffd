//! What answers are compared with.

use super::peers::{contender, ctranslate2_whisper, ostler, torch};
use super::row::{BATCH, Row, Task};
use crate::contender::{Contender, Model, Program, Side};
use crate::shapes::Precision;

/// What everybody answers in float32, once: what the other formats are compared with, and a check that all do the same
/// work. Nothing of it is timed.
#[must_use]
pub fn references(threads: usize) -> Vec<Row> {
    let row = |id: &str, title, task, contenders: Vec<Contender>| Row {
        id: id.to_owned(),
        title,
        threads,
        task,
        precision: Precision::Float32,
        contenders: contenders.into_iter().map(|contender| Contender { threads, ..contender }).collect(),
        target: None,
    };
    let marian = || {
        let model = Model::Ctranslate2Marian;
        let peer = contender("CTranslate2 float32", Side::Peer, Program::Ctranslate2Marian, model, "float32");
        vec![ostler(Model::Marian, "float32"), peer]
    };
    let whisper = vec![
        ostler(Model::WhisperBaseFixed, "float32"),
        ctranslate2_whisper(Side::Peer, "float32"),
        torch(Side::Peer, "float32"),
    ];
    let translate = |beams| Task::Translate { texts: BATCH, beams };
    vec![
        row("reference-whisper", "whisper-base, 64 tokens of a window", Task::Window, whisper),
        row("reference-greedy", "opus-mt size, 16 sentences, greedy", translate(1), marian()),
        row("reference-beam", "opus-mt size, 16 sentences, beam 4", translate(4), marian()),
    ]
}
