//! Which events a change of status is worth. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use ostler_crds::model_deployment::ModelDeploymentStatus;
use ostler_crds::status::condition;

use crate::outcome::Outcome;
use crate::pins::{PinKey, Pins};

#[cfg(test)]
mod tests;

/// The longest note, in bytes, that the API takes.
const MAX_NOTE: usize = 1024;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Whether somebody should look at it.
    pub warning: bool,
    /// One PascalCase word.
    pub reason: String,
    /// What happened.
    pub text: String,
}

/// The events of one reconcile: pins that were made, and conditions that turned.
#[must_use]
pub fn notes(
    before: Option<&ModelDeploymentStatus>,
    after: &ModelDeploymentStatus,
    outcome: &Outcome,
) -> Vec<Note> {
    let mut notes = Vec::new();
    if let Outcome::Applied(progressed) = outcome
        && !progressed.pins.made.is_empty()
    {
        notes.push(Note { warning: false, reason: "Pinned".to_owned(), text: pinned(&progressed.pins) });
    }
    let find = |status: Option<&ModelDeploymentStatus>, kind: &str| -> Option<Condition> {
        status?.conditions.iter().find(|entry| entry.type_ == kind).cloned()
    };
    let bad =
        [(condition::STALLED, "True"), (condition::VERSIONS_PINNED, "False"), (condition::DEGRADED, "True")];
    for (kind, value) in bad {
        let (was, is) = (find(before, kind), find(Some(after), kind));
        let Some(is) = is.filter(|is| is.status == value) else { continue };
        if was.is_none_or(|was| was.status != is.status || was.reason != is.reason) {
            notes.push(Note { warning: true, reason: is.reason, text: is.message });
        }
    }
    let is_ready = |status: Option<&ModelDeploymentStatus>| {
        find(status, condition::READY).is_some_and(|entry| entry.status == "True")
    };
    if is_ready(Some(after)) && !is_ready(before) {
        notes.push(Note { warning: false, reason: "Ready".to_owned(), text: after.versions.clone() });
    }
    for note in &mut notes {
        note.text = note.text.chars().scan(0, within_limit).collect();
    }
    notes
}

/// Stops before the text is too long in bytes.
fn within_limit(length: &mut usize, symbol: char) -> Option<char> {
    *length += symbol.len_utf8();
    (*length <= MAX_NOTE).then_some(symbol)
}

fn pinned(pins: &Pins) -> String {
    let commit = |key: &PinKey| pins.artifacts.get(key).and_then(|artifact| artifact.commit.as_ref());
    let words = pins.made.iter().filter_map(|key| Some(format!("{key} to {}", commit(key)?)));
    let first = words.take(8).collect::<Vec<_>>().join(", ");
    match pins.made.len().saturating_sub(8) {
        0 => format!("pinned {first}"),
        more => format!("pinned {first} and {more} more"),
    }
}
