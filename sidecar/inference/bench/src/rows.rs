//! What is measured: each row of the table with everybody who takes part in it.

use crate::contender::{Contender, Model, Program, Side};
use crate::floor::Stage;
use crate::shapes::{self, Precision, SENTENCE_TOKENS, WINDOW_TOKENS};

/// What a row's contenders do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// A window of 30 s becomes 64 tokens.
    Window,
    /// Ten minutes in windows of 30 s.
    Recording,
    /// Texts become 25 tokens each.
    Translate {
        /// How many texts.
        texts: usize,
        /// Beams to search with.
        beams: usize,
    },
    /// Loading, the file in the page cache.
    Load,
    /// The anonymous memory of loading and of one piece of work.
    Memory,
}

/// What Ostler must reach in a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    /// So many times as fast, or as small, as the best peer.
    pub times: f64,
    /// Within so many times of the floor.
    pub floor: Option<f64>,
    /// Within so many seconds.
    pub seconds: Option<f64>,
}

/// A row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What `--rows` looks for.
    pub id: String,
    /// What it says in the table.
    pub title: &'static str,
    /// Threads that everybody may use.
    pub threads: usize,
    /// What is done.
    pub task: Task,
    /// What Ostler computes in.
    pub precision: Precision,
    /// Everybody, in the order of their turns.
    pub contenders: Vec<Contender>,
    /// What must be reached; some rows are only shown.
    pub target: Option<Target>,
}

/// Sentences of one batch.
const BATCH: usize = 16;
/// Batches in flight.
const BATCHES: usize = 8;

impl Row {
    /// The work that the floor is computed of. `tokens` are how many each text of a recording became.
    #[must_use]
    pub fn stages(&self, tokens: &[usize]) -> Option<Vec<Stage>> {
        let sentence = SENTENCE_TOKENS;
        match self.task {
            Task::Window => Some(shapes::whisper(self.precision, &[(1, WINDOW_TOKENS)])),
            Task::Recording => {
                // One batch of all windows reads the weights the fewest times.
                let steps = tokens.iter().copied().max()?;
                Some(shapes::whisper(self.precision, &[(tokens.len(), steps)]))
            }
            Task::Translate { texts, beams } => {
                let batch = texts.min(BATCH);
                let batches = texts.div_ceil(batch.max(1));
                Some(shapes::opus_mt(self.precision, batches, batch, beams, sentence, sentence))
            }
            Task::Load | Task::Memory => None,
        }
    }

    /// The instructions that everybody is kept to.
    #[must_use]
    pub fn instructions(&self) -> Option<&'static str> {
        self.contenders.iter().find_map(|contender| contender.instructions)
    }
}

fn contender(name: &str, side: Side, program: Program, model: Model, dtype: &'static str) -> Contender {
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

fn ostler(model: Model, dtype: &'static str) -> Contender {
    contender(&format!("Ostler {dtype}"), Side::Ostler, Program::Ostler, model, dtype)
}

fn ctranslate2_whisper(side: Side, dtype: &'static str) -> Contender {
    let model = if dtype == "int8" { Model::Ctranslate2WhisperInt8 } else { Model::Ctranslate2Whisper };
    contender(&format!("CTranslate2 {dtype}"), side, Program::Ctranslate2Whisper, model, dtype)
}

fn torch(side: Side, dtype: &'static str) -> Contender {
    contender(&format!("torch {dtype}"), side, Program::TorchWhisper, Model::WhisperBaseFixed, dtype)
}

fn whisper_cpp() -> Contender {
    contender("whisper.cpp q8_0", Side::Shown, Program::WhisperCpp, Model::WhisperCpp8Bit, "int8")
}

/// CTranslate2's translator in int8, with its threads shared between workers in this way.
fn ctranslate2_marian(threads: usize, workers: usize, batch: usize) -> Contender {
    let name = format!("CTranslate2 int8, {workers} x {threads} threads, batches of {batch}");
    let model = Model::Ctranslate2MarianInt8;
    let peer = contender(&name, Side::Peer, Program::Ctranslate2Marian, model, "int8");
    Contender { threads, workers, batch, ..peer }
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

/// The targets are for two threads.
const TARGET_THREADS: usize = 2;

fn whisper_rows(threads: usize) -> Vec<Row> {
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

fn recording(threads: usize) -> Row {
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

fn translation_rows(threads: usize) -> Vec<Row> {
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

/// CTranslate2's int8 from a file of float32, which it rounds while it loads, as Ostler does with the Hub's file.
fn rounding_while_loading(program: Program, model: Model) -> Contender {
    contender("CTranslate2 int8, from float32", Side::Peer, program, model, "int8")
}

fn loading_rows() -> Vec<Row> {
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

/// All rows, for each of the numbers of threads; those of loading and memory once.
#[must_use]
pub fn rows(threads: &[usize]) -> Vec<Row> {
    let mut rows = Vec::new();
    for threads in threads {
        rows.extend(whisper_rows(*threads));
        rows.push(recording(*threads));
        rows.extend(translation_rows(*threads));
    }
    rows.extend(loading_rows());
    rows
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_row_has_ostler_a_peer_and_a_name_of_its_own() {
        let rows = rows(&[2, 1]);
        let names: BTreeSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        assert_eq!(names.len(), rows.len());
        for row in &rows {
            for side in [Side::Ostler, Side::Peer] {
                assert!(row.contenders.iter().any(|contender| contender.side == side), "{}", row.id);
            }
            let used = row.contenders.iter().map(|contender| {
                if contender.program == Program::Ostler {
                    contender.threads
                } else {
                    contender.threads * contender.workers
                }
            });
            assert!(used.max() <= Some(row.threads), "{} takes more threads than it may", row.id);
        }
    }

    #[test]
    fn targets_are_for_two_threads() {
        let with = |threads| rows(&[threads]).into_iter().filter(|row| row.target.is_some()).count();
        assert_eq!((with(2), with(1)), (13, 4));
    }

    #[test]
    fn work_without_arithmetic_has_no_floor() {
        for row in rows(&[2]) {
            let has_floor = row.stages(&[90, 64]).is_some();
            assert_eq!(has_floor, !matches!(row.task, Task::Load | Task::Memory), "{}", row.id);
        }
    }
}
