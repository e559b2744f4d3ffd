//! The report, as Markdown.

use std::fmt::Write;

use crate::contender::{Anonymous, Contender, Measured, Outcome};
use crate::floor;
use crate::machine::{Peaks, Processor};
use crate::rows::Task;
use crate::statistics::{median, spread};
use crate::verdict::{Agreement, Answered, Figure, Met, Verdict};

/// Everything that a run found out.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// The processor.
    pub processor: Processor,
    /// Repetitions of each row.
    pub repetitions: usize,
    /// Peaks, for each number of threads and each set of instructions, by how many threads there were.
    pub peaks: Vec<(usize, Peaks)>,
    /// What everybody answers in float32.
    pub references: Vec<(Answered, Verdict)>,
    /// The rows.
    pub rows: Vec<(Answered, Verdict, Peaks)>,
}

/// Writes the report.
#[must_use]
pub fn markdown(run: &Run) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_all(&mut out, run);
    out
}

fn write_all(out: &mut String, run: &Run) -> std::fmt::Result {
    write_processor(out, run)?;
    write_targets(out, run)?;
    write_contenders(out, run)?;
    write_references(out, run)?;
    write_peaks(out, run)?;
    write_floors(out, run)
}

fn write_processor(out: &mut String, run: &Run) -> std::fmt::Result {
    let Processor { name, version, extensions, threads, .. } = &run.processor;
    writeln!(out, "{name} ({version}), {threads} threads; {}.", extensions.join(", "))?;
    writeln!(out, "Medians of {} repetitions, all contenders of a row in turn.", run.repetitions)?;
    if !run.processor.is_what_targets_are_for() {
        writeln!(
            out,
            "The targets are for AMD processors with AVX-512 VNNI and BF16, so none is judged here."
        )?;
    }
    let mut engines: Vec<&str> = run
        .rows
        .iter()
        .flat_map(|(answered, ..)| &answered.outcomes)
        .filter_map(|outcome| match outcome {
            Outcome::Measured(measured) if !measured.engine.is_empty() => Some(measured.engine.as_str()),
            _ => None,
        })
        .collect();
    engines.sort_unstable();
    engines.dedup();
    writeln!(out, "Engines: {}.", engines.join("; "))
}

fn write_targets(out: &mut String, run: &Run) -> std::fmt::Result {
    writeln!(out, "\n### Against the best peer\n")?;
    writeln!(out, "| work | threads | Ostler | best peer | times better | target | of the floor | met |")?;
    writeln!(out, "|---|---|---|---|---|---|---|---|")?;
    for (Answered { row, .. }, verdict, _) in &run.rows {
        let target = row.target.map_or_else(String::new, |target| {
            let floor = target.floor.map_or_else(String::new, |floor| format!(", {floor} x floor"));
            let seconds =
                target.seconds.map_or_else(String::new, |seconds| format!(", {}", duration(seconds)));
            format!("{} x{floor}{seconds}", target.times)
        });
        let met = match &verdict.met {
            Met::Yes => "yes".to_owned(),
            Met::No(wrong) => format!("**no**: {}", wrong.join("; ")),
            Met::NotJudged => String::new(),
        };
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {target} | {} | {met} |",
            row.title,
            row.threads,
            verdict.ostler.as_ref().map_or_else(|| "-".to_owned(), |figure| value(figure, row.task)),
            verdict.peer.as_ref().map_or_else(
                || "-".to_owned(),
                |figure| format!("{} ({})", value(figure, row.task), figure.name)
            ),
            verdict.times.map_or_else(|| "-".to_owned(), |times| format!("{times:.2}")),
            verdict.of_floor.map_or_else(String::new, |times| format!("{times:.2}")),
        )?;
    }
    Ok(())
}

fn write_contenders(out: &mut String, run: &Run) -> std::fmt::Result {
    writeln!(out, "\n### Everybody\n")?;
    writeln!(
        out,
        "Spread is the slowest less the fastest, over the median. How far texts agree: edits over the tokens of\n\
         float32's text; the first tokens of a translation that are float32's (the weights are random, so one other\n\
         token changes all that follow); words that are wrong.\n"
    )?;
    writeln!(out, "| work | threads | who | median | spread | text |")?;
    writeln!(out, "|---|---|---|---|---|---|")?;
    for (Answered { row, outcomes }, verdict, _) in &run.rows {
        for ((contender, outcome), agreement) in row.contenders.iter().zip(outcomes).zip(&verdict.agreements)
        {
            let cells = cells(contender, outcome, row.task, *agreement);
            writeln!(out, "| {} | {} | {} | {cells} |", row.title, row.threads, contender.name)?;
        }
    }
    Ok(())
}

fn cells(contender: &Contender, outcome: &Outcome, task: Task, agreement: Agreement) -> String {
    let measured: &Measured = match outcome {
        Outcome::Absent(why) => return format!("absent: {} | | ", why.replace('|', "/")),
        Outcome::Measured(measured) => measured,
    };
    let figure =
        Figure { name: contender.name.clone(), seconds: median(&measured.seconds), memory: measured.memory };
    let spread =
        spread(&measured.seconds).map_or_else(String::new, |spread| format!("{:.0} %", 100.0 * spread));
    format!("{} | {spread} | {}", value(&figure, task), describe(agreement))
}

fn write_references(out: &mut String, run: &Run) -> std::fmt::Result {
    if run.references.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n### The same work\n")?;
    writeln!(out, "What everybody answers in float32, against Ostler:\n")?;
    writeln!(out, "| work | who | text |")?;
    writeln!(out, "|---|---|---|")?;
    for (Answered { row, outcomes }, verdict) in &run.references {
        for ((contender, outcome), agreement) in row.contenders.iter().zip(outcomes).zip(&verdict.agreements)
        {
            let text = match outcome {
                Outcome::Absent(why) => format!("absent: {}", why.replace('|', "/")),
                Outcome::Measured(_) => describe(*agreement),
            };
            writeln!(out, "| {} | {} | {text} |", row.title, contender.name)?;
        }
    }
    Ok(())
}

fn write_peaks(out: &mut String, run: &Run) -> std::fmt::Result {
    writeln!(out, "\n### What this processor can do at most\n")?;
    writeln!(out, "| threads | instructions | int8 | bfloat16 | float32 | reading over and over |")?;
    writeln!(out, "|---|---|---|---|---|---|")?;
    for (threads, peaks) in &run.peaks {
        let giga = |rate: f64| format!("{:.0} GOP/s", rate / 1e9);
        let streams: Vec<String> = peaks
            .streams
            .iter()
            .map(|(bytes, rate)| format!("{:.0} MB at {:.0} GB/s", *bytes as f64 / 1e6, rate / 1e9))
            .collect();
        writeln!(
            out,
            "| {threads} | {} | {} | {} | {} | {} |",
            peaks.instructions.map_or("", ostler_kernels::Instructions::name),
            giga(peaks.int8),
            giga(peaks.bfloat16),
            giga(peaks.float32),
            streams.join(", ")
        )?;
    }
    Ok(())
}

fn write_floors(out: &mut String, run: &Run) -> std::fmt::Result {
    writeln!(out, "\n### The floors\n")?;
    writeln!(out, "| work | threads | floor | of it |")?;
    writeln!(out, "|---|---|---|---|")?;
    for (Answered { row, .. }, verdict, peaks) in &run.rows {
        let Some((stages, seconds)) = &verdict.floor else { continue };
        let parts: Vec<String> = stages
            .iter()
            .map(|stage| format!("{} {}", stage.name, duration(floor::stage_seconds(stage, peaks))))
            .collect();
        writeln!(out, "| {} | {} | {} | {} |", row.title, row.threads, duration(*seconds), parts.join(", "))?;
    }
    Ok(())
}

fn value(figure: &Figure, task: Task) -> String {
    let time = figure.seconds.map(|seconds| match task {
        Task::Translate { texts, .. } => {
            format!("{} = {:.1} sentences/s", duration(seconds), texts as f64 / seconds)
        }
        _ => duration(seconds),
    });
    let memory = figure.memory.map(|Anonymous { peak, steady }| {
        format!("{:.0} MB steady, {:.0} MB loading", steady as f64 / 1e6, peak as f64 / 1e6)
    });
    time.or(memory).unwrap_or_else(|| "-".to_owned())
}

fn describe(agreement: Agreement) -> String {
    match agreement {
        Agreement::Unknown => String::new(),
        agreement if agreement.is_equal() => "equal".to_owned(),
        Agreement::Edits(rate) => format!("{:.1} % edits", 100.0 * rate),
        Agreement::First(equal, all) => format!("first {equal:.1} of {all:.1}"),
        Agreement::Words(rate) => format!("{:.1} % of words wrong", 100.0 * rate),
    }
}

/// Three significant digits, in milliseconds below a second.
fn duration(seconds: f64) -> String {
    let (value, unit) = if seconds < 1.0 { (1000.0 * seconds, "ms") } else { (seconds, "s") };
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::rows;
    use crate::verdict::judge;

    #[test]
    fn durations_have_three_digits() {
        for (seconds, text) in [
            (0.00123, "1.23 ms"),
            (0.0211, "21.1 ms"),
            (0.294, "294 ms"),
            (1.127, "1.13 s"),
            (25.34, "25.3 s"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn nobody_is_left_out() {
        let row = rows(&[2]).swap_remove(0);
        let measured = Measured {
            engine: "Ostler 1 int8".to_owned(),
            seconds: vec![0.3, 0.2, 0.3],
            texts: vec!["a".to_owned()],
            tokens: vec![vec![1, 2]],
            memory: None,
        };
        let slower = Measured { seconds: vec![1.2], engine: "CTranslate2".to_owned(), ..measured.clone() };
        let outcomes = vec![
            Outcome::Measured(measured),
            Outcome::Measured(slower),
            Outcome::Absent("it did not install: no | wheel".to_owned()),
        ];
        let peaks = Peaks {
            int8: 9e11,
            bfloat16: 4e11,
            float32: 2e11,
            streams: [(67_000_000, 5e10)].into(),
            ..Peaks::default()
        };
        let answered = Answered { row, outcomes };
        let reference = [["1", "2"].map(str::to_owned).to_vec()];
        let verdict = judge(&answered, Some(&reference), "", &peaks, true);
        let run = Run {
            processor: Processor { name: "Some processor".to_owned(), threads: 2, ..Processor::default() },
            repetitions: 3,
            peaks: vec![(2, peaks.clone())],
            references: vec![(answered.clone(), verdict.clone())],
            rows: vec![(answered, verdict, peaks)],
        };
        let text = markdown(&run);
        for part in [
            "Some processor",
            "| 300 ms | 1.20 s (CTranslate2 int8) | 4.00 | 3.8 x, 1.3 x floor |",
            "| Ostler int8 | 300 ms | 33 % | equal |",
            "whisper.cpp q8_0 | absent: it did not install: no / wheel",
            "900 GOP/s",
            "67 MB at 50 GB/s",
            "encoder, attention",
        ] {
            assert!(text.contains(part), "{part} is not in:\n{text}");
        }
    }
}
