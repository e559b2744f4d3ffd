//! What a row's answers mean.

use crate::agreement::{common_prefix, edit_rate, word_error_rate};
use crate::contender::{Anonymous, Measured, Outcome, Side};
use crate::floor::{self, Stage};
use crate::machine::Peaks;
use crate::rows::{Row, Task};
use crate::statistics::median;

/// A row and what became of its contenders, in the same order.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    /// The row.
    pub row: Row,
    /// What became of each contender.
    pub outcomes: Vec<Outcome>,
}

/// How far an answer agrees with what it should be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Agreement {
    /// There is nothing to compare with.
    Unknown,
    /// Edits over tokens of float32's text.
    Edits(f64),
    /// How many of the first words of a translation are float32's, and of how many, on average. The weights are random,
    /// so one other token changes all that follow.
    First(f64, f64),
    /// The word error rate.
    Words(f64),
}

impl Agreement {
    /// Whether the texts are the same.
    #[must_use]
    pub fn is_equal(self) -> bool {
        match self {
            Self::Unknown => false,
            Self::Edits(rate) | Self::Words(rate) => rate == 0.0,
            Self::First(equal, all) => equal == all,
        }
    }
}

/// The figure that decides, of one contender.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// The contender's name in the report.
    pub name: String,
    /// Median seconds; in rows of memory, nothing.
    pub seconds: Option<f64>,
    /// Memory, in rows of that.
    pub memory: Option<Anonymous>,
}

/// Whether a target is reached.
#[derive(Debug, Clone, PartialEq)]
pub enum Met {
    /// It is.
    Yes,
    /// It is not: what is wrong.
    No(Vec<String>),
    /// There is none, it does not hold on this processor, or there is nothing to compare.
    NotJudged,
}

/// What a row says.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// The best of Ostler's settings.
    pub ostler: Option<Figure>,
    /// The best of the peers' settings.
    pub peer: Option<Figure>,
    /// How many times as fast Ostler is; in rows of memory, how many times as small, by the worse of peak and steady.
    pub times: Option<f64>,
    /// The work and its floor in seconds.
    pub floor: Option<(Vec<Stage>, f64)>,
    /// Ostler's time over the floor.
    pub of_floor: Option<f64>,
    /// How far each contender's answer agrees.
    pub agreements: Vec<Agreement>,
    /// Whether the target is reached.
    pub met: Met,
}

/// The parts of an answer that are compared: tokens where there are any, else words.
#[must_use]
pub fn parts(measured: &Measured) -> Vec<Vec<String>> {
    if measured.tokens.is_empty() {
        measured.texts.iter().map(|text| text.split_whitespace().map(str::to_owned).collect()).collect()
    } else {
        measured.tokens.iter().map(|tokens| tokens.iter().map(ToString::to_string).collect()).collect()
    }
}

/// Judges a row. `reference` is what float32 answers, `said` what is said in the recording; `targets_hold` says whether
/// this processor is one that the targets are for.
#[must_use]
pub fn judge(
    answered: &Answered,
    reference: Option<&[Vec<String>]>,
    said: &str,
    peaks: &Peaks,
    targets_hold: bool,
) -> Verdict {
    let Answered { row, outcomes } = answered;
    let best = |side| best(answered, side);
    let (ostler, peer) = (best(Side::Ostler), best(Side::Peer));
    let times = ostler.as_ref().zip(peer.as_ref()).and_then(|(ostler, peer)| times(ostler, peer));
    let written = outcomes.iter().zip(&row.contenders).find_map(|(outcome, contender)| match outcome {
        Outcome::Measured(measured) if contender.side == Side::Ostler => {
            Some(measured.tokens.iter().map(Vec::len).collect::<Vec<_>>())
        }
        _ => None,
    });
    let floor = row.stages(&written.unwrap_or_default()).map(|stages| {
        let seconds = floor::seconds(&stages, peaks);
        (stages, seconds)
    });
    let seconds = ostler.as_ref().and_then(|figure| figure.seconds);
    let of_floor = seconds.zip(floor.as_ref()).map(|(seconds, (_, floor))| seconds / floor);
    let agreements: Vec<Agreement> =
        outcomes.iter().map(|outcome| agreement(row.task, outcome, reference, said)).collect();
    let met =
        if targets_hold { met(answered, times, seconds, of_floor, &agreements) } else { Met::NotJudged };
    Verdict { ostler, peer, times, floor, of_floor, agreements, met }
}

fn best(answered: &Answered, side: Side) -> Option<Figure> {
    let figures =
        answered.row.contenders.iter().zip(&answered.outcomes).filter_map(|(contender, outcome)| {
            let Outcome::Measured(measured) = outcome else { return None };
            let seconds = median(&measured.seconds);
            let figure = Figure { name: contender.name.clone(), seconds, memory: measured.memory };
            (contender.side == side && (seconds.is_some() || measured.memory.is_some())).then_some(figure)
        });
    let size = |figure: &Figure| {
        let bytes = figure.memory.map_or(0.0, |memory| memory.steady as f64);
        figure.seconds.unwrap_or(bytes)
    };
    figures.min_by(|one, other| size(one).total_cmp(&size(other)))
}

fn times(ostler: &Figure, peer: &Figure) -> Option<f64> {
    let ratio = |peer: f64, own: f64| (own > 0.0).then_some(peer / own);
    match (ostler.memory, peer.memory) {
        (Some(own), Some(other)) => {
            let steady = ratio(other.steady as f64, own.steady as f64)?;
            let peak = ratio(other.peak as f64, own.peak as f64)?;
            Some(steady.min(peak))
        }
        _ => ratio(peer.seconds?, ostler.seconds?),
    }
}

fn agreement(task: Task, outcome: &Outcome, reference: Option<&[Vec<String>]>, said: &str) -> Agreement {
    let Outcome::Measured(measured) = outcome else { return Agreement::Unknown };
    let found = parts(measured);
    match (task, reference) {
        (Task::Recording, _) => Agreement::Words(word_error_rate(said, &measured.texts.join(" "))),
        (Task::Window, Some(reference)) => Agreement::Edits(edit_rate(&reference.concat(), &found.concat())),
        (Task::Translate { .. }, Some(reference)) => {
            let pairs = || reference.iter().zip(&found);
            let texts = pairs().count().max(1) as f64;
            let equal: usize = pairs().map(|(reference, found)| common_prefix(reference, found)).sum();
            let all: usize = pairs().map(|(reference, _)| reference.len()).sum();
            Agreement::First(equal as f64 / texts, all as f64 / texts)
        }
        _ => Agreement::Unknown,
    }
}

fn met(
    answered: &Answered,
    times: Option<f64>,
    seconds: Option<f64>,
    of_floor: Option<f64>,
    agreements: &[Agreement],
) -> Met {
    let Some((target, times)) = answered.row.target.zip(times) else { return Met::NotJudged };
    let mut wrong = Vec::new();
    if times < target.times {
        wrong.push(format!("{times:.2} of {} times", target.times));
    }
    if let Some((limit, found)) = target.floor.zip(of_floor)
        && found > limit
    {
        wrong.push(format!("{found:.2} times the floor instead of {limit}"));
    }
    if let Some((limit, found)) = target.seconds.zip(seconds)
        && found > limit
    {
        wrong.push(format!("{:.0} ms instead of {:.0}", 1e3 * found, 1e3 * limit));
    }
    let errors = |side| {
        answered.row.contenders.iter().zip(agreements).filter_map(move |(contender, agreement)| {
            match agreement {
                Agreement::Words(rate) if contender.side == side => Some(*rate),
                _ => None,
            }
        })
    };
    let own = errors(Side::Ostler).fold(f64::NAN, f64::max);
    let others = errors(Side::Peer).fold(f64::NAN, f64::min);
    if own > others {
        wrong.push(format!("{:.1} % of words wrong instead of {:.1} %", 100.0 * own, 100.0 * others));
    }
    if wrong.is_empty() { Met::Yes } else { Met::No(wrong) }
}

#[cfg(test)]
mod tests;
