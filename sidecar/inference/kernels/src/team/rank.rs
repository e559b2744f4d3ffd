//! Which threads begin jobs, and which only work that no job waits for.

use std::cell::Cell;

thread_local! {
    static IS_BEHIND: Cell<bool> = const { Cell::new(false) };
}

/// From here on whatever this thread begins on a team is behind jobs, as with [`Team::enter_behind`]: for threads that
/// do for a load what others do for requests, such as a first job that proves a model.
///
/// [`Team::enter_behind`]: super::Team::enter_behind
pub fn stay_behind_jobs() {
    IS_BEHIND.set(true);
}

/// Whether this thread stays behind jobs.
pub(super) fn stays_behind_jobs() -> bool {
    IS_BEHIND.get()
}
