//! How far a fetch has come.

use std::sync::{Mutex, PoisonError};

/// The state of a fetch, in bytes of the files that were chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer {
    /// The sizes of all chosen files together.
    pub total_bytes: u64,
    /// How much of them is here, received earlier or now, by this process or by the one that it waits for.
    pub completed_bytes: u64,
}

/// The least change that is worth a report.
const STEP: u64 = 1 << 20;

/// Adds up the progress of several files and reports it.
pub(crate) struct Meter<'a> {
    total_bytes: u64,
    state: Mutex<State>,
    report: &'a (dyn Fn(Transfer) + Send + Sync),
}

struct State {
    parts: Vec<u64>,
    completed_bytes: u64,
    reported_bytes: Option<u64>,
}

impl<'a> Meter<'a> {
    /// A meter for parts of which so many bytes are here already; reports that at once.
    pub(crate) fn new(
        total_bytes: u64,
        parts: Vec<u64>,
        report: &'a (dyn Fn(Transfer) + Send + Sync),
    ) -> Self {
        let completed_bytes = parts.iter().sum();
        let state = Mutex::new(State { parts, completed_bytes, reported_bytes: None });
        let meter = Self { total_bytes, state, report };
        meter.report();
        meter
    }

    /// Notes how much of a part is here now.
    pub(crate) fn set(&self, part: usize, bytes: u64) {
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(slot) = state.parts.get_mut(part) else { return };
            let before = std::mem::replace(slot, bytes);
            state.completed_bytes = state.completed_bytes - before + bytes;
        }
        self.report();
    }

    fn report(&self) {
        let completed_bytes = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let completed = state.completed_bytes;
            let is_worth_it = state.reported_bytes.is_none_or(|reported| {
                completed.abs_diff(reported) >= STEP
                    || (completed == self.total_bytes && reported != completed)
            });
            if !is_worth_it {
                return;
            }
            state.reported_bytes = Some(completed);
            completed
        };
        (self.report)(Transfer { total_bytes: self.total_bytes, completed_bytes });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_sparse_but_hold_start_and_end() {
        let reports = Mutex::new(Vec::new());
        let note = |transfer: Transfer| reports.lock().unwrap().push(transfer.completed_bytes);
        let meter = Meter::new(4 * STEP, vec![STEP, 0], &note);
        for bytes in 0..=300 {
            meter.set(1, bytes * STEP / 100);
        }
        assert_eq!(*reports.lock().unwrap(), [STEP, 2 * STEP, 3 * STEP, 4 * STEP]);
    }
}
