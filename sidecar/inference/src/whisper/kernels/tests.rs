//! The kernels against transformers' numbers, candle's, and themselves in other company.

use std::num::NonZeroUsize;

use ostler_crds::names::Dtype;
use ostler_kernels::Instructions;

use super::*;
use crate::whisper::Whisper;
use crate::whisper::candle::CandleForward;
use crate::whisper::forward::Session;
use crate::whisper::tests::{MODELS, assemble_with, check_cases, check_logits, engine, golden, mel, tokens};

fn packed(
    model: &str,
    instructions: Instructions,
    precision: Precision,
    threads: usize,
) -> Whisper<KernelForward> {
    let processor = Processor::new(NonZeroUsize::new(threads), Some(instructions)).expect("supported");
    let processor = Arc::new(processor);
    assemble_with(model, |weights, config| KernelForward::load(weights, config, precision, &processor))
}

/// The formats, and how far logits may be off in each: the tiny models' reach 10, and rounding hurts random weights
/// more than trained ones.
fn precisions(instructions: Instructions) -> Vec<(Precision, f32)> {
    let kernels = ostler_kernels::Kernels::of(instructions).expect("supported");
    [(Dtype::Float32, 1e-3), (Dtype::Bfloat16, 0.3), (Dtype::Int8, 0.6)]
        .map(|(dtype, allowed)| (Precision::of(dtype, kernels).expect("a processor has it"), allowed))
        .to_vec()
}

fn exact() -> Precision {
    precisions(Instructions::Portable)[0].0
}

#[test]
fn logits_are_those_of_transformers_with_every_set_of_instructions() {
    for instructions in Instructions::supported() {
        for model in MODELS {
            for (precision, tolerance) in precisions(instructions) {
                check_logits(&packed(model, instructions, precision, 2), &golden(model), tolerance);
            }
        }
    }
}

#[test]
fn tokens_and_times_are_those_of_transformers_in_float32() {
    for model in MODELS {
        check_cases(&packed(model, Instructions::best(), exact(), 2), &golden(model));
    }
}

#[test]
fn heads_look_where_those_of_candle_do() {
    let reference: Whisper<CandleForward> = engine(MODELS[0]);
    let engine = packed(MODELS[0], Instructions::best(), exact(), 2);
    let (mel, control) = (mel(&engine.config), Control::default());
    let tokens = tokens(&golden(MODELS[0])["prefix"]);
    let heads = [(1, 0), (0, 1), (1, 1)].map(|(layer, head)| AlignmentHead { layer, head });
    let weights = |found: Result<Vec<f32>, EngineError>| found.expect("weights");
    let expected = {
        let memory = reference.forward.encode(&mel, &control).expect("a memory");
        weights(reference.forward.align(&memory, &tokens, &heads, &control))
    };
    let memory = engine.forward.encode(&mel, &control).expect("a memory");
    let found = weights(engine.forward.align(&memory, &tokens, &heads, &control));
    crate::whisper::tests::assert_close(&found, &expected, 1e-4, "weights");
}

/// The same row alone, beside others, in one piece and token by token, on one thread and on three.
#[test]
fn a_row_does_not_depend_on_its_company() {
    for instructions in Instructions::supported() {
        for (precision, _) in precisions(instructions) {
            let engine = packed(MODELS[0], instructions, precision, 1);
            let other = packed(MODELS[0], instructions, precision, 3);
            let control = Control::default();
            let mel = mel(&engine.config);
            let silence = vec![0.0; mel.len()];
            let prefix = tokens(&golden(MODELS[0])["prefix"]);
            let last = prefix.len() - 1;
            let alone = {
                let memory = engine.forward.encode(&mel, &control).expect("a memory");
                let mut session = engine.forward.session(&[&memory], prefix.len()).expect("a session");
                let mut logits = Vec::new();
                session.feed(&[&prefix], &[last], &mut logits, &control).expect("logits");
                logits
            };
            let memory = other.forward.encode(&mel, &control).expect("a memory");
            let silence = other.forward.encode(&silence, &control).expect("a memory");
            let memories = [&silence, &memory, &memory, &silence, &memory];
            let mut session = other.forward.session(&memories, prefix.len()).expect("a session");
            let mut logits = Vec::new();
            for token in &prefix {
                let (row, beside) = ([*token], [token.wrapping_add(7) % 300]);
                let rows: [&[u32]; 5] = [&beside, &row, &beside, &row, &row];
                session.feed(&rows, &[0], &mut logits, &control).expect("logits");
            }
            let rows: Vec<&[f32]> = logits.chunks_exact(alone.len()).collect();
            assert_eq!(rows[1], &alone[..], "{instructions} {precision:?}");
            assert_eq!(rows[4], &alone[..], "{instructions} {precision:?}");
        }
    }
}
