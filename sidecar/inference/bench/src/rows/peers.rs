//! Contenders that take part in several rows.

use super::row::BATCH;
use crate::contender::{Contender, Model, Program, Side};

pub(super) fn contender(
    name: &str,
    side: Side,
    program: Program,
    model: Model,
    dtype: &'static str,
) -> Contender {
    Contender {
        name: name.to_owned(),
        side,
        program,
        model,
        dtype,
        threads: 1,
        workers: 1,
        batch: BATCH,
        instructions: None,
        packed: false,
    }
}

pub(super) fn ostler(model: Model, dtype: &'static str) -> Contender {
    contender(&format!("Ostler {dtype}"), Side::Ostler, Program::Ostler, model, dtype)
}

pub(super) fn ctranslate2_whisper(side: Side, dtype: &'static str) -> Contender {
    let model = if dtype == "int8" { Model::Ctranslate2WhisperInt8 } else { Model::Ctranslate2Whisper };
    contender(&format!("CTranslate2 {dtype}"), side, Program::Ctranslate2Whisper, model, dtype)
}

pub(super) fn torch(side: Side, dtype: &'static str) -> Contender {
    contender(&format!("torch {dtype}"), side, Program::TorchWhisper, Model::WhisperBaseFixed, dtype)
}
