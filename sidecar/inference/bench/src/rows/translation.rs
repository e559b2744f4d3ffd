//! Rows of translation: one sentence, batches, many batches, beams.

use super::peers::{contender, ostler};
use super::row::{BATCH, Row, TARGET_THREADS, Target, Task};
use crate::contender::{Contender, Model, Program, Side};
use crate::shapes::Precision;

/// Batches in flight.
const BATCHES: usize = 8;

/// CTranslate2's translator in int8, with its threads shared between workers in this way.
fn ctranslate2_marian(threads: usize, workers: usize, batch: usize) -> Contender {
    let name = format!("CTranslate2 int8, {workers} x {threads} threads, batches of {batch}");
    let model = Model::Ctranslate2MarianInt8;
    let peer = contender(&name, Side::Peer, Program::Ctranslate2Marian, model, "int8");
    Contender { threads, workers, batch, ..peer }
}

pub(super) fn translation_rows(threads: usize) -> Vec<Row> {
    let row = |name: &str, title, texts, beams, times, ostler, peers: Vec<Contender>| Row {
        id: format!("opus-mt-{name}-{threads}"),
        title,
        threads,
        task: Task::Translate { texts, beams },
        precision: Precision::Int8,
        contenders: [ostler, peers].concat(),
        target: (threads == TARGET_THREADS).then_some(Target { times, floor: None, seconds: None }),
    };
    let with = |workers| {
        let name = if workers > 1 {
            format!("Ostler int8, {workers} jobs at once")
        } else {
            "Ostler int8".to_owned()
        };
        Contender { name, threads, workers, ..ostler(Model::Marian, "int8") }
    };
    let together = ctranslate2_marian(threads, 1, BATCH);
    // More threads make CTranslate2 slower where there is little to do, so it may also take fewer.
    let alone = (threads > 1).then(|| ctranslate2_marian(1, 1, BATCH));
    let apart = |batch| (threads > 1).then(|| ctranslate2_marian(1, threads, batch));
    let peers = |more: Option<Contender>| -> Vec<Contender> {
        [Some(together.clone()), alone.clone(), more].into_iter().flatten().collect()
    };
    let split = apart(BATCH / threads.max(1));
    vec![
        row("1", "opus-mt size, 25 + 25 tokens, batch 1, int8", 1, 1, 5.0, vec![with(1)], peers(None)),
        row(
            "16",
            "opus-mt size, one batch of 16, greedy, int8",
            BATCH,
            1,
            2.3,
            vec![with(1)],
            peers(split.clone()),
        ),
        row(
            "many",
            "opus-mt size, 8 batches of 16, as many in flight as each likes, int8",
            BATCHES * BATCH,
            1,
            1.9,
            if threads > 1 { vec![with(1), with(threads)] } else { vec![with(1)] },
            [Some(together.clone()), apart(BATCH)].into_iter().flatten().collect(),
        ),
        row(
            "beam",
            "opus-mt size, one batch of 16, beam 4, int8",
            BATCH,
            4,
            1.6,
            vec![with(1)],
            peers(split),
        ),
    ]
}
