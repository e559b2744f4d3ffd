//! One run: inputs, peaks, references, rows, report.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::PathBuf;

use ostler_kernels::{Instructions, InstructionsError};

use crate::args::RunArguments;
use crate::document::{self, NoMarks};
use crate::inputs::{InputError, Inputs};
use crate::machine::{Peaks, Processor};
use crate::measure::{self, Setting};
use crate::process::Programs;
use crate::report::{self, Run};
use crate::rows::{self, Row, Task};
use crate::verdict::{self, Answered, Verdict};
use crate::{contender::Outcome, peaks};

/// Why a run fails.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There are no inputs.
    #[error("the inputs cannot be made")]
    Inputs(#[from] InputError),
    /// No row is asked for.
    #[error("no row has a name with {0:?} in it; there are {1}")]
    NoRow(Vec<String>, String),
    /// There is no such folder of peers.
    #[error("{} has no models; run sidecar/inference/bench/peers/setup.sh and take the folder that it prints", .0.display())]
    NoPeers(PathBuf),
    /// A file cannot be read or written.
    #[error("{}", .0.display())]
    File(PathBuf, #[source] io::Error),
    /// The document has no place for the report.
    #[error("{}", .0.display())]
    Document(PathBuf, #[source] NoMarks),
    /// A row names instructions that there are none of.
    #[error("a row's instructions")]
    Instructions(#[from] InstructionsError),
}

/// A recording takes tens of seconds, so it is repeated less often.
const LONG_PART: usize = 5;

/// Measures as the arguments say, says on `say` what it is at, and gives the report.
///
/// # Errors
/// See [`RunError`]. A contender that fails is no error: the report says so.
pub fn run(arguments: &RunArguments, say: &mut dyn FnMut(&str)) -> Result<String, RunError> {
    let threads: Vec<usize> = arguments.threads.iter().map(|threads| usize::from(*threads).max(1)).collect();
    let all = rows::rows(&threads);
    let names = all.iter().map(|row| row.id.as_str()).collect::<Vec<_>>().join(", ");
    let is_asked = |row: &Row| {
        arguments.rows.is_empty() || arguments.rows.iter().any(|part| row.id.contains(part.as_str()))
    };
    let chosen: Vec<Row> = all.into_iter().filter(is_asked).collect();
    if chosen.is_empty() {
        return Err(RunError::NoRow(arguments.rows.clone(), names));
    }
    let models = arguments.peers.join("models");
    if !models.exists() {
        return Err(RunError::NoPeers(arguments.peers.clone()));
    }
    // Kept with the peers: a run that is killed leaves nothing elsewhere.
    let folder = arguments.peers.join("inputs");
    fs::create_dir_all(&folder).map_err(|error| RunError::File(folder.clone(), error))?;
    let own = std::env::current_exe().map_err(|error| RunError::File("the program itself".into(), error))?;
    let setting = Setting {
        models,
        missing: arguments.peers.join("missing"),
        programs: Programs {
            own,
            python: arguments.peers.join("venv/bin/python"),
            scripts: arguments.repository.join("sidecar/inference/bench/peers"),
            logs: folder.clone(),
        },
        inputs: Inputs::write(&arguments.repository.join("tests/real-models"), &folder)?,
        packed: folder.join("packed"),
    };
    let cpuinfo = PathBuf::from("/proc/cpuinfo");
    let text = fs::read_to_string(&cpuinfo).map_err(|error| RunError::File(cpuinfo, error))?;
    let processor = Processor::parse(&text, std::thread::available_parallelism().map_or(1, usize::from));

    say("measuring the processor");
    let peaks = peaks_for(&chosen)?;
    let repetitions = usize::from(arguments.repetitions);
    let references = references(&setting, &chosen, say);
    let mut rows = Vec::new();
    for row in chosen {
        say(&row.id);
        let repetitions =
            if row.task == Task::Recording { repetitions.div_ceil(LONG_PART) } else { repetitions };
        let outcomes = measure::row(&setting, &row, repetitions);
        let answered = Answered { row, outcomes };
        let reference = references.iter().find(|(reference, ..)| is_same(&reference.row, &answered.row));
        let reference = reference.map(|(_, _, parts)| parts.as_slice());
        let peaks = peaks.get(&key(&answered.row)?).cloned().unwrap_or_default();
        let holds = processor.is_what_targets_are_for();
        let verdict = verdict::judge(&answered, reference, &setting.inputs.reference, &peaks, holds);
        rows.push((answered, verdict, peaks));
    }
    let references = references.into_iter().map(|(answered, verdict, _)| (answered, verdict)).collect();
    let peaks = peaks.into_iter().rev().map(|((threads, _), peaks)| (threads, peaks)).collect();
    let report = report::markdown(&Run { processor, repetitions, peaks, references, rows });
    if let Some(file) = arguments.write.as_ref().filter(|_| arguments.rows.is_empty()) {
        let text = fs::read_to_string(file).map_err(|error| RunError::File(file.clone(), error))?;
        let text =
            document::replace(&text, &report).map_err(|error| RunError::Document(file.clone(), error))?;
        fs::write(file, text).map_err(|error| RunError::File(file.clone(), error))?;
    }
    Ok(report)
}

/// Which peaks a row's floor is computed from.
fn key(row: &Row) -> Result<(usize, Instructions), InstructionsError> {
    let instructions = match row.instructions() {
        Some(name) => name.parse()?,
        None => Instructions::best(),
    };
    Ok((row.threads, instructions))
}

fn peaks_for(rows: &[Row]) -> Result<BTreeMap<(usize, Instructions), Peaks>, InstructionsError> {
    let mut sizes: BTreeMap<(usize, Instructions), BTreeSet<u64>> = BTreeMap::new();
    for row in rows {
        // How many tokens a text will have changes no step's bytes.
        let stages = row.stages(&[1; crate::shapes::WINDOWS]).unwrap_or_default();
        let bytes = stages.iter().map(|stage| stage.bytes).filter(|bytes| *bytes > 0);
        sizes.entry(key(row)?).or_default().extend(bytes);
    }
    let measured = |((threads, instructions), sizes): ((usize, Instructions), BTreeSet<u64>)| {
        let sizes: Vec<u64> = sizes.into_iter().collect();
        ((threads, instructions), peaks::measure(threads, instructions, &sizes))
    };
    Ok(sizes.into_iter().map(measured).collect())
}

/// Whether a reference answers what a row asks.
fn is_same(reference: &Row, row: &Row) -> bool {
    match (reference.task, row.task) {
        (Task::Translate { beams: one, .. }, Task::Translate { beams: other, .. }) => one == other,
        (one, other) => one == other,
    }
}

/// What float32 answers, each with how far the others agree with the first who answered.
type Reference = (Answered, Verdict, Vec<Vec<String>>);

fn references(setting: &Setting, rows: &[Row], say: &mut dyn FnMut(&str)) -> Vec<Reference> {
    let threads = rows.iter().map(|row| row.threads).max().unwrap_or(1);
    let needed = |reference: &Row| rows.iter().any(|row| is_same(reference, row));
    let mut found = Vec::new();
    for row in rows::references(threads).into_iter().filter(needed) {
        say(&row.id);
        let outcomes = measure::row(setting, &row, 0);
        let first = outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Measured(measured) => Some(verdict::parts(measured)),
            Outcome::Absent(_) => None,
        });
        let answered = Answered { row, outcomes };
        let parts = first.unwrap_or_default();
        let verdict =
            verdict::judge(&answered, Some(&parts), &setting.inputs.reference, &Peaks::default(), false);
        found.push((answered, verdict, parts));
    }
    found
}
